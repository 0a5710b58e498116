"""Advice on files of a run that could only be read in part."""

from collections.abc import Iterable

from tl_keras.report.advice.advice import Advice
from tl_keras.report.drawings.words import count, counted, isolated
from tl_keras.report.read import RunFiles

NAMED = 5  # fields of result.json that are named at most


def on_unread(run: RunFiles) -> Iterable[Advice]:
    """Yields advice if fields of result.json are missing or wrong."""
    lines = run.unread
    if lines:
        are, them = ("is", "it") if len(lines) == 1 else ("are", "them")
        more = f"; and {count(len(lines) - NAMED)} more" if len(lines) > NAMED else ""
        yield Advice(
            f"Look at result.json: {counted(len(lines), 'field')} {are} missing or wrong.",
            f"This page leaves out {them} and everything that depends on {them}: "
            f"{'; '.join(map(isolated, lines[:NAMED]))}{more}.",
        )


def on_dropped(run: RunFiles) -> Iterable[Advice]:
    """Yields advice if lines of predictions.csv are incomplete."""
    if run.dropped:
        yield Advice(
            "Do not rely on the sections Worst mistakes and Confidence: "
            f"{counted(run.dropped, 'line')} of predictions.csv cannot be read.",
            "Those sections leave such lines out. The scores, from result.json, are complete.",
        )
