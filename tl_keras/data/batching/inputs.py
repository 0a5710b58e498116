"""Holds the prepared examples of a split: in memory, on disk, or decoded when they are read."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import psutil
import tensorflow as tf

from tl_keras import tasks
from tl_keras.config.whole import RunConfig
from tl_keras.data import contents, store
from tl_keras.data.batching import ragged, windows
from tl_keras.data.examples import Dataset
from tl_keras.maybe import Maybe
from tl_keras.modalities import part
from tl_keras.run.progress import progress
from tl_keras.version import VERSION

MEMORY_SHARE = 0.25  # of the free memory for the prepared examples of a split
CONTAINER = Path("/sys/fs/cgroup")  # Memory limits of a container: Linux, cgroup version 2.
# Cores that this process may use, if the platform says so, else all.
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

# From a data set of `int64` scalars, which are indices, to prepared examples, one by one.
Read = Callable[[tf.data.Dataset], tf.data.Dataset]


# An array, a `Ragged` or a tuple of them, each with a row for each example.
Arrays = Maybe[np.ndarray]


@dataclass(frozen=True)
class Inputs:
    """The prepared examples of a split, or a function that reads them.

    Attributes:
      labels: the label of each example, `(examples,)`; `int64` for classes.
      array: prepared examples or activations, `(examples, ...)`, or a tuple of activations and the
        examples that they belong to; None if the array would be too large.
      read: if `array` is None, a function from a `tf.data.Dataset` of indices to one of prepared
        examples.
      rows: None if these examples are a whole set. If they are a part of a larger set, the pool, as
        in a fold of cross-validation, `rows` holds their positions in it, `(examples,) int64`, and
        `array` and `read` cover the whole pool.
      pool: the number of examples in the pool; 0 if there is no pool.
      windows: the windows of the examples, if one of them is longer than the model takes. `array`
        has the start of each. None if `array` has the examples as they are.
    """

    labels: np.ndarray
    array: Arrays
    read: Maybe[Read] = None
    rows: Maybe[np.ndarray] = None
    pool: int = 0
    windows: "Maybe[windows.Windows]" = None

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, rows: np.ndarray) -> "Inputs":
        """Returns the examples at the positions `rows`, without copying the array.

        Each example is augmented with the same random numbers as in the whole set.
        """
        places = rows if self.rows is None else self.rows[rows]
        chosen = self.windows and self.windows.part(np.arange(len(self))[rows])
        pool = self.pool or len(self)
        return Inputs(self.labels[rows], self.array, self.read, places, pool, chosen)

    def take(self, chosen: Any) -> Arrays:
        """Returns the chosen rows of `array`; a tuple of them if `array` is a tuple.

        Args:
          chosen: a slice, or positions of examples.
        """
        rows = chosen if self.rows is None else self.rows[chosen]
        return tf.nest.map_structure(lambda array: array[rows], self.array)

    def whole(self) -> Arrays:
        """Returns all rows of `array`; those of a `Ragged` are not padded."""
        if self.rows is None:
            return self.array
        return tf.nest.map_structure(lambda array: ragged.part(array, self.rows), self.array)

    @property
    def lengths(self) -> Maybe[np.ndarray]:
        """The length of each example, `(examples,) int64`; None if all have the same length."""
        first = tf.nest.flatten(self.array)[0]
        if not isinstance(first, ragged.Ragged):
            return None
        return first.lengths if self.rows is None else first.lengths[self.rows]

    def places(self, indices: tf.Tensor) -> tf.Tensor:
        """Converts the indices of examples in this part of a pool to their positions in the pool.

        Without a pool, returns `indices`.
        """
        return indices if self.rows is None else tf.gather(self.rows, indices)

    def numbers(self, how: "Training", view: int | tf.Tensor) -> tf.Tensor:
        """Returns the random numbers that make augmented view `view` of each example.

        See `numbers_of`.
        """
        if self.rows is None:
            return numbers_of(len(self), how, view)
        return tf.gather(numbers_of(self.pool, how, view), self.rows)


@dataclass(frozen=True)
class Training:
    """Describes how a split is read for training.

    Attributes:
      modality: the modality of the examples.
      batch_size: examples per training step; a smaller last batch is left out.
      seed: together with the epoch, decides the order of the examples and how each is augmented.
      augmentations: the random operations of the modality that augment an example.
      views: the number of different augmented views of each example; epoch e trains on view
        `e % views`. None if each epoch has new views.
      balance: what is done for rare classes: `none`, `weights` (in the loss) or `oversample`.
      width: the number of columns of the training targets, such as the number of classes.
      task: the task that the targets belong to, such as `classification`.
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
        """The modality's module for random augmentation."""
        return part(self.modality, "augment")

    def view(self, epoch: int | tf.Tensor) -> int | tf.Tensor:
        """Returns the number of the augmented view that an epoch trains on."""
        return epoch if self.views is None else epoch % self.views


