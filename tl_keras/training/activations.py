"""Provides the activations of an architecture's prefixes and decides which of them are stored."""

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

MAX_OPEN_ARRAYS = 200  # Each open array is a memory-mapped file.
DISK_BYTES_PER_SECOND = 500e6  # The speed of a SATA solid-state disk; slower disks are rare.


@dataclass(frozen=True)
class Decision:
    """The decision whether to store a prefix's activations, and the measurement behind it."""

    keep: bool
    why: str


def cut_of(arch: Architecture, name: str) -> Cut:
    """Returns the cut of a given name, with its measured time and chosen dtype."""
    return prefixes(arch, half=True).cuts[name]


def activations(
    arch: Architecture,
    names: Sequence[str],
    split: str,
    how: Training,
    view: int | None,
    also: Sequence[str] = (),
) -> dict[str, np.ndarray]:
    """Returns the activations of a split by cut, `(examples, ...)` in the dtype of each cut.

    Args:
      names: names of the cuts.
      how: how training examples are augmented.
      view: number of the augmented view; None for the unaugmented examples.
      also: further cuts to compute in the same pass, if this split and view had no pass yet.
    """
    shows = () if view is None else (how.augmentations, how.seed, view)
    rows, source = arch.data.inputs[split].rows, arch.data.source
    split = arch.data.split_of(split)
    if (split, *shows) not in arch.shared.passed:
        names = list(dict.fromkeys([*names, *also]))
        arch.shared.passed.add((split, *shows))
    inputs = source.inputs[split]
    if arch.input in names and view is None and inputs.array is not None:  # Already in memory.
        arch.shared.opened[arch.input, split] = inputs.take(slice(None))
    missing = [name for name in names if (name, split, *shows) not in arch.shared.opened]
    for half in (False, True):
        available = tuple(name for name in missing if name in prefixes(arch, half).cuts)
        missing = [name for name in missing if name not in available]
        if not available:
            continue
        stored = passes.kept(arch, Pass(available, split, view, half), how)
        for name, kept in stored.items():
            arch.shared.opened[name, split, *shows] = kept.array
            _record(arch, (name, split, *shows), kept)
    while len(arch.shared.opened) > max(MAX_OPEN_ARRAYS, len(names)):
        del arch.shared.opened[next(iter(arch.shared.opened))]
    arrays = {name: arch.shared.opened[name, split, *shows] for name in names}
    return arrays if rows is None else {name: array[rows] for name, array in arrays.items()}


def stored_inputs(
    arch: Architecture,
    cut: str,
    split: str,
    how: Training,
    view: int | None,
    also: Sequence[str] = (),
) -> Arrays:
    """Returns the stored inputs of a suffix: the cut's activations, or (activations, examples).

    The examples are included if the suffix also reads the model's input.

    Args:
      cut: name of the cut below the suffix.
      how: how training examples are augmented.
      view: number of the augmented view; None for the unaugmented examples.
      also: further cuts to compute in the same pass, if this split and view had no pass yet.
    """
    names = [cut, arch.input] if cut_of(arch, cut).input_bytes else [cut]
    arrays = activations(arch, names, split, how, view, also)
    return tuple(arrays[name] for name in names) if len(names) > 1 else arrays[cut]


def _record(arch: Architecture, key: tuple, kept: Kept) -> None:
    """Updates bytes and seconds of a cut's record, summed over the views of this process."""
    name, split, *_ = key
    why = "suffixes also read them" if name == arch.input else "heads are fitted on them"
    decided = _recorded(arch, name, split) or ActivationsRecord(keep=True, why=why)
    # `setdefault`: an array that is opened again must not be counted twice.
    arch.shared.counts.setdefault(key, (kept.cached, kept.array.nbytes, kept.seconds))
    views = [count for other, count in arch.shared.counts.items() if other[:2] == (name, split)]
    cached, sizes, seconds = zip(*views, strict=True)
    counted = {"cached": all(cached), "bytes": sum(sizes), "seconds": round(sum(seconds), 3)}
    arch.run.add(features={f"{arch.label}{name}/{split}": decided.model_copy(update=counted)})


def _recorded(arch: Architecture, name: str, split: str) -> ActivationsRecord | None:
    record = arch.run.record.get("features", {}).get(f"{arch.label}{name}/{split}")
    return ActivationsRecord.model_validate(record) if record else None


def kept_cuts(arch: Architecture, split: str) -> list[str]:
    """Returns the cuts whose activations are stored for a split.

    The model's input is included if the suffix above one of these cuts reads it.
    """
    kept = [name for name in arch.cuts if keeps(arch, arch.config, name)[split]]
    reads = any(cut_of(arch, name).input_bytes for name in kept)
    return [*kept, arch.input] if reads else kept


