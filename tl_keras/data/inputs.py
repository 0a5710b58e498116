"""Prepared examples of a split: in memory, on disk, or decoded when they are read."""

import os
from collections.abc import Callable
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
from tl_keras.maybe import Maybe
from tl_keras.modalities import part
from tl_keras.run.progress import progress
from tl_keras.version import VERSION

MEMORY_SHARE = 0.25  # of the free memory, that a split's prepared examples may take
CONTAINER = Path("/sys/fs/cgroup")  # Limits of a container, cgroup version 2, under Linux.
# Those that this process may run on, where the platform says.
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

# From `(,) int64` indices to prepared examples, one by one.
Read = Callable[[tf.data.Dataset], tf.data.Dataset]


Arrays = Maybe[np.ndarray]  # Or a tuple of arrays, each with a row for each example.


@dataclass(frozen=True)
class Inputs:
    """Prepared inputs of a split, or how to get them.

    Attributes:
      labels: `(examples,) int64`.
      array: `(examples, ...)`, prepared or activations, or a tuple of activations and what
        they are of; None: too large to keep.
      read: data set of indices to data set of examples, where there is no array.
      rows: `(examples,) int64`, where they are a part of a pool: their places among its examples,
        all of which `array` holds and `read` reads; else None.
      pool: how many examples the pool has.
    """

    labels: np.ndarray
    array: Arrays
    read: Maybe[Read] = None
    rows: Maybe[np.ndarray] = None
    pool: int = 0

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, rows: np.ndarray) -> "Inputs":
        """Some of the examples: nothing is copied, and each has the views that it has in all."""
        places = rows if self.rows is None else self.rows[rows]
        return Inputs(self.labels[rows], self.array, self.read, places, self.pool or len(self))

    def take(self, chosen: slice) -> Arrays:
        """Some of what the array holds, in order."""
        rows = chosen if self.rows is None else self.rows[chosen]
        return tf.nest.map_structure(lambda array: array[rows], self.array)

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
        """Which view of each example an epoch shows."""
        return epoch if self.views is None else epoch % self.views


def prepared_split(dataset: Dataset, split: str, config: RunConfig) -> Inputs:
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


def numbers_of(count: int, how: Training, view: int | tf.Tensor) -> tf.Tensor:
    """`(count, columns) float32` in [0, 1): what makes a view of each example."""
    shape = (count, how.augments.num_columns(how.augmentations))
    return tf.random.stateless_uniform(shape, (2 * how.seed, view))
