"""Writes advice on exported files: which one to ship, and which ones not."""

from collections.abc import Iterable

from tl_keras.report.advice import verdict
from tl_keras.report.advice.advice import Advice
from tl_keras.report.drawings.words import (
    count,
    interval,
    megabytes,
    milliseconds,
    percent,
)
from tl_keras.report.facts import figures
from tl_keras.report.read import RunFiles
from tl_keras.run.result.exports import Exported


def on_exports(run: RunFiles) -> Iterable[Advice]:
    """Yields advice not to ship the files that failed their comparison with the model."""
    for name, export in figures.exports(run).items():
        if figures.passed(export):
            continue
        why = f"This file did not pass its comparison with the model ({export.status})"
        if export.agreement is not None:
            why += f" and agrees with the model on {percent(export.agreement)} of "
            why += f"{count(figures.examples(run, export))} examples"
        yield Advice(
            f"Do not ship the {name} export.",
            f"{why}. Ship a format that has the status “ok” in the section Exports.",
        )


def on_nothing_to_ship(run: RunFiles) -> Iterable[Advice]:
    """Yields advice that says why no LiteRT file can be shipped; nothing if one can."""
    status = run.result.shipped.status if run.result.shipped else "ok"
    if status != "ok":
        status = status if status.startswith("export.") else f"{status[:1].upper()}{status[1:]}"
        yield Advice("No model.tflite can be shipped.", f"{status}.")


def on_shipping(run: RunFiles) -> Iterable[Advice]:
    """Yields advice on which file to ship; none if the model cannot be called good enough yet."""
    pair = figures.to_ship(run)
    judged = verdict.verdict(run)
    if not pair or (judged and judged.refuses):
        return
    shipped, export = pair
    facts, median = [megabytes(export.bytes)], figures.median(export)
    if median is not None:
        facts.append(f"{milliseconds(median)} per example (median of {figures.TIMED} runs)")
    if share := figures.right(run, export):
        facts.append(
            f"right on {percent(share.value)} of {count(share.n)} examples (95% interval "
            f"{interval(share.interval)})"
        )
    yield Advice(
        f"To ship this model, use {shipped.path or shipped.format}.",
        f"This is the {shipped.format} file. Of the files that passed their checks and are nearly "
        f"as small as the smallest, it is the fastest: {', '.join(facts)}.{_worse(run, export)}",
    )


def _worse(run: RunFiles, export: Exported) -> str:
    """Returns a warning if the file's accuracy is below the 95% interval of the model's accuracy.

    Returns "" otherwise. The file was chosen on the validation set, which was too small to show
    this difference.
    """
    scores = figures.scored(run)[1]
    right = figures.share_right(run, export)
    if not scores or right is None or not right < scores.interval[0]:
        return ""
    model = percent(figures.share_right(run, scores))
    return (
        f" But before export, the model is right on {model} (95% interval "
        f"{interval(scores.interval)}), so the file may be less accurate than the model. Measure "
        "the file on more examples before you ship it, or ship a larger format."
    )