def prepared_split(dataset: Dataset, split: str, config: RunConfig) -> Inputs:
    """Returns the prepared examples of a split.

    They are an array in memory if they fit there, else an array in the cache on disk. If they are
    too large for the cache as well, they are decoded each time they are read. In `train`, files
    that are much larger than the prepared example may be decoded at a fraction of their size.
    """
    examples, settings = dataset.splits[split], config.settings
    labels = dataset.labels(split)
    if dataset.draw is not None and split == "train":
        return Inputs(labels, None, _drawer(dataset.draw))
    if dataset.root is None:
        raw = dataset.raw[[example.index for example in examples]]
        array = part(config.modality, "prepare").embedded(raw, settings)
        return of_examples(labels, array, settings)
    decoded = _decoder(dataset, split, settings)
    if dataset.shards is not None and split == "train":
        return Inputs(labels, None, _one_by_one(dataset, decoded))
    read = reader([dataset.root / example.file for example in examples], decoded)

    def fill(array: np.ndarray) -> None:
        examples = read(tf.data.Dataset.range(len(array)))
        # Small batches: fresh memory of megabytes costs a page fault every 4 KiB.
        _fill(array, untuned(examples.batch(16).prefetch(4)), f"decode {split}")

    if is_variable(settings):
        return read_all(read, labels, settings, f"prepare {split}")
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


def is_variable(settings: Any) -> bool:
    """Returns whether prepared examples have different lengths."""
    return settings.shape[0] is None


def of_examples(labels: np.ndarray, examples: Sequence[np.ndarray], settings: Any) -> Inputs:
    """Returns prepared examples as inputs.

    Examples of different length that are longer than the model takes are divided into windows.
    """
    if not is_variable(settings):
        return Inputs(labels, np.asarray(examples))
    prepare = part(settings.modality, "prepare")
    short = [prepare.shortened(one, settings) for one in examples]
    array = ragged.of(short, np.empty((0,), settings.dtype))
    divided = windows.of([prepare.windows(one, settings) for one in examples], settings.dtype)
    return Inputs(labels, array, windows=divided)


def read_all(read: Read, labels: np.ndarray, settings: Any, title: str) -> Inputs:
    """Reads and prepares one example for each label, and returns them as `of_examples` does."""
    examples = untuned(read(tf.data.Dataset.range(len(labels)))).as_numpy_iterator()
    listed = list(progress(examples, title, len(labels), " examples"))
    return of_examples(labels, listed, settings)


Run = Callable[[Inputs], Any]


def over_windows(run: Run, inputs: Inputs) -> Any:
    """Returns what `run` returns for `inputs`; for examples in windows, the mean over the windows.

    Args:
      run: returns arrays with one row for each example, such as the answers of a model.
    """
    if inputs.windows is None:
        return run(inputs)
    labels = np.zeros(len(inputs.windows.array), np.int64)
    return tf.nest.map_structure(inputs.windows.joined, run(Inputs(labels, inputs.windows.array)))


Decoded = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]  # From index and content to the example.


