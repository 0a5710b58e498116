"""Missing splits, carved from train by rank of a content hash; folds for cross-validation."""

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
    """Splits with `val` and `test` filled from train where the source gave none; and `rest`, what
    `examples_per_class` leaves out.

    Within a stratum, such as a class, units are ranked by a hash of their content with
    `data.split_seed`, so the shares are exact to half a unit, and an added file moves at most its
    unit and neighbours. A unit is an example with all its exact copies or all that are connected
    by a copy, a group, or looking alike.

    Args:
      splits: examples a split; missing splits are empty.
      groups: file to group, for files that have one.
      config: shares, split seed, `examples_per_class`.
      alike: examples that look alike, in lists.

    Raises:
      ValueError: a given val leaves no room for train in `examples_per_class`.
    """
    units, seed = _units(splits["train"], groups, alike), config.split_seed
    named: dict[str, str] = {}
    sizes = _sizes(units)  # `data.val` and `data.test` are shares of the whole.
    test, val, rest = list(splits["test"]), list(splits["val"]), []
    if not test and config.test > 0:
        test, units = _take(units, _shares(sizes, config.test), seed)
    if config.examples_per_class is not None:
        room = config.examples_per_class - _most(val)
        if room < 1:
            raise ValueError(
                f"data.examples_per_class: {config.examples_per_class}, train and val together; "
                f"val alone has {_most(val)} of a class: expected more than that"
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
    """Positions of the examples of each fold: strata in shares as equal as units allow, none of
    which is parted. No stratum has fewer units than there are folds."""
    strata = np.array([stratum_of(example) for example in examples])
    units = np.array([example.unit for example in examples])
    parting = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    return [held_out for _, held_out in parting.split(strata, strata, units)]


def parted(
    examples: Sequence[Example], share: float, seed: int | str
) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the examples to train on, and of those to validate on, as `carve` parts them.

    A stratum that has one unit left keeps it in train.
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
    units: list[list[Example]], counts: dict[int, int], seed: int | str, strict: bool = False
) -> tuple[list[Example], list[list[Example]]]:
    """Of each stratum `counts[stratum]` examples, in rank order, and the units that are left.

    A unit of several examples counts whole and is taken when at least half of it still fits;
    where `strict`, when all of it does.
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
    """The stratum that a unit counts to, whatever order its examples are listed in."""
    return stratum_of(min(unit, key=lambda example: example.digest))


def stratum_of(example: Example) -> int:
    """The stratum of an example, such as its class."""
    return example.label if example.stratum is None else example.stratum


def _rank(unit: list[Example], seed: int | str) -> str:
    content = min(example.digest for example in unit)
    return hashlib.sha256(f"{seed} {content}".encode()).hexdigest()
