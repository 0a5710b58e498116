"""Builds tf.data batches from prepared examples. Only this module decides the order of the steps.

An epoch of training is a pure function of (seed, epoch), so a resumed run reads the same batches as
an unbroken one:

1. order: a permutation by (seed, epoch), with repeats if strata are balanced. Streamed examples
   come in the order in which their shards are read and mixed, see `shards`;
2. examples: rows of a prepared array, or decoded now if the array is too large;
3. batch: before augmentation, which is faster on batches;
4. augment: after the cached steps, because views must differ between epochs;
5. mix, then weights: the weights depend on the mixed labels.
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
    """Returns batches of all examples in order, `(batch, ...)`, or tuples for a tuple of arrays.

    The last batch may be smaller.
    """
    indices = tf.data.Dataset.range(len(inputs))
    if inputs.array is None:
        return untuned(inputs.read(_placed(inputs, indices)).batch(batch_size).prefetch(2))
    rows = _placed(inputs, indices.batch(batch_size))
    return untuned(rows.map(_gather(inputs.array)).prefetch(2))


def examples_of(inputs: Inputs) -> np.ndarray:
    """Returns all examples in memory, `(examples, ...)`; for a small part, see `Inputs.part`."""
    if inputs.array is not None:
        return np.array(inputs.take(slice(None)))
    return np.concatenate(list(evaluation(inputs, 64).as_numpy_iterator()))


def _placed(inputs: Inputs, indices: tf.data.Dataset) -> tf.data.Dataset:
    return indices if inputs.rows is None else indices.map(unconverted(inputs.places))


FEW = 4  # Up to this number of batches, reading directly is faster than starting a pipeline.


def _few(inputs: Inputs, batch_size: int) -> list[slice]:
    """Returns the slices of the batches if they are few and in memory, else an empty list."""
    if inputs.array is None or len(inputs) > FEW * batch_size:
        return []
    starts = range(0, len(inputs), batch_size)
    return [slice(start, start + batch_size) for start in starts]


def read_once(inputs: Inputs, batch_size: int) -> Iterable[Any]:
    """Returns batches of all examples in order, which can be iterated once.

    Few batches are tensors in memory; more come from the pipeline of `evaluation`.
    """
    if few := _few(inputs, batch_size):
        return (tf.nest.map_structure(tf.constant, inputs.take(part)) for part in few)
    return evaluation(inputs, batch_size)


def view(inputs: Inputs, batch_size: int, how: Training, epoch: int) -> Iterable[tf.Tensor]:
    """Returns the batches of `read_once`, augmented as in an epoch of training."""
    augmented = _augment(how.augments, how.augmentations)
    numbers = inputs.numbers(how, epoch)
    if few := _few(inputs, batch_size):
        return (augmented(tf.constant(inputs.take(part)), numbers[part]) for part in few)
    rows = tf.data.Dataset.from_tensor_slices(numbers).batch(batch_size)
    pairs = tf.data.Dataset.zip(evaluation(inputs, batch_size), rows)
    return untuned(pairs.map(unconverted(augmented), CORES))


@functools.lru_cache(8)
def _augment(augments: ModuleType, augmentations: tuple[Any, ...]) -> Callable[..., tf.Tensor]:
    """Returns the augmentation of a modality as one traced function for all views and epochs."""

    def augment(x: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
        return augments.augment(x, numbers, augmentations)

    return tf.function(augment, autograph=False)


def _gather(arrays: Arrays) -> Callable[[tf.Tensor], Any]:
    """Returns a function that reads rows with NumPy; TensorFlow would copy the whole array."""

    def gather(indices: tf.Tensor) -> Any:
        def of(array: np.ndarray) -> tf.Tensor:
            rows = tf.numpy_function(lambda i: array[i], [indices], array.dtype, stateful=False)
            return tf.ensure_shape(rows, (None, *array.shape[1:]))

        return tf.nest.map_structure(of, arrays)

    return unconverted(gather)


def num_steps(count: int, batch_size: int) -> int:
    """Returns the steps of an epoch. A data set smaller than a batch is one batch."""
    return max(1, count // batch_size)


def training(inputs: Inputs, how: Training, place: tf.Variable) -> tf.data.Dataset:
    """Returns an epoch of `(inputs, targets (batch, width) float32, weights (batch,) float32)`.

    Args:
      place: `(2,) int64`, epoch and first step; each new iterator reads the current value.
    """
    finish = _finisher(inputs.labels, how)
    batch_size = min(how.batch_size, len(inputs))
    first = tf.data.Dataset.from_tensors(0)
    rows = first.flat_map(unconverted(lambda _: _rows(inputs, how, place)))
    batches = rows.batch(batch_size, drop_remainder=True)
    if inputs.array is not None:
        # One function for all, since each function costs 10 ms at the start of an epoch.
        gather = _gather(inputs.array)
        whole = unconverted(lambda *row: finish(row, gather(inputs.places(row[2]))))
        batches = batches.map(whole, CORES)
    else:
        examples = inputs.read(rows.map(unconverted(lambda *row: inputs.places(row[2]))))
        examples = examples.batch(batch_size, drop_remainder=True)
        batches = tf.data.Dataset.zip(batches, examples).map(unconverted(finish), CORES)
    return untuned(batches.prefetch(2))


def streamed(
    dataset: Dataset, how: Training, settings: Any
) -> Callable[[int, int], tf.data.Dataset]:
    """Returns a function from epoch and first step to the batches of `training`, read from shards.

    Examples before the first step are read but not decoded.
    """
    examples, labels = dataset.splits["train"], dataset.labels("train")
    decoded = _decoder(dataset, "train", settings)
    shuffled = dataset.shards.shuffled([example.file for example in examples], 2 * how.seed + 1)
    finish, count = _finisher(labels, how), len(examples)
    size = min(how.batch_size, count)

    def read(epoch: int, first: int) -> tf.data.Dataset:
        numbers = numbers_of(count, how, how.view(epoch))

        def one(position: tf.Tensor, named: tuple[tf.Tensor, tf.Tensor]) -> Any:
            index, content = named
            place = tf.constant(epoch), tf.cast(position, tf.int32)
            return (*place, index, tf.gather(numbers, index)), decoded(index, content)

        whole = shuffled(epoch).take(num_steps(count, size) * size).enumerate()
        rows = whole.skip(first * size).map(unconverted(one), 4 * CORES)
        batches = rows.batch(size, drop_remainder=True)
        return untuned(batches.map(unconverted(finish), CORES).prefetch(2))

    return read


def _finisher(labels: np.ndarray, how: Training) -> Callable[..., tuple[tf.Tensor, ...]]:
    """Returns a function from a batch of `_rows` and its inputs to inputs, targets and weights."""
    of = tasks.of(how.task, "targets")
    weights, labels = of.weights(labels, how.width, how.balance), tf.constant(labels)
    augment = _augment(how.augments, how.augmentations)

    def finish(row: tuple[tf.Tensor, ...], x: tf.Tensor) -> tuple[tf.Tensor, ...]:
        epochs, positions, indices, numbers = row
        step = positions[0] // tf.shape(positions)[0]
        x = augment(x, numbers)
        targets = of.columns_in_graph(tf.gather(labels, indices), how.width)
        mix_seed = tf.stack([2 * how.seed + 1, epochs[0] * 1_000_003 + step])
        x, targets = how.augments.mix(x, targets, how.augmentations, mix_seed)
        return x, targets, of.weighed(targets, weights)

    return finish


def of_activations(
    arrays: Arrays, labels: np.ndarray, how: Training, epoch: int, first: int = 0
) -> Iterator[tuple[Any, tf.Tensor, tf.Tensor]]:
    """Yields the batches of `training` from activations, `(examples, ...)`, of augmented examples.

    It does not use a tf.data pipeline, which takes 40 ms to start, as long as a few steps on small
    activations.
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
    # Some activations are kept in half precision. Other dtypes, such as of token ids, stay.
    rows = tf.constant(array[chosen])
    return tf.cast(rows, tf.float32) if rows.dtype == tf.float16 else rows