def _decoder(dataset: Dataset, split: str, settings: Any) -> Decoded:
    """Returns a function that decodes and prepares a file, given its index and its content."""
    checked = [example.checked for example in dataset.splits[split]]
    decoder = part(settings.modality, "prepare").decoder
    return decoder(checked, settings, dataset.is_fraction(split))


def _one_by_one(dataset: Dataset, decoded: Decoded) -> Read:
    """Returns a function that finds single examples in shards by index, see `Read`.

    It is slow, so it serves only for a few examples, such as those that the report shows.
    """
    files = [example.file for example in dataset.splits["train"]]

    def find(index: np.ndarray) -> bytes:
        return dataset.shards.one(files[int(index)])

    def one(i: tf.Tensor) -> tf.Tensor:
        return decoded(i, tf.numpy_function(find, [i], tf.string))

    return lambda indices: indices.map(unconverted(one))


def reader(paths: list[Path], decoded: Decoded) -> Read:
    """Returns a function that reads and decodes the examples at given indices, see `Read`.

    Args:
      paths: paths of files, or addresses of cells, see `contents`.
    """
    in_tables = any(contents.holder(path) != path for path in paths)
    # The dtype is given because TensorFlow takes an empty list for numbers.
    if in_tables:
        texts = tf.constant([contents.read(path) for path in paths], tf.string)
        one = unconverted(lambda i: decoded(i, texts[i]))
    else:
        names = tf.constant([str(path) for path in paths], tf.string)
        one = unconverted(lambda i: decoded(i, tf.io.read_file(names[i])))
    # More calls than cores: otherwise a core often waits for its next file.
    return lambda indices: indices.map(one, 4 * CORES) if paths else indices


def _drawer(draw: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]) -> Read:
    """Returns a function that generates the examples at given indices, see `Read`."""

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
    """Returns the settings and versions that a prepared example depends on, besides its file."""
    fields = part(settings.modality, "config").PREPARATION
    chosen = {name: getattr(settings, name) for name in fields}
    by = {"tl_keras": VERSION, "tensorflow": tf.__version__}
    by |= part(settings.modality, "prepare").by(settings)
    return {**chosen, "fraction": dataset.is_fraction(split), **by}


def _fill(array: np.ndarray, batches: tf.data.Dataset, title: str) -> None:
    with progress(None, title, len(array), " examples") as bar:
        start = 0
        for batch in batches.as_numpy_iterator():
            array[start : start + len(batch)] = batch
            start += len(batch)
            bar.update(len(batch))


# AutoGraph, which turns `if` into `tf.cond`, has nothing to do here and takes 10 ms per function.
unconverted = tf.autograph.experimental.do_not_convert


def untuned(data: tf.data.Dataset) -> tf.data.Dataset:
    """Returns the data set without automatic tuning of its parallelism.

    The tuning thread of tf.data sleeps 10, 20, 40 ... ms, and an iterator that ends waits for it to
    wake. In TensorFlow 2.21 this makes an epoch take up to twice as long.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return data.with_options(options)


def free_memory() -> int:
    """Returns the bytes of free memory: of the machine or of the container, whichever has less."""
    free = psutil.virtual_memory().available
    try:
        limit, used = ((CONTAINER / name).read_text() for name in ("memory.max", "memory.current"))
        lines = (CONTAINER / "memory.stat").read_text().splitlines()
        reclaimable = dict(line.split() for line in lines)["inactive_file"]
        return min(free, int(limit) - int(used) + int(reclaimable))
    except (OSError, ValueError, KeyError):  # Without a container, or without a limit: `max`.
        return free


def numbers_of(count: int, how: Training, view: int | tf.Tensor) -> tf.Tensor:
    """Returns the random numbers that make augmented view `view` of `count` examples.

    The result is `(count, columns) float32` in [0, 1). The augmentations of one example take
    `columns` numbers.
    """
    shape = (count, how.augments.num_columns(how.augmentations))
    return tf.random.stateless_uniform(shape, (2 * how.seed, view))
