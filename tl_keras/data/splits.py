"""Carves missing splits from train by a hash of each file's content, and makes folds."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from tl_keras.config.data import DataConfig
from tl_keras.data.examples import Example

Splits = dict[str, list[Example]]


def carve(
    splits: Splits,
    groups: dict[str, str],
    config: DataConfig,
    alike: Sequence[Sequence[Example]] = (),
) -> Splits:
    """Returns the splits train, val, test and rest; missing val and test are carved from train.

    `rest` holds the examples that `examples_per_class` leaves out.

    A unit is a set of examples that must stay in one split: exact copies, a group, near-duplicates,
    and all examples that are connected by these. A stratum is a set of examples, such as a class.
    Each stratum is divided among the splits in the same proportions. Its units are ranked by a hash
    of their content and `data.split_seed`. The first units form test, the next ones val, and the
    others train. So the shares are exact to half a unit. If a file is added, at most its own unit
    and the units next to it in rank move to another split.

    Args:
      splits: the examples of each split; missing splits are empty.
      groups: a dict from each file that belongs to a group to the name of the group.
      config: the shares of val and test, the split seed and `examples_per_class`.
      alike: sets of near-duplicates.

    Raises:
      ValueError: the data source provides a val that has so many examples of a class that
        `examples_per_class` leaves none for train.
    """
    units, seed = _units(splits["train"], groups, alike), config.split_seed
    named: dict[str, str] = {}
    sizes = _sizes(units)  # `data.val` and `data.test` are shares of all examples.
    test, val, rest = list(splits["test"]), list(splits["val"]), []
    if not test and config.test > 0:
        test, units = _take(units, _shares(sizes, config.test), seed)
    if config.examples_per_class is not None:
        room = config.examples_per_class - _most(val)
        if room < 1:
            raise ValueError(
                f"data.examples_per_class: train and val together may have "
                f"{config.examples_per_class} examples per class, but val alone has {_most(val)} "
                f"of a class; expected more than {_most(val)}"
            )
        kept, left = _take(units, dict.fromkeys(sizes, room), seed, strict=True)
        rest = [example for unit in left for example in unit]
        units = _units(kept, groups, alike)
        sizes = _sizes(units)
    if not val:
        val, units = _take(units, _shares(sizes, config.val), seed)
    train = [example for unit in units for example in unit]
    ordered = {"train": train, "val": val, "test": test, "rest": rest}
    for unit in _units([*train, *val], groups, alike):
        name = min(example.digest for example in unit)
        for example in unit:
            named[example.file] = name
    return {
        name: sorted(
            (replace(e, unit=named.get(e.file, "")) for e in ordered[name]), key=lambda e: e.file
        )
        for name in ordered
    }


def folds(examples: Sequence[Example], count: int, seed: int) -> list[np.ndarray]:
    """Returns for each fold the positions of its held-out examples in `examples`.

    Each stratum, such as a class, is divided as equally as possible. A unit, see `carve`, stays in
    one fold. Each stratum must have at least as many units as there are folds.
    """
    strata = np.array([stratum_of(example) for example in examples])
    units = np.array([example.unit for example in examples])
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    return [held_out for _, held_out in splitter.split(strata, strata, units)]


def parted(
    examples: Sequence[Example], share: float, seed: int | str
) -> tuple[np.ndarray, np.ndarray]:
    """Divides examples as `carve` does; returns the positions of the train and the val examples.

    If a stratum has only one unit, see `carve`, this unit stays in train.
    """
    grouped = defaultdict(list)
    for example in examples:
        grouped[example.unit].append(example)
    units = list(grouped.values())
    counts = Counter(map(_stratum, units))
    shares = _shares(_sizes(units), share)
    room = {label: shares[label] if counts[label] > 1 else 0 for label in counts}
    val, _ = _take(units, room, seed)
    held_out = {example.file for example in val}
    is_val = np.array([example.file in held_out for example in examples])
    return np.flatnonzero(~is_val), np.flatnonzero(is_val)


def _sizes(units: list[list[Example]]) -> dict[int, int]:
    sizes: dict[int, int] = defaultdict(int)
    for unit in units:
        sizes[_stratum(unit)] += len(unit)
    return sizes


def _shares(sizes: dict[int, int], share: float) -> dict[int, int]:
    return {label: max(1, round(share * size)) for label, size in sizes.items()}


def _most(examples: list[Example]) -> int:
    return max(Counter(map(stratum_of, examples)).values(), default=0)


def _units(
    examples: list[Example], groups: dict[str, str], alike: Sequence[Sequence[Example]]
) -> list[list[Example]]:
    """Returns the units: lists of examples that must stay in one split, see `carve`."""
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        while parent.setdefault(key, key) != key:
            parent[key] = parent[parent[key]]  # Halves the path for the next call.
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
    units: list[list[Example]], counts: dict[int, int], seed: int | str, strict: bool = False
) -> tuple[list[Example], list[list[Example]]]:
    """Returns two lists: the examples of the units that are taken, and the units that are left.

    In each stratum, units are taken in the order of their rank, up to `counts[stratum]` examples. A
    unit is taken as a whole or not at all: it is taken if at least half of it still fits into the
    count. If `strict` is True, all of it must fit.
    """
    strata = defaultdict(list)
    for unit in units:
        strata[_stratum(unit)].append(unit)
    taken: list[list[Example]] = []
    left: list[list[Example]] = []
    for stratum in sorted(strata):
        room = counts[stratum]
        for unit in sorted(strata[stratum], key=lambda unit: _rank(unit, seed)):
            fits = len(unit) <= (room if strict else 2 * room)
            (taken if fits else left).append(unit)
            room -= len(unit) if fits else 0
    return [example for unit in taken for example in unit], left


def _stratum(unit: list[Example]) -> int:
    """Returns the stratum of a unit: that of its example with the smallest digest."""
    return stratum_of(min(unit, key=lambda example: example.digest))


def stratum_of(example: Example) -> int:
    """Returns the stratum of an example, such as its class, see `carve`."""
    return example.label if example.stratum is None else example.stratum


def _rank(unit: list[Example], seed: int | str) -> str:
    content = min(example.digest for example in unit)
    return hashlib.sha256(f"{seed} {content}".encode()).hexdigest()
