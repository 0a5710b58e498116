"""What exported files ask for: plain text."""

from collections.abc import Iterable

from tl_keras.report.advice.advice import Advice, is_chance
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
    for name, export in figures.exports(run).items():
        if figures.passed(export):
            continue
        why = f"It misses its tolerance ({export.status})"
        if export.agreement is not None:
            why += f"; it agrees with the model on {percent(export.agreement)} of "
            why += f"{count(figures.examples(run, export))} examples"
        yield Advice(f"Do not ship the {name} export.", f"{why}. Ship one that holds its own.")


def on_shipping(run: RunFiles) -> Iterable[Advice]:
    status = run.result.shipped.status if run.result.shipped else "ok"
    if status != "ok":
        yield Advice("There is no model.tflite to ship.", f"{status[:1].upper()}{status[1:]}.")
    found = figures.to_ship(run)
    if not found or is_chance(run):
        return
    shipped, export = found
    why, median = [megabytes(export.bytes)], figures.median(export)
    if median is not None:
        why.append(f"{milliseconds(median)} an example (median of {figures.TIMED} runs)")
    if share := figures.right(run, export):
        why.append(
            f"{percent(share.value)} of {count(share.n)} examples right (95% interval "
            f"{interval(share.interval)})"
        )
    what = (
        f"It is the {shipped.format} file: of the small ones that are sound on validation the "
        "fastest"
    )
    yield Advice(
        f"To ship it, take {shipped.path or shipped.format}.",
        f"{what}: {', '.join(why)}.{_worse(run, export)}",
    )


def _worse(run: RunFiles, export: Exported) -> str:
    """A loss that validation, which files are judged on, was too small to show."""
    scores = figures.scored(run)[1]
    right = figures.share_right(run, export)
    if not scores or right is None or not right < scores.interval[0]:
        return ""
    model = percent(figures.share_right(run, scores))
    return (
        f" But the model itself is right on {model} (95% interval "
        f"{interval(scores.interval)}): measure the file on more examples first, or take a "
        "larger one."
    )
