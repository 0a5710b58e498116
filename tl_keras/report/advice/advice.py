"""Defines a piece of advice for the report, and tells whether a model is at chance level."""

from dataclasses import dataclass

from tl_keras.report.facts import figures
from tl_keras.report.read import RunFiles


@dataclass(frozen=True)
class Advice:
    """A piece of advice on a run, as plain text."""

    do: str  # what the user should do
    why: str  # the reason, with its figures
    command: str = ""  # the command line that does it; "" if there is none


def is_chance(run: RunFiles) -> bool:
    """Returns True if the model may be no better than always giving the most frequent answer."""
    return figures.against_majority(run) in ("chance", "open")
