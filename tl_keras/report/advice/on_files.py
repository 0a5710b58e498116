"""Writes advice if a part of result.json or predictions.csv could not be read."""

from collections.abc import Iterable

from tl_keras.report.advice.advice import Advice
from tl_keras.report.drawings.words import count, counted, isolated
from tl_keras.report.read import RunFiles

NAMED = 5  # fields of result.json that are named at most


def on_unread(run: RunFiles) -> Iterable[Advice]:
    """Yields advice if fields of result.json are missing or have invalid values."""
    lines = run.unread
    if lines:
        one = len(lines) == 1
        are, these, them = ("is", "this field", "it") if one else ("are", "these fields", "them")
        more = f"; and {count(len(lines) - NAMED)} more" if len(lines) > NAMED else ""
        yield Advice(
            f"Look at result.json: {counted(len(lines), 'field')} {are} missing or wrong.",
            f"This page leaves out {these}: {'; '.join(map(isolated, lines[:NAMED]))}{more}. "
            f"It also leaves out everything that depends on {them}.",
        )


def on_dropped(run: RunFiles) -> Iterable[Advice]:
    """Yields advice if lines of predictions.csv could not be read."""
    if run.dropped:
        yield Advice(
            "Do not rely on the sections Worst mistakes and Confidence: "
            f"{counted(run.dropped, 'line')} of predictions.csv cannot be read.",
            "These two sections leave out the lines that cannot be read. The scores come from "
            "result.json and are complete.",
        )
