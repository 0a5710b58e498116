"""Examples in, tf.data batches out. The order of the steps is written here and nowhere else.

An epoch of training is a pure function of (seed, epoch), so that a resumed run reads what an
unbroken one would have read:

1. order: a permutation by (seed, epoch), with repeats where classes are balanced; of what is
   streamed as its shards are read and mixed, see `shards`;
2. examples: rows of an array that was prepared once, or decoded now where that does not fit;
3. batch: augmentation is faster on batches;
4. augment: after what is cached, since views must differ from epoch to epoch;
5. mix, then weights: they read the labels that mixing made.
"""

import functools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import psutil
import tensorflow as tf

from tl_keras import tasks
from tl_keras.config.whole import RunConfig
from tl_keras.data import store
from tl_keras.data.examples import Dataset
from tl_keras.modalities import part
from tl_keras.run.progress import progress
from tl_keras.version import VERSION

MEMORY_SHARE = 0.25  # of the free memory, that a split's prepared images may take
CONTAINER = Path("/sys/fs/cgroup")  # Limits of a container, cgroup version 2, under Linux.
# Those that this process may run on, where the platform says.
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

# From `(,) int64` indices to prepared examples, one by one.
Read = Callable[[tf.data.Dataset], tf.data.Dataset]


Arrays = np.ndarray | tuple[np.ndarray, ...]  # Of one example each entry has a row.


@dataclass(frozen=True)
class Inputs:
    """Prepared inputs of a split, or how to get them.

    Attributes:
      labels: `(examples,) int64`.
      array: `(examples, ...)`, images `uint8` or activations, or a tuple of activations and what
        they are of; None: too large to keep.
      read: data set of indices to data set of images, where there is no array.
      rows: `(examples,) int64`, where they are a part of a pool: their places among its examples,
        all of which `array` holds and `read` reads; else None.
      pool: how many examples the pool has.
    """

    labels: np.ndarray
    array: Arrays | None
    read: Read | None = None
    rows: np.ndarray | None = None
    pool: int = 0

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, rows: np.ndarray) -> "Inputs":
        """Some of the examples: nothing is copied, and each has the views that it has in all."""
        places = rows if self.rows is None else self.rows[rows]
        return Inputs(self.labels[rows], self.array, self.read, places, self.pool or len(self))

    def take(self, chosen: slice) -> Arrays:
        """Some of what the array holds, in order."""
        chosen = chosen if self.rows is None else self.rows[chosen]
        return tf.nest.map_structure(lambda array: array[chosen], self.array)

    def places(self, indices: tf.Tensor) -> tf.Tensor:
        """Of indices of examples, those in the pool."""
        return indices if self.rows is None else tf.gather(self.rows, indices)

    def numbers(self, how: "Training", view: int | tf.Tensor) -> tf.Tensor:
        """`numbers_of` the examples."""
        if self.rows is None:
            return numbers_of(len(self), how, view)
        return tf.gather(numbers_of(self.pool, how, view), self.rows)


@dataclass(frozen=True)
class Training:
    """How a split is read for training.

    Attributes:
      modality: of the examples.
      batch_size: examples a step; a last, smaller batch is left out.
      seed: with the epoch, decides order and views.
      augmentations: random operations of the modality.
      views: epoch e reads view e modulo this; None: each epoch its own.
      balance: `none`, `weights` or `oversample`.
      width: columns of the targets.
      task: whose targets they are.
    """

    modality: str
    batch_size: int
    seed: int
    augmentations: tuple[Any, ...]
    views: int | None
    balance: str
    width: int
    task: str = tasks.DEFAULT

    @property
    def augments(self) -> ModuleType:
        """What changes examples at random."""
        return part(self.modality, "augment")

    def view(self, epoch: int | tf.Tensor) -> int | tf.Tensor:
        """Which view of each image an epoch shows."""
        return epoch if self.views is None else epoch % self.views


def prepared(dataset: Dataset, split: str, config: RunConfig) -> Inputs:
    """Prepared examples of a split: in memory if they fit, else on disk, else decoded when read.

    Files much larger than what is prepared of them may be decoded at a fraction, in `train` alone.
    """
    examples, settings = dataset.splits[split], config.settings
    labels = dataset.labels(split)
    if dataset.draw is not None and split == "train":
        return Inputs(labels, None, _drawer(dataset.draw))
    if dataset.root is None:
        raw = dataset.raw[[example.index for example in examples]]
        return Inputs(labels, part(config.modality, "prepare").embedded(raw, settings))
    decoded = _decoder(dataset, split, settings)
    if dataset.shards is not None and split == "train":
        return Inputs(labels, None, _one_by_one(dataset, decoded))
    read = reader([str(dataset.root / example.file) for example in examples], decoded)

    def fill(array: np.ndarray) -> None:
        found = read(tf.data.Dataset.range(len(array)))
        # Small batches: fresh memory of megabytes costs a page fault every 4 KiB.
        _fill(array, untuned(found.batch(16).prefetch(4)), f"decode {split}")

    shape, dtype = (len(examples), *settings.shape), np.dtype(settings.dtype)
    needed = int(np.prod(shape)) * dtype.itemsize
    if needed <= MEMORY_SHARE * free_memory():
        array = np.empty(shape, dtype)
        fill(array)
        return Inputs(labels, array)
    if needed <= config.cache.max_bytes:
        key = _key(dataset, split, settings)
        return Inputs(labels, store.keep(config.cache, key, shape, dtype, fill).array)
    return Inputs(labels, None, read)


