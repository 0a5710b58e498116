"""What exported files ask for: plain text."""

from collections.abc import Iterable

from tl_keras.report.advice.piece import Advice, is_chance
from tl_keras.report.drawings.words import (
    count,
    interval,
    is_number,
    megabytes,
    number,
    percent,
)
from tl_keras.report.facts import figures
from tl_keras.report.read import RunFiles


def on_exports(run: RunFiles) -> Iterable[Advice]:
    for name, export in figures.exports(run).items():
        if figures.passed(export):
            continue
        why = f"It misses its tolerance ({export['status']})"
        if is_number(export.get("agreement")):
            n = export.get("n", figures.scored(run)[1].get("n"))
            why += f"; it agrees with the model on {percent(export['agreement'])} of "
            why += f"{count(n)} examples"
        yield Advice(f"Do not ship the {name} export.", f"{why}. Ship one that holds its own.")


def on_shipping(run: RunFiles) -> Iterable[Advice]:
    status = (run.result.get("shipped") or {}).get("status", "ok")
    if status != "ok":
        yield Advice("There is no model.tflite to ship.", f"{status[:1].upper()}{status[1:]}.")
    found = figures.to_ship(run)
    if not found or is_chance(run):
        return
    name, export = found
    why, timed = [megabytes(export["bytes"])], is_number(figures.median(export))
    if timed:
        why.append(
            f"{number(figures.median(export))} ms an example (median of {figures.TIMED} runs)"
        )
    if share := figures.right(run, export):
        why.append(
            f"{percent(share.value)} of {count(share.n)} examples right (95% interval "
            f"{interval(share.interval)})"
        )
    what = f"It is the {name} file: of the small ones that are sound on validation the fastest"
    yield Advice(
        f"To ship it, take {export.get('path') or name}.",
        f"{what}: {', '.join(why)}.{_worse(run, export)}",
    )


def _worse(run: RunFiles, export: dict) -> str:
    """A loss that validation, which files are judged on, was too small to show."""
    scores = figures.scored(run)[1]
    low = (scores.get("interval") or [None])[0]
    right = figures.share_right(run, export)
    if not is_number(low) or right is None or right >= low:
        return ""
    model = percent(figures.share_right(run, scores))
    return (
        f" But the model itself is right on {model} (95% interval "
        f"{interval(scores['interval'])}): measure the file on more examples first, or take a "
        "larger one."
    )
