"""One piece of advice."""

from dataclasses import dataclass

from tl_keras.report.facts import figures
from tl_keras.report.read import RunFiles


@dataclass(frozen=True)
class Advice:
    """Something to do, the figures that are the reason, and the command line that does it."""

    do: str
    why: str
    command: str = ""


def is_chance(run: RunFiles) -> bool:
    """Whether the model is not shown to be better than always giving the most frequent answer."""
    return figures.against_majority(run) in ("chance", "open")
