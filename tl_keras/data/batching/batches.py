"""Builds tf.data batches from prepared examples. Only this module decides the order of the steps.

The batches of a training epoch depend only on the seed and the number of the epoch. So a resumed
run reads the same batches as an unbroken one. The steps of an epoch, in order:

1. Order the examples by a random permutation. It depends on the seed and the epoch. If
   `data.balance` is `oversample`, examples of rare classes are repeated. Streamed examples come in
   the order in which their shards are read and shuffled, see `sources.shards`.
2. Read the examples: rows of a prepared array. If such an array would be too large, decode the
   files.
3. Make batches. This comes before augmentation, which is faster on batches.
4. Augment the examples. This comes after all steps whose results are stored, because each epoch
   needs other random views (rotated, zoomed ...) of an example.
5. Mix examples within a batch, then compute the loss weights, which depend on the mixed labels.
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import tensorflow as tf

from tl_keras import tasks
from tl_keras.data.batching.inputs import (
    CORES,
    Arrays,
    Inputs,
    Training,
    _decoder,
    numbers_of,
    unconverted,
    untuned,
)
from tl_keras.data.batching.order import order_of
from tl_keras.data.batching.ragged import Ragged, padded
from tl_keras.data.examples import Dataset


def evaluation(inputs: Inputs, batch_size: int) -> tf.data.Dataset:
    """Returns all prepared examples in order, in batches `(batch, ...)`.

    If `inputs.array` is a tuple of arrays, each batch is a tuple too. The last batch may be
    smaller.
    """
    indices = tf.data.Dataset.range(len(inputs))
    if inputs.array is None:
        return untuned(inputs.read(_placed(inputs, indices)).batch(batch_size).prefetch(2))
    rows = _placed(inputs, indices.batch(batch_size))
    return untuned(rows.map(_gather(inputs.array)).prefetch(2))


def examples_of(inputs: Inputs) -> np.ndarray:
    """Returns all examples as one array in memory, `(examples, ...)`.

    To load only some of the examples, select them first, with `inputs.part(rows)`.
    """
    if inputs.array is not None:
        return np.array(inputs.take(slice(None)))
    return np.concatenate(list(evaluation(inputs, 64).as_numpy_iterator()))


# Values of a batch of examples of different length, so that a batch of long examples is small.
MOST_VALUES = 8192


Rows = slice | np.ndarray  # Positions of the examples of a batch.


def chunks(inputs: Inputs, batch_size: int) -> list[Rows]:
    """Returns positions of examples that are computed together; each position occurs once.

    Examples of one length are in order. Examples of different length are sorted by length, because
    each batch is padded to its longest example.
    """
    if inputs.lengths is None:
        starts = range(0, len(inputs), batch_size)
        return [slice(start, start + batch_size) for start in starts]
    order = np.argsort(inputs.lengths, kind="stable")
    batches: list[Rows] = []
    start = 0
    while start < len(order):
        size = batch_size
        longest = padded(inputs.lengths[order[start : start + size]].max())
        size = max(1, min(size, MOST_VALUES // longest))
        batches.append(order[start : start + size])
        start += size
    return batches


def read_chunks(inputs: Inputs, batch_size: int) -> Iterable[tuple[Rows, Any]]:
    """Yields pairs of positions and the prepared examples at these positions, see `chunks`."""
    if inputs.lengths is not None:
        for rows in chunks(inputs, batch_size):
            yield rows, tf.nest.map_structure(tf.constant, inputs.take(rows))
        return
    yield from numbered(read_once(inputs, batch_size))


def numbered(batches: Iterable[Any]) -> Iterable[tuple[Rows, Any]]:
    """Yields pairs of positions and batch, for batches that have all examples in order."""
    start = 0
    for batch in batches:
        yield slice(start, start + len(batch)), batch
        start += len(batch)


def _placed(inputs: Inputs, indices: tf.data.Dataset) -> tf.data.Dataset:
    return indices if inputs.rows is None else indices.map(unconverted(inputs.places))


FEW = 4  # Up to this number of batches, reading directly is faster than starting a pipeline.


def _slices_if_few(inputs: Inputs, batch_size: int) -> list[slice]:
    """Returns a list with one Python `slice` per batch: the positions of its examples.

    The list is empty if `inputs.array` is None, or if there are more than `FEW` batches. Examples
    of different length are always read directly.
    """
    if inputs.array is None:
        return []
    if inputs.lengths is None and len(inputs) > FEW * batch_size:
        return []
    starts = range(0, len(inputs), batch_size)
    return [slice(start, start + batch_size) for start in starts]


def read_once(inputs: Inputs, batch_size: int) -> Iterable[Any]:
    """Returns all prepared examples in order, in batches; the result can be iterated only once.

    Up to `FEW` batches are read directly from the array, which is faster than a tf.data pipeline.
    More batches come from the pipeline of `evaluation`.
    """
    if slices := _slices_if_few(inputs, batch_size):
        return (tf.nest.map_structure(tf.constant, inputs.take(part)) for part in slices)
    return evaluation(inputs, batch_size)


def view(inputs: Inputs, batch_size: int, how: Training, epoch: int) -> Iterable[tf.Tensor]:
    """Returns all examples in order, in batches, augmented as in view number `epoch`."""
    augmented = _augment(how.augments, how.augmentations)
    numbers = inputs.numbers(how, epoch)
    if slices := _slices_if_few(inputs, batch_size):
        return (augmented(tf.constant(inputs.take(part)), numbers[part]) for part in slices)
    rows = tf.data.Dataset.from_tensor_slices(numbers).batch(batch_size)
    pairs = tf.data.Dataset.zip(evaluation(inputs, batch_size), rows)
    return untuned(pairs.map(unconverted(augmented), CORES))


@functools.lru_cache(8)
def _augment(augments: ModuleType, augmentations: tuple[Any, ...]) -> Callable[..., tf.Tensor]:
    """Returns a `tf.function` that augments a batch.

    The function is cached, so TensorFlow does not trace it again for each view or epoch.
    """

    def augment(x: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
        return augments.augment(x, numbers, augmentations)

    return tf.function(augment, autograph=False)


def _gather(arrays: Arrays) -> Callable[[tf.Tensor], Any]:
    """Returns a function from indices to the rows of the arrays at these indices.

    NumPy reads the rows, because `tf.gather` would first copy the whole array into a tensor.
    """

    def gather(indices: tf.Tensor) -> Any:
        def of(array: np.ndarray) -> tf.Tensor:
            rows = tf.numpy_function(lambda i: array[i], [indices], array.dtype, stateful=False)
            return tf.ensure_shape(rows, (None, *array.shape[1:]))

        return tf.nest.map_structure(of, arrays)

    return unconverted(gather)


def num_steps(count: int, batch_size: int) -> int:
    """Returns the number of training steps in an epoch, at least 1.

    An incomplete last batch is left out, unless it is the only batch.
    """
    return max(1, count // batch_size)


def training(inputs: Inputs, how: Training, place: tf.Variable) -> tf.data.Dataset:
    """Returns the training batches of one epoch, as `(inputs, targets, weights)`.

    `targets` is `(batch, how.width) float32`, where `how.width` is the number of target columns,
    such as the number of classes. `weights` holds the loss weights, `(batch,) float32`.

    Args:
      place: a variable, `(2,) int64`: the epoch, and the step to start from. Each new iterator
        over the batches starts at the current value of the variable.
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
    """Returns a function that reads the training batches of one epoch from shards.

    Its arguments are the epoch and the step to start from. Its batches are like those of
    `training`. Examples before that step are read but not decoded.
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
    """Returns a function that completes a training batch.

    The function augments and mixes the examples, and computes their targets and loss weights. Its
    arguments are a batch of the rows that `_rows` returns, and a batch of the examples of these
    rows. It returns `(inputs, targets, weights)` as in `training`.
    """
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
    """Yields the batches that `training` gives, but with stored activations as inputs.

    The function does not use a tf.data pipeline: starting one takes 40 ms, which is as long as a
    few training steps on small activations.

    Args:
      arrays: activations of the examples as augmented in this epoch, `(examples, ...)`.
      first: the step to start from.
    """
    of = tasks.of(how.task, "targets")
    targets = of.columns(labels, how.width)
    weights = of.weighed(targets, of.weights(labels, how.width, how.balance))
    first_array = tf.nest.flatten(arrays)[0]
    lengths = first_array.lengths if isinstance(first_array, Ragged) else None
    order = order_of(labels, how, tf.constant(epoch), lengths).numpy()
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
    """Returns one row for each example of an epoch, in training order.

    `place` holds the epoch and the step to start from. The examples of earlier steps are left out.
    A row holds the epoch, the position of the example in the epoch, its index in `inputs`, and the
    random numbers that augment it.
    """
    epoch, first = tf.unstack(tf.cast(place.read_value(), tf.int32))
    numbers = inputs.numbers(how, how.view(epoch))
    positions = tf.range(first * min(how.batch_size, len(inputs)), len(inputs))
    order = tf.gather(order_of(inputs.labels, how, epoch, inputs.lengths), positions)
    rows = (tf.fill(tf.shape(order), epoch), positions, order, tf.gather(numbers, order))
    return tf.data.Dataset.from_tensor_slices(rows)


def drawn(dataset: Dataset, how: Training, place: tf.Variable) -> tf.data.Dataset:
    """Returns the batches of one epoch as `training` does, but generates new examples for them."""
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