def _rows(inputs: Inputs, how: Training, place: tf.Variable) -> tf.data.Dataset:
    """Returns epoch, position, index and random numbers of the examples, in order of the epoch."""
    epoch, first = tf.unstack(tf.cast(place.read_value(), tf.int32))
    numbers = inputs.numbers(how, how.view(epoch))
    positions = tf.range(first * min(how.batch_size, len(inputs)), len(inputs))
    order = tf.gather(_order(inputs.labels, how, epoch), positions)
    rows = (tf.fill(tf.shape(order), epoch), positions, order, tf.gather(numbers, order))
    return tf.data.Dataset.from_tensor_slices(rows)


def _order(labels: np.ndarray, how: Training, epoch: tf.Tensor) -> tf.Tensor:
    """Returns the indices of an epoch, `(examples,) int64`, with repeats if balance oversamples."""
    seed = tf.stack([tf.constant(2 * how.seed + 1, tf.int32), epoch])
    count = len(labels)
    if how.balance != "oversample":
        return tf.random.experimental.stateless_shuffle(tf.range(count, dtype=tf.int64), seed)
    # Strata, such as classes, take turns. Each is shuffled, then shuffled again when it is used up.
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
    """Returns an epoch as `training` does, but with newly drawn examples."""
    count = len(dataset.splits["train"])
    steps, batch_size = num_steps(count, how.batch_size), min(how.batch_size, count)

    def one_epoch(_: tf.Tensor) -> tf.data.Dataset:
        epoch, first = tf.unstack(place.read_value())
        start, end = (epoch * count + step * batch_size for step in (first, steps))
        return tf.data.Dataset.range(start, end).batch(batch_size)

    def draw(indices: tf.Tensor) -> Any:
        examples, labels = dataset.draw(indices)
        targets = tasks.of(how.task, "targets").columns_in_graph(labels, how.width)
        return examples, targets, tf.ones(tf.shape(labels))

    batches = (
        tf.data.Dataset.from_tensors(0)
        .flat_map(unconverted(one_epoch))
        .map(unconverted(draw), CORES)
    )
    return untuned(batches.prefetch(2))
