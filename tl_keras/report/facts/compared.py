"""Describes the approaches of a comparison, and formats its main metric, for the report."""

from collections.abc import Callable, Sequence
from typing import Any

from tl_keras.report.drawings.words import (
    NOTHING,
    interval,
    number,
    points,
)
from tl_keras.report.read import RunFiles
from tl_keras.report.sections import results
from tl_keras.run.result.comparison import ApproachRecord

NAMES = {
    "scratch": "from scratch",
    "head": "only the head is trained",
    "finetune": "fine-tuned, freeze depth from the config",
    "search": "fine-tuned, freeze depth chosen by a search",
    "full": "all layers fine-tuned",
    "chain": "fine-tuned from an earlier run",
    "cross_validate": "cross-validated, then trained on all labelled examples",
    "parallel": "student models, trained on unlabelled examples that a teacher model labels",
}


def is_one(run: RunFiles) -> bool:
    """Returns True if the command `compare` made the run."""
    return run.result.pipeline == "compare"


def title(run: RunFiles, name: str) -> str:
    """Returns a description of an approach, such as "all layers fine-tuned"."""
    record = approaches_of(run).get(name)
    if name.startswith("backbone_"):
        return f"{record.backbone if record else name}, fine-tuned"
    return NAMES.get(name, name)


def approaches_of(run: RunFiles) -> dict[str, ApproachRecord]:
    """Returns a dict from the name of each approach of a comparison to its record."""
    return run.result.approaches or {}


def main_metric(run: RunFiles) -> tuple[str, Callable[[Any], str]]:
    """Returns the name of the task's main metric and the function that formats its values."""
    name = run.main
    return name, results.named_scores(run.task)[name][1]


def between(run: RunFiles, pair: Sequence[float] | None) -> str:
    """Returns an interval as text: an interval of the main metric or of a difference in it."""
    if run.counts_right:
        return interval(pair)
    return " to ".join(map(number, pair or ())) or NOTHING


def gap(run: RunFiles, value: float) -> str:
    """Returns the text of a difference in the main metric, such as "4.3 points"."""
    return points(value) if run.counts_right else number(value)
