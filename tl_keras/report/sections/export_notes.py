"""What stands below the table of exports: what was missed, mended, shipped, left undecided."""

from collections.abc import Iterable

from tl_keras import tasks
from tl_keras.modalities import part
from tl_keras.report.drawings.words import (
    count,
    interval,
    is_number,
    listed,
    megabytes,
    number,
    percent,
)
from tl_keras.report.facts import figures
from tl_keras.report.read import RunFiles
from tl_keras.run.result.exports import Abstaining, Exported, OnFiles

SHOWN = 6  # layers by name; the others are counted


def notes(run: RunFiles) -> Iterable[str]:
    """Sentences, the most important first."""
    measured = figures.exports(run)
    yield from (f"{k}: {e.status}." for k, e in measured.items() if not figures.passed(e))
    for name, export in measured.items():
        if export.repair and export.repair.steps and export.val:
            yield _mended(name, export, run.task)
    yield from _shipped(run)
    yield from _undecided(measured)
    yield from _slower(measured)
    for name, export in measured.items():
        if export.float_operators:
            kinds = listed([f"{n} {kind}" for kind, n in export.float_operators.items()])
            yield f"{name} computes with floats in {kinds}: not for devices without them."
    chosen = figures.to_ship(run)
    if chosen and chosen[1].abstain:
        yield _abstaining(chosen[0].format, chosen[1].abstain, run)


def _mended(name: str, export: Exported, task: str) -> str:
    kept, first = export.repair.kept, export.repair.steps[0]
    others = f" and {len(kept) - SHOWN} others" if len(kept) > SHOWN else ""
    layers = ", ".join(kept[:SHOWN]) + others if kept else "nothing"
    before = number(first.lost), export.val.on, percent(first.moved)
    return (
        f"{name} {tasks.of(task, 'words').mended(*before)}; with {layers} left "
        f"float, which cost most when quantised apart, it loses {number(export.val.lost)}, and is "
        f"{megabytes(export.repair.bytes)} larger."
    )


def _shipped(run: RunFiles) -> Iterable[str]:
    shipped, _ = figures.to_ship(run) or (None, None)
    if shipped and shipped.device:
        right = _right(run, shipped.device)
        said = part(run.modality, "show").on_device(shipped.device, right)
        yield f"{shipped.path} is the {shipped.format} file. {said}"


def _right(run: RunFiles, device: OnFiles) -> str:
    share = figures.share_right(run, device)
    if share is None:
        return ""
    return f"is right on {percent(share)} ({interval(device.interval)}), and "


def _undecided(measured: dict[str, Exported]) -> Iterable[str]:
    names = [name for name, export in measured.items() if export.undecided]
    if names:
        n = max(measured[name].undecided for name in names)
        yield (
            f"{count(n)} validation examples are too few to tell whether {listed(names)} "
            f"{'loses' if len(names) == 1 else 'lose'} more than export.max_accuracy_drop."
        )


def _slower(measured: dict[str, Exported]) -> Iterable[str]:
    plain = figures.median(measured.get("float32"))
    if not plain:
        return
    for name, export in measured.items():
        median = figures.median(export)
        if median is not None and median > 1.05 * plain:
            yield f"{name} is slower than float32 on this machine, {number(median / plain)} times."


def _abstaining(name: str, abstain: Abstaining, run: RunFiles) -> str:
    decided = f"{name} decides {percent(abstain.answered)} of the {run.example_nouns[1]}"
    if is_number(right := abstain.get(run.main)):
        decided += f", and is right on {percent(right)} of those"
    return (
        f"{decided}; the right {run.answer_nouns[0]} is among those that it cannot rule out for "
        f"{percent(abstain.coverage)} ({interval(abstain.interval)})."
    )
