"""Provides the activations at cuts of a backbone, and decides which of them are stored on disk.

A cut divides the backbone into a frozen prefix and a trained suffix. The activations at a cut are
the outputs of the frozen prefix.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from absl import logging

from tl_keras import tasks
from tl_keras.config.messages import with_article
from tl_keras.config.whole import RunConfig
from tl_keras.data.batching import ragged
from tl_keras.data.batching.inputs import MEMORY_SHARE, Arrays, Training, free_memory
from tl_keras.data.store import Kept
from tl_keras.run.result.training import ActivationsRecord
from tl_keras.training import passes
from tl_keras.training.architecture import HEAD_SPLITS, Architecture, plan_of, reading
from tl_keras.training.network.prefixes import Cut
from tl_keras.training.passes import Pass, prefixes
from tl_keras.training.plan import num_views

MAX_OPEN_ARRAYS = 200  # Each open array is a memory-mapped file.
DISK_BYTES_PER_SECOND = 500e6  # The speed of a SATA solid-state disk; slower disks are rare.


@dataclass(frozen=True)
class Decision:
    """The decision whether to store the activations of a frozen prefix, and the reason in words."""

    keep: bool
    why: str


def cut_of(arch: Architecture, name: str) -> Cut:
    """Returns the cut with this name, with the measured time that its frozen prefix takes."""
    return prefixes(arch, half=True).cuts[name]


def activations(
    arch: Architecture,
    names: Sequence[str],
    split: str,
    how: Training,
    view: int | None,
    also: Sequence[str] = (),
) -> dict[str, np.ndarray]:
    """Returns the activations of a split at some layers: {name of the layer: activations}.

    Activations are `(examples, ...)`, in the dtype in which they are stored, see `Cut`.

    Args:
      names: names of layers at which the backbone can be cut into a frozen and a trained part.
      how: how training examples are augmented.
      view: number of the augmented view; None for the unaugmented examples.
      also: names of further such layers. The first call for a split and view computes their
        activations in the same pass over the examples, for later calls. Later calls ignore this
        argument.
    """
    augmented = () if view is None else (how.augmentations, how.seed, view)
    rows, source = arch.data.inputs[split].rows, arch.data.source
    split = arch.data.split_of(split)
    if (split, *augmented) not in arch.shared.passed:
        names = list(dict.fromkeys([*names, *also]))
        arch.shared.passed.add((split, *augmented))
    inputs = source.inputs[split]
    if arch.input in names and view is None and inputs.array is not None:  # Already in memory.
        arch.shared.opened[arch.input, split] = inputs.whole()
    missing = [name for name in names if (name, split, *augmented) not in arch.shared.opened]
    for half in (False, True):
        available = tuple(name for name in missing if name in prefixes(arch, half).cuts)
        missing = [name for name in missing if name not in available]
        if not available:
            continue
        stored = passes.kept(arch, Pass(available, split, view, half), how)
        for name, kept in stored.items():
            arch.shared.opened[name, split, *augmented] = kept.array
            _record(arch, (name, split, *augmented), kept)
    while len(arch.shared.opened) > max(MAX_OPEN_ARRAYS, len(names)):
        del arch.shared.opened[next(iter(arch.shared.opened))]
    arrays = {name: arch.shared.opened[name, split, *augmented] for name in names}
    if rows is None:
        return arrays
    return {name: ragged.part(array, rows) for name, array in arrays.items()}


def stored_inputs(
    arch: Architecture,
    cut: str,
    split: str,
    how: Training,
    view: int | None,
    also: Sequence[str] = (),
) -> Arrays:
    """Returns the stored inputs of the trained suffix after a cut.

    These are the activations at the cut, or (activations, prepared examples) if the suffix also
    reads the model's input.

    Args:
      cut: name of the cut between frozen prefix and suffix.
      how, view, also: see `activations`.
    """
    names = [cut, arch.input] if cut_of(arch, cut).input_bytes else [cut]
    arrays = activations(arch, names, split, how, view, also)
    return tuple(arrays[name] for name in names) if len(names) > 1 else arrays[cut]


def _record(arch: Architecture, key: tuple, kept: Kept) -> None:
    """Updates the run's record of one cut and split: size of the activations, and time to get them.

    `bytes` is their size, and `seconds` the time to read or compute them. Both are sums over the
    augmented views that this process has read or computed so far.
    """
    name, split, *_ = key
    why = (
        "stored because trained layers also read the model's input"
        if name == arch.input
        else "stored because heads are fitted on these activations"
    )
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
    """Returns the names of the cuts whose activations are stored for a split.

    The list includes the model's input if the suffix after one of these cuts reads it.
    """
    kept = [name for name in arch.cuts if keeps(arch, arch.config, name)[split]]
    reads = any(cut_of(arch, name).input_bytes for name in kept)
    return [*kept, arch.input] if reads else kept


def keeps(arch: Architecture, config: RunConfig, name: str) -> dict[str, bool]:
    """Returns {split: True if the activations at the cut `name` are stored on disk}.

    The decision depends on time and disk space. It is made once and recorded, so that a resumed run
    decides in the same way. The trained suffix gets the same values from disk and from the prefix.
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
        views = 1 + seen_views(how, arch.config, num_val)  # The unaugmented examples, too.
        return fits_in_cache(cut, views * num_val, room)

    # An example mixed from two others (mixup, CutMix) is new in each epoch and never read again.
    mixes = how.augments.mixes(config.settings.augmentations)
    return {
        "train": not mixes and _decided(arch, name, "train", of_train),
        "val": _decided(arch, name, "val", of_val),
    }


