"""What is said of files of a run that cannot be read in full: plain text."""

from collections.abc import Iterable

from tl_keras.report.advice.advice import Advice
from tl_keras.report.drawings.words import count, counted, isolated
from tl_keras.report.read import RunFiles

NAMED = 5  # Fields of result.json that are named at most.


def on_unread(run: RunFiles) -> Iterable[Advice]:
    """Parts of result.json that are not as they are declared."""
    lines = run.unread
    if lines:
        are, them = ("is", "it") if len(lines) == 1 else ("are", "them")
        more = f"; and {count(len(lines) - NAMED)} more" if len(lines) > NAMED else ""
        yield Advice(
            f"Look at result.json: {counted(len(lines), 'field')} {are} missing or wrong.",
            f"This page leaves {them} out, with whatever needs {them}: "
            f"{'; '.join(map(isolated, lines[:NAMED]))}{more}.",
        )


def on_dropped(run: RunFiles) -> Iterable[Advice]:
    """Lines of predictions.csv that are not whole."""
    if run.dropped:
        yield Advice(
            f"Do not count on the mistakes and the confidence: {counted(run.dropped, 'line')} of "
            "predictions.csv cannot be read.",
            "They are left out there; the scores are those of result.json.",
        )
