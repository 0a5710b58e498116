"""Examples in the shards of TensorFlow Datasets, read side by side: nothing is unpacked but what is
measured on.

One pass over them finds what a folder's audit finds: content, label, size, and what cannot be read.
It is remembered for each shard.
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

SIDE_BY_SIDE = 16  # shards
SHUFFLED = 4096  # Examples, still encoded, that the next one is drawn from: 500 MB of ImageNet.
AT_ONCE = 256  # examples that are checked


@dataclass(frozen=True)
class Shards:
    """What is streamed.

    Attributes:
      builder: of TFDS, prepared.
      split: TFDS's own name of the split.
      feature: the name of what holds an example.
    """

    builder: Any
    split: str
    feature: str

    def encoded(self, part: str = "", **choices: Any) -> tf.data.Dataset:
        """Examples with `feature`, still encoded, `label` and `tfds_id`, in order.

        Args:
          part: of the split, as `[100:200]`; else all of it.
          choices: of `tfds.ReadConfig`.
        """
        # Its guard is against reading side by side what is kept in order.
        choices = {"add_tfds_id": True, "try_autocache": False, **choices}
        return self.builder.as_dataset(
            split=f"{self.split}{part}",
            decoders={self.feature: tfds.decode.SkipDecoding()},
            read_config=tfds.ReadConfig(enable_ordering_guard=False, **choices),
            shuffle_files=False,
        )

    def shuffled(self, names: Sequence[str], seed: int) -> Callable[[int], tf.data.Dataset]:
        """By epoch, all named examples: `(index int64, example as encoded)`, in another order each.

        Shards in random order, some of them side by side, and of what is read a few thousand are
        drawn from: a function of the seed and the epoch.

        Args:
          names: as `tfds_id`; others are passed over. An index is a place among them.
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
            # TensorFlow joins this seed with the global one, which each run sets to its own.
            own = int(np.random.default_rng([seed, epoch]).integers(2**31))
            mixed = examples.shuffle(SHUFFLED, seed=own, reshuffle_each_iteration=False)
            named = mixed.map(lambda example: (place(example["tfds_id"]), example[self.feature]))
            return named.filter(lambda index, content: index >= 0)

        return read

    def one(self, name: str) -> bytes:
        """A named example, as encoded; looked for from the start of its shard."""
        file, _, place = name.rpartition("__")
        start = next(start for start, _, own in self.bounds() if own == file) + int(place)
        (found,) = self.encoded(f"[{start}:{start + 1}]").as_numpy_iterator()
        return found[self.feature]

    def unpack(self, names: Sequence[str], folder: Path) -> None:
        """Writes named examples, as encoded, to files of their names; those that are
        there already are left as they are."""
        missing = [name for name in names if not (folder / name).exists()]
        if not missing:
            return
        place = _places(missing)
        found = self.encoded().filter(lambda example: place(example["tfds_id"]) >= 0)
        bar = progress(found.as_numpy_iterator(), "unpack", len(missing), f" {self.feature}s")
        for example in bar:
            with replacing(folder / example["tfds_id"].decode()) as temporary:
                temporary.write_bytes(example[self.feature])

    def bounds(self) -> list[tuple[int, int, str]]:
        """Of each shard its first position, that after its last, and its file's name."""
        files = self.builder.info.splits[self.split].file_instructions
        ends = np.cumsum([0, *(file.examples_in_shard for file in files)]).tolist()
        names = [Path(file.filename).name for file in files]
        return list(zip(ends, ends[1:], names, strict=False))


def _places(names: Sequence[str]) -> Callable[[tf.Tensor], tf.Tensor]:
    """By name its place among some, -1 of any other."""
    values = tf.range(len(names), dtype=tf.int64)
    known = tf.lookup.KeyValueTensorInitializer(tf.constant(names), values)
    return tf.lookup.StaticHashTable(known, -1).lookup


@dataclass(frozen=True)
class ShardExample:
    """An example of a shard: its name, its label as TFDS numbers it, and what it holds."""

    name: str
    label: int
    checked: Any


def census(shards: Shards, settings: Any, memory: Path) -> list[ShardExample]:
    """Every example of a split, checked, in order; shards that were read before are not again.

    Args:
      settings: the section of the examples' modality.
      memory: folder that remembers, one file a shard.
    """
    found, by = [], [*checked_by(settings), checks_of(settings).bound(settings)]
    for start, end, name in progress(shards.bounds(), "audit", unit=" shards"):
        file = memory / f"{name}.json"
        entries = _recall(file, by, checks_of(settings).Checked)
        if entries is None:
            entries = list(_check(shards, f"[{start}:{end}]", settings))
            rows = [[entry.name, entry.label, asdict(entry.checked)] for entry in entries]
            write_json(file, {"by": by, "examples": rows})
        found += entries
    return found


def _recall(file: Path, by: list, kind: type) -> list[ShardExample] | None:
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
        if known["by"] != by:
            return None
        return [ShardExample(name, label, kind(**own)) for name, label, own in known["examples"]]
    # None yet, or damaged: the shard is read again.
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _check(shards: Shards, place: str, settings: Any) -> Iterator[ShardExample]:
    def one(example: dict[str, Any]) -> ShardExample:
        checked = check_content(example[shards.feature], settings)
        return ShardExample(example["tfds_id"].decode(), int(example["label"]), checked)

    read = shards.encoded(place).as_numpy_iterator()
    with checks_of(settings).session(), ThreadPoolExecutor(os.cpu_count()) as pool:
        while some := list(islice(read, AT_ONCE)):
            yield from pool.map(one, some)
