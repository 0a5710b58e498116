"""Missing splits, carved from train by rank of a content hash."""

import hashlib
from collections import defaultdict
from collections.abc import Callable

from tl_keras.config import DataConfig
from tl_keras.data.examples import SPLITS, Example

Splits = dict[str, list[Example]]


def carve(splits: Splits, groups: dict[str, str], config: DataConfig) -> Splits:
    """Splits with `val` and `test` filled from train where the source gave none.

    Within a class, units are ranked by a hash of their content with `data.split_seed`, so the
    shares are exact and an added file moves at most its neighbours. A unit is an example with
    all its exact copies or, with groups, all that are connected by a group or a copy.

    Args:
      splits: examples a split; missing splits are empty.
      groups: file to group, for files that have one.
      config: shares, split seed, `examples_per_class`.
    """
    units = _units(splits["train"], groups)
    test, val = list(splits["test"]), list(splits["val"])
    if not test and config.test > 0:
        test, units = _take(units, _share(config.test), config.split_seed)
    if config.examples_per_class is not None:
        room = config.examples_per_class - (_most(val) if splits["val"] else 0)
        kept, _ = _take(units, lambda n: min(n, max(room, 0)), config.split_seed)
        units = _units(kept, groups)
    if not val:
        val, units = _take(units, _share(config.val), config.split_seed)
    train = [example for unit in units for example in unit]
    ordered = {"train": train, "val": val, "test": test}
    return {name: sorted(ordered[name], key=lambda example: example.file) for name in SPLITS}


def _share(share: float) -> Callable[[int], int]:
    return lambda n: max(1, round(share * n))


def _most(examples: list[Example]) -> int:
    counts = defaultdict(int)
    for example in examples:
        counts[example.label] += 1
    return max(counts.values(), default=0)


def _units(examples: list[Example], groups: dict[str, str]) -> list[list[Example]]:
    """Examples that must stay together: same content, same group, or linked through either."""
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        while parent.setdefault(key, key) != key:
            key = parent[key]
        return key

    for example in examples:
        group = groups.get(example.file)
        keys = [f"digest {example.digest}"] + ([f"group {group}"] if group else [])
        for key in keys[1:]:
            parent[root(key)] = root(keys[0])
    units = defaultdict(list)
    for example in examples:
        units[root(f"digest {example.digest}")].append(example)
    return list(units.values())


def _take(
    units: list[list[Example]], count: Callable[[int], int], seed: int
) -> tuple[list[Example], list[list[Example]]]:
    """Of each class `count(examples of it)`, in rank order, and the units that are left.

    A unit of several examples counts whole, to the class of its first one, and is taken when
    at least half of it still fits.
    """
    classes = defaultdict(list)
    for unit in units:
        classes[unit[0].label].append(unit)
    taken, left = [], []
    for label in sorted(classes):
        ranked = sorted(classes[label], key=lambda unit: _rank(unit, seed))
        room = count(sum(len(unit) for unit in ranked))
        for unit in ranked:
            fits = len(unit) <= 2 * room
            (taken if fits else left).append(unit)
            room -= len(unit) if fits else 0
    return [example for unit in taken for example in unit], left


def _rank(unit: list[Example], seed: int) -> str:
    content = min(example.digest for example in unit)
    return hashlib.sha256(f"{seed} {content}".encode()).hexdigest()