def keeps(arch: Architecture, config: RunConfig, name: str) -> dict[str, bool]:
    """Returns, for each split, whether the activations at a cut are stored.

    The decision depends on time and disk space, is made once, and is recorded so that a resumed run
    repeats it. The suffix gets equal values either way.
    """
    plan = plan_of(arch.config, arch.data.dataset, pretrained=True)
    how = reading(arch.config, arch.data.dataset)
    # Each cut gets an equal share of the cache, because one pass may write all cuts.
    room = config.cache.max_bytes / (len(arch.cuts) + 1)
    source = arch.data.source
    num_train, num_val = (
        len(source.inputs["train" if source.dataset.whole else split]) for split in HEAD_SPLITS
    )
    cut, noun = cut_of(arch, name), source.dataset.nouns[0]

    def of_train() -> Decision:
        views = (how.views or plan.epochs) if how.augmentations else 1
        uses = arch.trainings * max(1.0, plan.epochs / views)
        return worth_keeping(cut, views * num_train, uses, room, noun)

    def of_val() -> Decision:
        looks = 1 + seen_views(how, arch.config, num_val)
        return fits_in_cache(cut, looks * num_val, room)

    # An example mixed from two others (mixup, CutMix) is new in each epoch and never read again.
    mixes = how.augments.mixes(config.settings.augmentations)
    return {
        "train": not mixes and _decided(arch, name, "train", of_train),
        "val": _decided(arch, name, "val", of_val),
    }


def decisions(arch: Architecture) -> dict[str, dict[str, Any]]:
    """Returns the recorded decisions on storing the architecture's activations, with reasons.

    Decisions that were not made yet are made now.
    """
    for name in arch.cuts:
        keeps(arch, arch.config, name)
    known = arch.run.record.get("features", {})
    named = [f"{arch.label}{name}/{split}" for name in arch.cuts for split in HEAD_SPLITS]
    return {name: known[name] for name in named if name in known}


def _decided(arch: Architecture, name: str, split: str, decide: Callable[[], Decision]) -> bool:
    recorded = _recorded(arch, name, split)
    if recorded:
        return recorded.keep
    worth = decide()
    entry = ActivationsRecord(**asdict(worth), dtype=cut_of(arch, name).dtype)
    arch.run.add(features={f"{arch.label}{name}/{split}": entry})
    logging.info("activations %s/%s are %s: %s", name, split, KEPT[worth.keep], worth.why)
    return worth.keep


KEPT = {True: "kept", False: "computed again at each step"}


def seen_views(how: Training, config: RunConfig, num_val: int) -> int:
    """Returns the number of augmented views per validation example for choosing a candidate.

    The number is 0 if `fit.choose_by` needs no views or nothing is augmented at random.
    """
    choice, draws = tasks.of(config.task, "choice"), how.augments.num_columns(how.augmentations)
    if not choice.uses_views(config.fit.choose_by) or not draws:
        return 0
    return num_views(num_val)


def worth_keeping(
    cut: Cut, examples: int, uses: float, max_bytes: float, noun: str = "example"
) -> Decision:
    """Decides whether storing a cut's activations is faster than computing them for each use.

    Storing costs one pass, writing, and reading for each use. The decision affects only the time: a
    suffix gets equal values either way.

    Args:
      examples: number of examples, with each augmented view counted as one.
      uses: how often the activations of each example will be read.
      max_bytes: the cut's share of `cache.max_bytes`.
      noun: the modality's word for an example, such as "image".
    """
    room = fits_in_cache(cut, examples, max_bytes)
    if not room.keep:
        return room
    total, read = examples * cut.bytes, cut.bytes / _memory_speed()
    # Arrays that fit in memory are read at the speed of a copy, larger ones at that of the disk.
    if total > MEMORY_SHARE * free_memory():
        read += cut.bytes / DISK_BYTES_PER_SECOND
    keep = cut.seconds + (1 + uses) * read < uses * cut.seconds
    why = (
        f"{1e3 * cut.seconds:.2f} ms {with_article(noun)} to compute, {1e3 * read:.2f} ms to read, "
        f"read {uses:.3g} times each, {total / 1e6:.0f} MB"
    )
    return Decision(keep, why)


def _memory_speed() -> float:
    """Measures the speed of a memory copy, in bytes per second."""
    source = np.ones(1 << 24, np.uint8)
    started = time.monotonic()
    np.copy(source)
    return len(source) / (time.monotonic() - started)


def fits_in_cache(cut: Cut, examples: int, max_bytes: float) -> Decision:
    """Decides whether the activations of a cut fit into `max_bytes`."""
    total = examples * cut.bytes
    if total > max_bytes:
        share = f"the {max_bytes / 1e9:.1f} GB that one cut may use of cache.max_bytes"
        return Decision(False, f"{total / 1e9:.1f} GB would exceed {share}")
    return Decision(True, "read in each epoch")
