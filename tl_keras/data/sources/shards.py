"""Reads training examples from the shards of TensorFlow Datasets without unpacking them.

A shard is a file that holds many examples. Only validation and test examples are unpacked, to one
file each. One pass over the shards checks each example, as if it were a file in a folder. The
results are cached for each shard.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from tl_keras.data.check_files import check_content, checked_by, checks_of
from tl_keras.run.files import replacing, write_json
from tl_keras.run.progress import progress

SIDE_BY_SIDE = 16  # shards that are read at the same time
SHUFFLED = 4096  # Encoded examples in the shuffle buffer: 500 MB of ImageNet.
AT_ONCE = 256  # examples that are checked at the same time


@dataclass(frozen=True)
class Shards:
    """The shards of a TFDS split that are streamed.

    Attributes:
      builder: a prepared builder of TFDS.
      split: the name of the split in TFDS.
      feature: the name of the feature that holds an example.
    """

    builder: Any
    split: str
    feature: str

    def encoded(self, part: str = "", **choices: Any) -> tf.data.Dataset:
        """Returns the examples of the split as they are stored, for example as JPEG; not decoded.

        Each example is a dict with `label`, `tfds_id` and the feature that `feature` names. The
        examples are in the order of the split, unless `choices` changes the order.

        Args:
          part: a part of the split such as `[100:200]`; "" for the whole split.
          choices: further arguments of `tfds.ReadConfig`.
        """
        # The ordering guard forbids reading several shards of an ordered split at the same time.
        choices = {"add_tfds_id": True, "try_autocache": False, **choices}
        return self.builder.as_dataset(
            split=f"{self.split}{part}",
            decoders={self.feature: tfds.decode.SkipDecoding()},
            read_config=tfds.ReadConfig(enable_ordering_guard=False, **choices),
            shuffle_files=False,
        )

    def shuffled(self, names: Sequence[str], seed: int) -> Callable[[int], tf.data.Dataset]:
        """Returns a function that reads the examples of one epoch in random order.

        The argument of this function is the number of the epoch. It returns a `tf.data.Dataset` of
        pairs `(index int64, encoded example)`. Their order depends only on the seed and the epoch:
        the shards are in random order, several are read at the same time, and their examples go
        through a shuffle buffer.

        Args:
          names: `tfds_id` of the examples to read; `index` is a position in this list.
        """
        place = _places(names)

        def read(epoch: int) -> tf.data.Dataset:
            def in_random_order(files: list) -> list:
                order = np.random.default_rng([seed, epoch]).permutation(len(files))
                return [files[i] for i in order]

            examples = self.encoded(
                experimental_interleave_sort_fn=in_random_order,
                interleave_cycle_length=SIDE_BY_SIDE,
                interleave_block_length=1,
            )
            # TensorFlow combines this seed with the global one, which each run sets itself.
            buffer_seed = int(np.random.default_rng([seed, epoch]).integers(2**31))
            shuffled = examples.shuffle(SHUFFLED, seed=buffer_seed, reshuffle_each_iteration=False)
            named = shuffled.map(lambda example: (place(example["tfds_id"]), example[self.feature]))
            return named.filter(lambda index, content: index >= 0)

        return read

    def one(self, name: str) -> bytes:
        """Returns an encoded example by its name; slow, since its shard is read from the start."""
        file, _, place = name.rpartition("__")
        start = next(start for start, _, shard in self.bounds() if shard == file) + int(place)
        (example,) = self.encoded(f"[{start}:{start + 1}]").as_numpy_iterator()
        return example[self.feature]

    def unpack(self, names: Sequence[str], folder: Path) -> None:
        """Writes the stored bytes of each named example to `folder/name`; skips existing files."""
        missing = [name for name in names if not (folder / name).exists()]
        if not missing:
            return
        place = _places(missing)
        wanted = self.encoded().filter(lambda example: place(example["tfds_id"]) >= 0)
        bar = progress(wanted.as_numpy_iterator(), "unpack", len(missing), f" {self.feature}s")
        for example in bar:
            with replacing(folder / example["tfds_id"].decode()) as temporary:
                temporary.write_bytes(example[self.feature])

    def bounds(self) -> list[tuple[int, int, str]]:
        """Returns `(start, end, file name)` of each shard: it has the examples start to end - 1."""
        files = self.builder.info.splits[self.split].file_instructions
        ends = np.cumsum([0, *(file.examples_in_shard for file in files)]).tolist()
        names = [Path(file.filename).name for file in files]
        return list(zip(ends, ends[1:], names, strict=False))


def _places(names: Sequence[str]) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a function from a name to its position in `names`, or -1 if `names` lacks it."""
    values = tf.range(len(names), dtype=tf.int64)
    known = tf.lookup.KeyValueTensorInitializer(tf.constant(names), values)
    return tf.lookup.StaticHashTable(known, -1).lookup


@dataclass(frozen=True)
class ShardExample:
    """An example in a shard, with the result of its check."""

    name: str  # its `tfds_id`
    label: int  # index of the label in TensorFlow Datasets; below 0 if the example has no label
    checked: Any  # a `Checked` of the modality


def census(shards: Shards, settings: Any, cache_folder: Path) -> list[ShardExample]:
    """Checks all examples of a split, and returns each with its result, in the order of the split.

    Args:
      settings: the config section of the modality.
      cache_folder: the folder with the cached results of checks, one file for each shard.
    """
    examples, by = [], [*checked_by(settings), checks_of(settings).bound(settings)]
    for start, end, name in progress(shards.bounds(), "audit", unit=" shards"):
        file = cache_folder / f"{name}.json"
        entries = _recall(file, by, checks_of(settings).Checked)
        if entries is None:
            entries = list(_check(shards, f"[{start}:{end}]", settings))
            rows = [[entry.name, entry.label, asdict(entry.checked)] for entry in entries]
            write_json(file, {"by": by, "examples": rows})
        examples += entries
    return examples


def _recall(file: Path, by: list, kind: type) -> list[ShardExample] | None:
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
        if known["by"] != by:
            return None
        rows = known["examples"]
        return [ShardExample(name, label, kind(**checked)) for name, label, checked in rows]
    # If the cache file is missing or damaged, the shard is read again.
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _check(shards: Shards, place: str, settings: Any) -> Iterator[ShardExample]:
    def one(example: dict[str, Any]) -> ShardExample:
        checked = check_content(example[shards.feature], settings)
        return ShardExample(example["tfds_id"].decode(), int(example["label"]), checked)

    read = shards.encoded(place).as_numpy_iterator()
    with checks_of(settings).session(), ThreadPoolExecutor(os.cpu_count()) as pool:
        while batch := list(islice(read, AT_ONCE)):
            yield from pool.map(one, batch)