Decoded = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]  # Of an index and what its file holds.


def _decoder(dataset: Dataset, split: str, settings: Any) -> Decoded:
    """From an example's index and what its file holds to its prepared tensor."""
    checked = [example.checked for example in dataset.splits[split]]
    decoder = part(settings.modality, "prepare").decoder
    return decoder(checked, settings, dataset.is_fraction(split))


def _one_by_one(dataset: Dataset, decoded: Decoded) -> Read:
    """Examples from the middle of shards, slowly: a few of them, to be looked at."""
    files = [example.file for example in dataset.splits["train"]]

    def find(index: np.ndarray) -> bytes:
        return dataset.shards.one(files[int(index)])

    def one(i: tf.Tensor) -> tf.Tensor:
        return decoded(i, tf.numpy_function(find, [i], tf.string))

    return lambda indices: indices.map(unconverted(one))


def reader(paths: list[str], decoded: Decoded) -> Read:
    """Prepared examples of files, decoded when they are read."""
    # Said to be text, since TensorFlow takes an empty list for one of numbers.
    names = tf.constant(paths, tf.string)
    one = unconverted(lambda i: decoded(i, tf.io.read_file(names[i])))
    # More calls than cores: with as many, a core often waits for its next file.
    return lambda indices: indices.map(one, 4 * CORES) if paths else indices


def _drawer(draw: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]) -> Read:
    """Examples that are drawn when they are read."""

    def read(indices: tf.data.Dataset) -> tf.data.Dataset:
        drawn = indices.batch(64).map(unconverted(lambda i: draw(i)[0]), CORES)
        return drawn.unbatch()

    return read


def _key(dataset: Dataset, split: str, settings: Any) -> dict:
    described = part(settings.modality, "config").described(settings)
    return {
        "kind": f"{settings.modality}s of {split}, {described}",
        "digests": [example.digest for example in dataset.splits[split]],
        **preparation(settings, dataset, split),
    }


def preparation(settings: Any, dataset: Dataset, split: str) -> dict:
    """All that decides a prepared example beside its content."""
    fields = part(settings.modality, "config").PREPARATION
    chosen = {name: getattr(settings, name) for name in fields}
    by = {"tl_keras": VERSION, "tensorflow": tf.__version__}
    by |= part(settings.modality, "prepare").BY
    return {**chosen, "fraction": dataset.is_fraction(split), **by}


def _fill(array: np.ndarray, batches: tf.data.Dataset, title: str) -> None:
    with progress(None, title, len(array), " examples") as bar:
        start = 0
        for batch in batches.as_numpy_iterator():
            array[start : start + len(batch)] = batch
            start += len(batch)
            bar.update(len(batch))


# AutoGraph, which makes `tf.cond` of `if`, has nothing to do here, and takes 10 ms a function.
unconverted = tf.autograph.experimental.do_not_convert


def untuned(data: tf.data.Dataset) -> tf.data.Dataset:
    """The same data set, with the parallelism that it was given and no tuning of it.

    tf.data's tuning thread sleeps 10, 20, 40 ... ms, and an iterator that ends waits for it to
    wake: in TensorFlow 2.21 an epoch takes up to twice its time.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return data.with_options(options)


def free_memory() -> int:
    """Bytes of memory that this process may still take: of the machine and of its container."""
    free = psutil.virtual_memory().available
    try:
        limit, used = ((CONTAINER / name).read_text() for name in ("memory.max", "memory.current"))
        lines = (CONTAINER / "memory.stat").read_text().splitlines()
        reclaimable = dict(line.split() for line in lines)["inactive_file"]
        return min(free, int(limit) - int(used) + int(reclaimable))
    except (OSError, ValueError, KeyError):  # No container, or one without a limit: `max`.
        return free


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
    return np.concatenate(list(evaluation(inputs, 64).as_numpy_iterator()))


def _placed(inputs: Inputs, indices: tf.data.Dataset) -> tf.data.Dataset:
    return indices if inputs.rows is None else indices.map(unconverted(inputs.places))


def view(inputs: Inputs, batch_size: int, how: Training, epoch: int) -> tf.data.Dataset:
    """`evaluation`, of the view of each example that an epoch of training shows."""

    def augmented(x: tf.Tensor, numbers: tf.Tensor) -> tf.Tensor:
        return how.augments.augment(x, numbers, how.augmentations)

    rows = tf.data.Dataset.from_tensor_slices(inputs.numbers(how, epoch))
    both = tf.data.Dataset.zip(evaluation(inputs, batch_size), rows.batch(batch_size))
    return untuned(both.map(unconverted(augmented), CORES))


def numbers_of(count: int, how: Training, view: int | tf.Tensor) -> tf.Tensor:
    """`(count, columns) float32` in [0, 1): what makes a view of each example."""
    shape = (count, how.augments.num_columns(how.augmentations))
    return tf.random.stateless_uniform(shape, (2 * how.seed, view))


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
        images = inputs.read(rows.map(unconverted(lambda *row: inputs.places(row[2]))))
        images = images.batch(batch_size, drop_remainder=True)
        batches = tf.data.Dataset.zip(batches, images).map(unconverted(finish), CORES)
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

    def finish(row: tuple[tf.Tensor, ...], x: tf.Tensor) -> tuple[tf.Tensor, ...]:
        now, positions, indices, numbers = row
        step = positions[0] // tf.shape(positions)[0]
        x = how.augments.augment(x, numbers, how.augmentations)
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
