"""Activations of an architecture's prefixes, and whether they are kept."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from absl import logging

from tl_keras import tasks
from tl_keras.config.messages import with_article
from tl_keras.config.whole import RunConfig
from tl_keras.data.inputs import MEMORY_SHARE, Arrays, Training, free_memory
from tl_keras.data.store import Kept
from tl_keras.run.result.training import ActivationsRecord
from tl_keras.training import passes
from tl_keras.training.architecture import HEAD_SPLITS, Architecture, plan_of, reading
from tl_keras.training.features import Cut
from tl_keras.training.passes import Pass, prefixes
from tl_keras.training.plan import num_views

MAX_OPEN_ARRAYS = 200  # Each is a file.
DISK_BYTES_PER_SECOND = 500e6  # A SATA solid-state disk; slower ones are rare.


@dataclass(frozen=True)
class Worth:
    """Whether a prefix's activations are kept, with the measurement behind it."""

    keep: bool
    why: str


def cut_of(arch: Architecture, name: str) -> Cut:
    """A depth as it was tried."""
    return prefixes(arch, half=True).cuts[name]


def activations(
    arch: Architecture,
    names: Sequence[str],
    split: str,
    how: Training,
    view: int | None,
    also: Sequence[str] = (),
) -> dict[str, np.ndarray]:
    """Activations of a split at the named cuts: of the examples as they are, or of a view.

    Args:
      also: cuts whose activations are made in the same pass, if there has been none.
    """
    shows = () if view is None else (how.augmentations, how.seed, view)
    rows, source = arch.data.inputs[split].rows, arch.data.source
    split = arch.data.split_of(split)
    if (split, *shows) not in arch.shared.passed:
        names = list(dict.fromkeys([*names, *also]))
        arch.shared.passed.add((split, *shows))
    inputs = source.inputs[split]
    if arch.input in names and view is None and inputs.array is not None:  # It is at hand.
        arch.shared.opened[arch.input, split] = inputs.take(slice(None))
    missing = [name for name in names if (name, split, *shows) not in arch.shared.opened]
    for half in (False, True):
        some = tuple(name for name in missing if name in prefixes(arch, half).cuts)
        missing = [name for name in missing if name not in some]
        if not some:
            continue
        computed = passes.kept(arch, Pass(some, split, view, half), how)
        for name, kept in computed.items():
            arch.shared.opened[name, split, *shows] = kept.array
            _record(arch, (name, split, *shows), kept)
    while len(arch.shared.opened) > max(MAX_OPEN_ARRAYS, len(names)):
        del arch.shared.opened[next(iter(arch.shared.opened))]
    found = {name: arch.shared.opened[name, split, *shows] for name in names}
    return found if rows is None else {name: array[rows] for name, array in found.items()}


def starts_of(
    arch: Architecture,
    cut: str,
    split: str,
    how: Training,
    view: int | None,
    also: Sequence[str] = (),
) -> Arrays:
    """What a suffix starts at: a cut's activations and, where it reads them, the examples, too.

    Args as of `activations`.
    """
    names = [cut, arch.input] if cut_of(arch, cut).input_bytes else [cut]
    found = activations(arch, names, split, how, view, also)
    return tuple(found[name] for name in names) if len(names) > 1 else found[cut]


def _record(arch: Architecture, key: tuple, kept: Kept) -> None:
    """Adds an array to what the record says of its cut: of its views, all of this session."""
    name, split, *_ = key
    why = "what suffixes read, too" if name == arch.input else "what heads are fitted on"
    decided = _recorded(arch, name, split) or ActivationsRecord(keep=True, why=why)
    # An array that is opened once more is no other one.
    arch.shared.counts.setdefault(key, (kept.cached, kept.array.nbytes, kept.seconds))
    found = [count for other, count in arch.shared.counts.items() if other[:2] == (name, split)]
    cached, sizes, seconds = zip(*found, strict=True)
    counted = {"cached": all(cached), "bytes": sum(sizes), "seconds": round(sum(seconds), 3)}
    arch.run.add(features={f"{arch.label}{name}/{split}": decided.model_copy(update=counted)})


def _recorded(arch: Architecture, name: str, split: str) -> ActivationsRecord | None:
    found = arch.run.record.get("features", {}).get(f"{arch.label}{name}/{split}")
    return ActivationsRecord.model_validate(found) if found else None


def kept_cuts(arch: Architecture, split: str) -> list[str]:
    """The depths at which a split's activations are kept, and the input where one reads it."""
    kept = [name for name in arch.cuts if keeps(arch, arch.config, name)[split]]
    reads = any(cut_of(arch, name).input_bytes for name in kept)
    return [*kept, arch.input] if reads else kept


