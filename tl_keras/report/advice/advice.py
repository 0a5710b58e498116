"""One piece of advice."""

from dataclasses import dataclass

from tl_keras.report.facts import figures
from tl_keras.report.read import RunFiles


@dataclass(frozen=True)
class Advice:
    """Something to do, and the figures that ask for it."""

    do: str
    why: str


def is_chance(run: RunFiles) -> bool:
    """Whether the answers may be no better than always giving the most frequent one."""
    return figures.against_majority(run) in ("chance", "open")