def decisions(arch: Architecture) -> dict[str, dict[str, Any]]:
    """Returns the recorded decisions whether to store activations, by cut and split, with reasons.

    Decisions that the record of the run lacks are made now.
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
    """Returns how many augmented views each validation example gets when candidates are compared.

    The number is 0 if the rule `fit.choose_by` needs no views, or if no augmentation is random.
    """
    choice = tasks.of(config.task, "choice")
    random_numbers = how.augments.num_columns(how.augmentations)
    if not choice.uses_views(config.fit.choose_by) or not random_numbers:
        return 0
    return num_views(num_val)


def worth_keeping(
    cut: Cut, examples: int, uses: float, max_bytes: float, noun: str = "example"
) -> Decision:
    """Decides whether storing the activations at a cut saves time over computing them again.

    Stored activations are computed once, written once, and read for each use; otherwise, the frozen
    prefix computes them for each use. The trained suffix gets the same values in both cases.

    Args:
      examples: number of examples, with each augmented view counted as one.
      uses: how often the activations of each example will be read.
      max_bytes: the number of bytes that this cut may use of `cache.max_bytes`.
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
        f"computing the activations takes {1e3 * cut.seconds:.2f} ms {with_article(noun)}, reading "
        f"them {1e3 * read:.2f} ms; the activations of each {noun} are read {uses:.3g} times; all "
        f"activations take {total / 1e6:.0f} MB"
    )
    return Decision(keep, why)


def _memory_speed() -> float:
    """Measures the speed of a memory copy, in bytes per second."""
    source = np.ones(1 << 24, np.uint8)
    started = time.monotonic()
    np.copy(source)
    return len(source) / (time.monotonic() - started)


def fits_in_cache(cut: Cut, examples: int, max_bytes: float) -> Decision:
    """Returns a decision: to store the activations at a cut if they fit into `max_bytes`."""
    total = examples * cut.bytes
    if total > max_bytes:
        limit = f"the {max_bytes / 1e9:.1f} GB that one cut may use of cache.max_bytes"
        return Decision(False, f"the activations need {total / 1e9:.1f} GB, more than {limit}")
    return Decision(True, "read in each epoch")