def keeps(arch: Architecture, config: RunConfig, name: str) -> dict[str, bool]:
    """By split, whether activations at a cut are kept: decided once, by time and room.

    What the suffix sees is equal either way. The record repeats the decision in a resumed run.
    """
    plan = plan_of(arch.config, arch.data.dataset, pretrained=True)
    how = reading(arch.config, arch.data.dataset)
    # A depth's share of it; one pass may write all of them.
    room = config.cache.max_bytes / (len(arch.cuts) + 1)
    source = arch.data.source
    num_train, num_val = (
        len(source.inputs["train" if source.dataset.whole else split]) for split in HEAD_SPLITS
    )
    cut, noun = cut_of(arch, name), source.dataset.nouns[0]

    def of_train() -> Worth:
        views = (how.views or plan.epochs) if how.augmentations else 1
        uses = arch.trainings * max(1.0, plan.epochs / views)
        return worth_keeping(cut, views * num_train, uses, room, noun)

    def of_val() -> Worth:
        looks = 1 + seen_views(how, arch.config, num_val)
        return fitting(cut, looks * num_val, room)

    # What is mixed of two examples has no activations of its own to keep.
    mixes = how.augments.mixes(config.settings.augmentations)
    return {
        "train": not mixes and _decided(arch, name, "train", of_train),
        "val": _decided(arch, name, "val", of_val),
    }


def decisions(arch: Architecture) -> dict[str, dict[str, Any]]:
    """What the record says of the architecture's activations: which are kept, and why; decided
    now, where it was not yet."""
    for name in arch.cuts:
        keeps(arch, arch.config, name)
    known = arch.run.record.get("features", {})
    named = [f"{arch.label}{name}/{split}" for name in arch.cuts for split in HEAD_SPLITS]
    return {name: known[name] for name in named if name in known}


def _decided(arch: Architecture, name: str, split: str, decide: Callable[[], Worth]) -> bool:
    recorded = _recorded(arch, name, split)
    if recorded:
        return recorded.keep
    worth = decide()
    entry = ActivationsRecord(**asdict(worth), dtype=cut_of(arch, name).dtype)
    arch.run.add(features={f"{arch.label}{name}/{split}": entry})
    logging.info("activations %s/%s are %s: %s", name, split, KEPT[worth.keep], worth.why)
    return worth.keep


KEPT = {True: "kept", False: "computed at each step"}


def seen_views(how: Training, config: RunConfig, num_val: int) -> int:
    """How many augmented views of each validation example the choice of a candidate leans on."""
    choice, draws = tasks.of(config.task, "choice"), how.augments.num_columns(how.augmentations)
    if not choice.uses_views(config.fit.choose_by) or not draws:
        return 0
    return num_views(num_val)


def worth_keeping(
    cut: Cut, examples: int, uses: float, max_bytes: float, noun: str = "example"
) -> Worth:
    """Compares one pass, writing and reading back with a pass for each use.

    Only the time depends on the answer: what a suffix sees is equal either way.

    Args:
      examples: whose activations are kept, each view one.
      uses: how often each of them will be read.
      noun: what an example is called.
    """
    room = fitting(cut, examples, max_bytes)
    if not room.keep:
        return room
    total, read = examples * cut.bytes, cut.bytes / _memory_speed()
    # Reading: a copy where pages are in memory, the disk's speed where they cannot be.
    if total > MEMORY_SHARE * free_memory():
        read += cut.bytes / DISK_BYTES_PER_SECOND
    keep = cut.seconds + (1 + uses) * read < uses * cut.seconds
    why = (
        f"{1e3 * cut.seconds:.2f} ms {with_article(noun)} to compute, {1e3 * read:.2f} ms to read, "
        f"read {uses:.3g} times each, {total / 1e6:.0f} MB"
    )
    return Worth(keep, why)


def _memory_speed() -> float:
    """Bytes per second of a copy, measured."""
    source = np.ones(1 << 24, np.uint8)
    started = time.monotonic()
    np.copy(source)
    return len(source) / (time.monotonic() - started)


def fitting(cut: Cut, examples: int, max_bytes: float) -> Worth:
    """Whether a prefix's activations have room."""
    total = examples * cut.bytes
    if total > max_bytes:
        share = f"the {max_bytes / 1e9:.1f} GB of cache.max_bytes that a cut may take"
        return Worth(False, f"{total / 1e9:.1f} GB are over {share}")
    return Worth(True, "read in each epoch")
