"""Missing splits, carved from train by rank of a content hash."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

from tl_keras.config import DataConfig
from tl_keras.data.examples import SPLITS, Example

Splits = dict[str, list[Example]]


def carve(
    splits: Splits,
    groups: dict[str, str],
    config: DataConfig,
    alike: Sequence[Sequence[Example]] = (),
) -> Splits:
    """Splits with `val` and `test` filled from train where the source gave none.

    Within a class, units are ranked by a hash of their content with `data.split_seed`, so the
    shares are exact to half a unit, and an added file moves at most its unit and neighbours. A
    unit is an example with all its exact copies or all that are connected by a copy, a group, or
    looking alike.

    Args:
      splits: examples a split; missing splits are empty.
      groups: file to group, for files that have one.
      config: shares, split seed, `examples_per_class`.
      alike: examples that look alike, in lists.

    Raises:
      ValueError: a given val leaves no room for train in `examples_per_class`.
    """
    units, seed = _units(splits["train"], groups, alike), config.split_seed
    sizes = _sizes(units)  # `data.val` and `data.test` are shares of the whole.
    test, val = list(splits["test"]), list(splits["val"])
    if not test and config.test > 0:
        test, units = _take(units, _shares(sizes, config.test), seed)
    if config.examples_per_class is not None:
        room = config.examples_per_class - _most(val)
        if room < 1:
            raise ValueError(
                f"data.examples_per_class: {config.examples_per_class}, train and val together; "
                f"val alone has {_most(val)} of a class: expected more than that"
            )
        kept, _ = _take(units, dict.fromkeys(sizes, room), seed, strict=True)
        units = _units(kept, groups, alike)
        sizes = _sizes(units)
    if not val:
        val, units = _take(units, _shares(sizes, config.val), seed)
    train = [example for unit in units for example in unit]
    ordered = {"train": train, "val": val, "test": test}
    return {name: sorted(ordered[name], key=lambda example: example.file) for name in SPLITS}


def _sizes(units: list[list[Example]]) -> dict[int, int]:
    sizes: dict[int, int] = defaultdict(int)
    for unit in units:
        sizes[_label(unit)] += len(unit)
    return sizes


def _shares(sizes: dict[int, int], share: float) -> dict[int, int]:
    return {label: max(1, round(share * size)) for label, size in sizes.items()}


def _most(examples: list[Example]) -> int:
    return max(Counter(example.label for example in examples).values(), default=0)


def _units(
    examples: list[Example], groups: dict[str, str], alike: Sequence[Sequence[Example]]
) -> list[list[Example]]:
    """Examples that must stay together: same content, same group, alike, or linked by these."""
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        while parent.setdefault(key, key) != key:
            parent[key] = parent[parent[key]]  # Half the way next time.
            key = parent[key]
        return key

    for example in examples:
        if group := groups.get(example.file):
            parent[root(f"digest {example.digest}")] = root(f"group {group}")
    for first, *others in alike:
        for other in others:
            parent[root(f"digest {other.digest}")] = root(f"digest {first.digest}")
    units = defaultdict(list)
    for example in examples:
        units[root(f"digest {example.digest}")].append(example)
    return list(units.values())


def _take(
    units: list[list[Example]], counts: dict[int, int], seed: int, strict: bool = False
) -> tuple[list[Example], list[list[Example]]]:
    """Of each class `counts[label]` examples, in rank order, and the units that are left.

    A unit of several examples counts whole and is taken when at least half of it still fits;
    where `strict`, when all of it does.
    """
    classes = defaultdict(list)
    for unit in units:
        classes[_label(unit)].append(unit)
    taken, left = [], []
    for label in sorted(classes):
        room = counts[label]
        for unit in sorted(classes[label], key=lambda unit: _rank(unit, seed)):
            fits = len(unit) <= (room if strict else 2 * room)
            (taken if fits else left).append(unit)
            room -= len(unit) if fits else 0
    return [example for unit in taken for example in unit], left


def _label(unit: list[Example]) -> int:
    """The class that a unit counts to, whatever order its examples are listed in."""
    return min(unit, key=lambda example: example.digest).label


def _rank(unit: list[Example], seed: int) -> str:
    content = min(example.digest for example in unit)
    return hashlib.sha256(f"{seed} {content}".encode()).hexdigest()
