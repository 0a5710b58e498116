"""Examples in, tf.data batches out. The order of the steps is written here and nowhere else.

An epoch of training is a pure function of (seed, epoch), so that a resumed run reads what an
unbroken one would have read:

1. order: a permutation by (seed, epoch), with repeats where strata are balanced; of what is
   streamed as its shards are read and mixed, see `shards`;
2. examples: rows of an array that was prepared once, or decoded now where that does not fit;
3. batch: augmentation is faster on batches;
4. augment: after what is cached, since views must differ from epoch to epoch;
5. mix, then weights: they read the labels that mixing made.
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import tensorflow as tf

from tl_keras import tasks
from tl_keras.data.examples import Dataset
from tl_keras.data.inputs import (
    CORES,
    Arrays,
    Inputs,
    Training,
    _decoder,
    numbers_of,
    unconverted,
    untuned,
)


def evaluation(inputs: Inputs, batch_size: int) -> tf.data.Dataset:
    """Every example once, in order: `(batch, ...)` inputs, the last batch whole or not; a tuple of
    them where the array is one."""
    indices = tf.data.Dataset.range(len(inputs))
    if inputs.array is None:
        return untuned(inputs.read(_placed(inputs, indices)).batch(batch_size).prefetch(2))
    rows = _placed(inputs, indices.batch(batch_size))
    return untuned(rows.map(_gather(inputs.array)).prefetch(2))


def examples_of(inputs: Inputs) -> np.ndarray:
    """All examples in memory, `(examples, ...)`: a few of a split, see `Inputs.part`."""
    if inputs.array is not None:
        return np.array(inputs.take(slice(None)))
    return np.concatenate(list(evaluation(inputs, 64).as_numpy_iterator()))


def _placed(inputs: Inputs, indices: tf.data.Dataset) -> tf.data.Dataset:
    return indices if inputs.rows is None else indices.map(unconverted(inputs.places))


FEW = 4  # batches; reading so few directly is faster than starting a pipeline


def _few(inputs: Inputs, batch_size: int) -> list[slice]:
    """The places of batches in memory, where they are few; else nothing."""
    if inputs.array is None or len(inputs) > FEW * batch_size:
        return []
    starts = range(0, len(inputs), batch_size)
    return [slice(start, start + batch_size) for start in starts]


def read_once(inputs: Inputs, batch_size: int) -> Iterable[Any]:
    """Batches of all examples in order, to be iterated once: tensors in memory where there are few
    batches, else the pipeline of `evaluation`."""
    if few := _few(inputs, batch_size):
        return (tf.nest.map_structure(tf.constant, inputs.take(part)) for part in few)
    return evaluation(inputs, batch_size)


def view(inputs: Inputs, batch_size: int, how: Training, epoch: int) -> Iterable[tf.Tensor]:
    """The batches of `read_once`, augmented as an epoch of training shows them."""
    augmented = _augment(how.augments, how.augmentations)
    numbers = inputs.numbers(how, epoch)
    if few := _few(inputs, batch_size):
        return (augmented(tf.constant(inputs.take(part)), numbers[part]) for part in few)
    rows = tf.data.Dataset.from_tensor_slices(numbers).batch(batch_size)
    both = tf.data.Dataset.zip(evaluation(inputs, batch_size), rows)
    return untuned(both.map(unconverted(augmented), CORES))


@functools.lru_cache(8)
def _augment(augments: ModuleType, augmentations: tuple[Any, ...]) -> Callable[..., tf.Tensor]:
    """A modality's augmentation, which TensorFlow traces once: every view and epoch share it."""

    def augment(x: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
        return augments.augment(x, numbers, augmentations)

    return tf.function(augment, autograph=False)


def _gather(arrays: Arrays) -> Callable[[tf.Tensor], Any]:
    """Rows of arrays that may be memory-mapped: TensorFlow would copy them whole."""

    def gather(indices: tf.Tensor) -> Any:
        def of(array: np.ndarray) -> tf.Tensor:
            rows = tf.numpy_function(lambda i: array[i], [indices], array.dtype, stateful=False)
            return tf.ensure_shape(rows, (None, *array.shape[1:]))

        return tf.nest.map_structure(of, arrays)

    return unconverted(gather)


def num_steps(count: int, batch_size: int) -> int:
    """Steps of an epoch; a data set smaller than a batch is one batch."""
    return max(1, count // batch_size)


def training(inputs: Inputs, how: Training, place: tf.Variable) -> tf.data.Dataset:
    """One epoch of `(inputs, targets (batch, width) float32, weights (batch,) float32)`.

    Args:
      place: `(2,) int64`, the epoch and the step that it begins at; each new iterator reads it.
    """
    finish = _finisher(inputs.labels, how)
    batch_size = min(how.batch_size, len(inputs))
    first = tf.data.Dataset.from_tensors(0)
    rows = first.flat_map(unconverted(lambda _: _rows(inputs, how, place)))
    batches = rows.batch(batch_size, drop_remainder=True)
    if inputs.array is not None:
        # In one function with the rest: each one costs 10 ms at the start of an epoch.
        gather = _gather(inputs.array)
        whole = unconverted(lambda *row: finish(row, gather(inputs.places(row[2]))))
        batches = batches.map(whole, CORES)
    else:
        shown = inputs.read(rows.map(unconverted(lambda *row: inputs.places(row[2]))))
        shown = shown.batch(batch_size, drop_remainder=True)
        batches = tf.data.Dataset.zip(batches, shown).map(unconverted(finish), CORES)
    return untuned(batches.prefetch(2))


def streamed(
    dataset: Dataset, how: Training, settings: Any
) -> Callable[[int, int], tf.data.Dataset]:
    """`training`'s epochs of examples as their shards are read, by epoch and first step.

    What comes before that step is read, and not decoded.
    """
    examples, labels = dataset.splits["train"], dataset.labels("train")
    decoded = _decoder(dataset, "train", settings)
    shuffled = dataset.shards.shuffled([example.file for example in examples], 2 * how.seed + 1)
    finish, count = _finisher(labels, how), len(examples)
    size = min(how.batch_size, count)

    def read(epoch: int, first: int) -> tf.data.Dataset:
        numbers = numbers_of(count, how, how.view(epoch))

        def one(position: tf.Tensor, named: tuple[tf.Tensor, tf.Tensor]):
            index, content = named
            place = tf.constant(epoch), tf.cast(position, tf.int32)
            return (*place, index, tf.gather(numbers, index)), decoded(index, content)

        whole = shuffled(epoch).take(num_steps(count, size) * size).enumerate()
        rows = whole.skip(first * size).map(unconverted(one), 4 * CORES)
        batches = rows.batch(size, drop_remainder=True)
        return untuned(batches.map(unconverted(finish), CORES).prefetch(2))

    return read


def _finisher(labels: np.ndarray, how: Training) -> Callable[..., tuple[tf.Tensor, ...]]:
    """From a batch of `_rows`, and its inputs, to what a step takes."""
    of = tasks.of(how.task, "targets")
    weights, labels = of.weights(labels, how.width, how.balance), tf.constant(labels)
    augment = _augment(how.augments, how.augmentations)

    def finish(row: tuple[tf.Tensor, ...], x: tf.Tensor) -> tuple[tf.Tensor, ...]:
        now, positions, indices, numbers = row
        step = positions[0] // tf.shape(positions)[0]
        x = augment(x, numbers)
        targets = of.columns_in_graph(tf.gather(labels, indices), how.width)
        mix_seed = tf.stack([2 * how.seed + 1, now[0] * 1_000_003 + step])
        x, targets = how.augments.mix(x, targets, how.augmentations, mix_seed)
        return x, targets, of.weighed(targets, weights)

    return finish


def of_activations(
    arrays: Arrays, labels: np.ndarray, how: Training, epoch: int, first: int = 0
) -> Iterator[tuple[Any, tf.Tensor, tf.Tensor]]:
    """`training`'s epoch of activations, `(examples, ...)`, in which the views are already.

    Without a pipeline, which takes 40 ms to start: as long as a few steps on small activations.
    """
    of = tasks.of(how.task, "targets")
    targets = of.columns(labels, how.width)
    weights = of.weighed(targets, of.weights(labels, how.width, how.balance))
    order = _order(labels, how, tf.constant(epoch)).numpy()
    size = min(how.batch_size, len(labels))
    for step in range(first, num_steps(len(labels), how.batch_size)):
        chosen = order[step * size : (step + 1) * size]
        inputs = tf.nest.map_structure(functools.partial(_whole, chosen), arrays)
        yield inputs, tf.constant(targets[chosen]), tf.constant(weights[chosen])


def _whole(chosen: np.ndarray, array: np.ndarray) -> tf.Tensor:
    # Some activations are kept in half precision; what they are of stays as it is.
    found = tf.constant(array[chosen])
    return tf.cast(found, tf.float32) if found.dtype == tf.float16 else found


def _rows(inputs: Inputs, how: Training, place: tf.Variable) -> tf.data.Dataset:
    """Of each example, in order: epoch, position, index, the random numbers of its view."""
    now, first = tf.unstack(tf.cast(place.read_value(), tf.int32))
    numbers = inputs.numbers(how, how.view(now))
    positions = tf.range(first * min(how.batch_size, len(inputs)), len(inputs))
    order = tf.gather(_order(inputs.labels, how, now), positions)
    rows = (tf.fill(tf.shape(order), now), positions, order, tf.gather(numbers, order))
    return tf.data.Dataset.from_tensor_slices(rows)


def _order(labels: np.ndarray, how: Training, epoch: tf.Tensor) -> tf.Tensor:
    """`(examples,) int64` indices; balanced by drawing with repeats where asked."""
    seed = tf.stack([tf.constant(2 * how.seed + 1, tf.int32), epoch])
    count = len(labels)
    if how.balance != "oversample":
        return tf.random.experimental.stateless_shuffle(tf.range(count, dtype=tf.int64), seed)
    # Strata, such as classes, in turn; within one, one shuffle after the other.
    strata = tasks.of(how.task, "targets").strata(labels)
    members = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    share = -(-count // len(members))
    rows = []
    for i, member in enumerate(members):
        shape = (-(-share // len(member)), len(member))
        shuffles = tf.argsort(tf.random.stateless_uniform(shape, seed + [i, 7]))
        rows.append(tf.reshape(tf.gather(member, shuffles), (-1,))[:share])
    flat = tf.reshape(tf.stack(rows, axis=1), (-1,))[:count]
    return tf.random.experimental.stateless_shuffle(flat, seed)


def drawn(dataset: Dataset, how: Training, place: tf.Variable) -> tf.data.Dataset:
    """One epoch of drawn examples that no other epoch shows, as `training` gives it."""
    count = len(dataset.splits["train"])
    steps, batch_size = num_steps(count, how.batch_size), min(how.batch_size, count)

    def one_epoch(_: tf.Tensor) -> tf.data.Dataset:
        epoch, first = tf.unstack(place.read_value())
        start, end = (epoch * count + step * batch_size for step in (first, steps))
        return tf.data.Dataset.range(start, end).batch(batch_size)

    def draw(indices: tf.Tensor):
        examples, labels = dataset.draw(indices)
        targets = tasks.of(how.task, "targets").columns_in_graph(labels, how.width)
        return examples, targets, tf.ones(tf.shape(labels))

    batches = (
        tf.data.Dataset.from_tensors(0)
        .flat_map(unconverted(one_epoch))
        .map(unconverted(draw), CORES)
    )
    return untuned(batches.prefetch(2))
