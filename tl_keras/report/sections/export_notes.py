"""Notes below the table of exported files: exceeded limits, repairs, the file to ship and more."""

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

SHOWN = 6  # layers that are named; the others are only counted


def notes(run: RunFiles) -> Iterable[str]:
    """Yields the notes on the exported files of a run, the most important first."""
    measured = figures.exports(run)
    if run.result.shipped and run.result.shipped.reason:
        yield f"No model.tflite can be shipped: {run.result.shipped.status}."
    yield from (f"{k}: {e.status}." for k, e in measured.items() if not figures.passed(e))
    for name, export in measured.items():
        if export.repair and export.repair.steps and export.val:
            yield _repaired(name, export, run.task)
    yield from _shipped(run)
    yield from _undecided(measured, run)
    yield from _slower(measured)
    for name, export in measured.items():
        if export.float_operators:
            kinds = listed([f"{n} {kind}" for kind, n in export.float_operators.items()])
            yield (
                f"{name} still computes with floats in {kinds} operators, so it does not run on "
                "devices without floating-point arithmetic."
            )
    yield from abstaining(run)


def _repaired(name: str, export: Exported, task: str) -> str:
    kept, first = export.repair.kept, export.repair.steps[0]
    others = f" and {len(kept) - SHOWN} others" if len(kept) > SHOWN else ""
    layers = ", ".join(kept[:SHOWN]) + others if kept else "no layer"
    which = ": the layers whose quantisation alone changes the answers most" if kept else ""
    before = number(first.lost), export.val.on, percent(first.moved)
    words, main = tasks.of(task, "words"), tasks.of(task, "names").MAIN
    return (
        f"Before its repair, {name} {words.mended(*before)}. The repair leaves {layers} in "
        f"float{which}. After the repair, it loses {number(export.val.lost)} of "
        f"{words.SCORES[main][0].lower()}, compared with model.keras. The repair makes the file "
        f"{megabytes(export.repair.bytes)} larger."
    )


def _shipped(run: RunFiles) -> Iterable[str]:
    shipped, _ = figures.to_ship(run) or (None, None)
    if shipped and shipped.device:
        right = _right(run, shipped.device)
        on_device = part(run.modality, "show").on_device(shipped.device, right)
        yield f"{shipped.path} is the {shipped.format} file. {on_device}"


def _right(run: RunFiles, device: OnFiles) -> str:
    share = figures.share_right(run, device)
    if share is None:
        return ""
    on = f"{percent(share)} of the {run.example_nouns[1]}"
    return f"is right on {on} (95% interval {interval(device.interval)}), and "


def _undecided(measured: dict[str, Exported], run: RunFiles) -> Iterable[str]:
    names = [name for name, export in measured.items() if export.undecided]
    if names:
        n = max(measured[name].undecided for name in names)
        # In cross-validation, the files are measured on examples that the final model learned.
        kind = "" if run.holds_out else "validation "
        yield (
            f"{count(n)} {kind}examples are too few to tell whether {listed(names)} "
            f"{'loses' if len(names) == 1 else 'lose'} more accuracy than "
            "export.max_accuracy_drop allows."
        )


def _slower(measured: dict[str, Exported]) -> Iterable[str]:
    plain = figures.median(measured.get("float32"))
    if not plain:
        return
    for name, export in measured.items():
        median = figures.median(export)
        if median is not None and median > 1.05 * plain:
            slower = number(median / plain)
            yield f"{name} takes {slower} times as long as float32 on the machine of this run."


def abstaining(run: RunFiles) -> Iterable[str]:
    """Yields a sentence on how often the file to ship abstains; nothing if it always answers."""
    chosen, summary = figures.to_ship(run), run.result.cross_validation
    if chosen and chosen[1].abstain:
        yield _abstaining(f"{chosen[0].format} answers", chosen[1].abstain, run)
    elif chosen and summary and summary.abstain:
        yield (
            f"{_abstaining(OF_FOLDS, summary.abstain, run)} Each fold's model was measured on "
            "examples on which it was not trained. The final model was trained on all of them, so "
            f"how often {chosen[0].format} abstains on new examples was not measured."
        )


OF_FOLDS = "A model of a fold, calibrated like the final model, answers"


def _abstaining(answers: str, abstain: Abstaining, run: RunFiles) -> str:
    one, many = run.answer_nouns
    decided = f"{answers} {percent(abstain.answered)} of the {run.example_nouns[1]}"
    if is_number(right := abstain.get(run.main)):
        decided += f" and is right on {percent(right)} of them"
    return (
        f"{decided}; it abstains on the others. For {percent(abstain.coverage)} of all "
        f"{run.example_nouns[1]} (95% interval {interval(abstain.interval)}), the right {one} is "
        f"one of the {many} that the model considers possible."
    )
