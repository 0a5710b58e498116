"""Training examples in the shards of TensorFlow Datasets, read side by side: nothing is unpacked.

One pass over them finds what a folder's audit finds: content, label, size, and what cannot be read.
It is remembered for each shard. Validation and test examples, which are fewer, become files.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from tqdm import tqdm

from tl_keras.data.audit import CHECKED_BY, Checked, check_content
from tl_keras.data.pillow import quiet_pillow
from tl_keras.files import write_json

SIDE_BY_SIDE = 16  # shards
SHUFFLED = (
    4096  # Examples, still encoded, that the next one is drawn from; some 500 MB of ImageNet.
)
UNLABELLED = "it has no label"


@dataclass(frozen=True)
class Shards:
    """What is streamed.

    Attributes:
      builder: of TFDS, prepared.
      split: TFDS's own name of the split, or a part of it, as `train[100:]`.
      first: of the part, its place in the split.
    """

    builder: Any
    split: str
    first: int = 0

    def encoded(self, part: str | None = None, **choices: Any) -> tf.data.Dataset:
        """Examples with `image`, still encoded, `label` and `tfds_id`, in order.

        Args:
          part: of the split; else all of it.
          choices: of `tfds.ReadConfig`.
        """
        return self.builder.as_dataset(
            split=part or self.split,
            decoders={"image": tfds.decode.SkipDecoding()},
            read_config=tfds.ReadConfig(add_tfds_id=True, try_autocache=False, **choices),
            shuffle_files=False,
        )

    def shuffled(self, names: Sequence[str], seed: int) -> Callable[[int], tf.data.Dataset]:
        """By epoch, all named examples: `(index int64, image as encoded)`, in another order each.

        Shards in random order, some of them side by side, and of what is read a few thousand are
        drawn from: a function of the seed and the epoch.

        Args:
          names: as `tfds_id`; others are passed over. An index is a place among them.
        """
        places = tf.lookup.KeyValueTensorInitializer(
            tf.constant(names), tf.range(len(names), dtype=tf.int64)
        )
        table = tf.lookup.StaticHashTable(places, -1)

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
            named = mixed.map(lambda own: (table.lookup(own["tfds_id"]), own["image"]))
            return named.filter(lambda index, image: index >= 0)

        return read

    def one(self, name: str) -> bytes:
        """The image of a named example, as encoded; looked for from the start of its shard."""
        file, _, place = name.rpartition("__")
        start = next(start for start, _, own in self.bounds() if own == file) + int(place)
        (found,) = self.encoded(f"{self.whole}[{start}:{start + 1}]").as_numpy_iterator()
        return found["image"]

    @property
    def whole(self) -> str:
        """The name of the split that this is a part of."""
        return self.split.partition("[")[0]

    def bounds(self) -> list[tuple[int, int, str]]:
        """Of each shard of the split its first position, that after its last, and its file."""
        files = self.builder.info.splits[self.whole].file_instructions
        ends = np.cumsum([0, *(file.examples_in_shard for file in files)]).tolist()
        names = [Path(file.filename).name for file in files]
        return list(zip(ends, ends[1:], names, strict=False))


@dataclass(frozen=True)
class Entry:
    """An example of a shard: its name, its label as TFDS numbers it, and what it holds."""

    name: str
    label: int
    checked: Checked


def census(shards: Shards, max_pixels: int, memory: Path) -> list[Entry]:
    """Every example of a split, checked, in order; shards that were read before are not again.

    Args:
      memory: folder that remembers, one file a shard.
    """
    found, by = [], [*CHECKED_BY, max_pixels]
    for start, end, name in tqdm(shards.bounds(), "audit", unit=" shards", leave=False):
        start = max(start, shards.first)
        file = memory / f"{name}_{start}.json"
        if start >= end:
            continue
        entries = _recall(file, by)
        if entries is None:
            part = shards.encoded(f"{shards.whole}[{start}:{end}]")
            entries = list(_check(part, max_pixels))
            rows = [[entry.name, entry.label, asdict(entry.checked)] for entry in entries]
            write_json(file, {"by": by, "examples": rows})
        found += entries
    return found


def _recall(file: Path, by: list) -> list[Entry] | None:
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
        if known["by"] != by:
            return None
        return [Entry(name, label, Checked(**own)) for name, label, own in known["examples"]]
    # None yet, or damaged: the shard is read again.
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _check(examples: tf.data.Dataset, max_pixels: int) -> Iterator[Entry]:
    def one(example: dict[str, Any]) -> Entry:
        name, label = example["tfds_id"].decode(), int(example["label"])
        checked = check_content(example["image"], max_pixels)
        if label < 0 and not checked.reason:
            checked = Checked(checked.digest, reason=UNLABELLED)
        return Entry(name, label, checked)

    with quiet_pillow(), ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(one, examples.as_numpy_iterator())
