"""What the page of a comparison asks of a run: its approaches, the metric that is shown."""

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
    "head": "the head alone",
    "finetune": "fine-tuned at the depth of the rule",
    "search": "fine-tuned at the depth that a search picks",
    "full": "all layers fine-tuned",
    "chain": "fine-tuned from an earlier run",
    "cross_validate": "cross-validated",
    "parallel": "students of a teacher, with unlabelled examples",
}


def is_one(run: RunFiles) -> bool:
    """Whether a run is a comparison."""
    return run.result.pipeline == "compare"


def title(run: RunFiles, name: str) -> str:
    """An approach in words."""
    own = approaches_of(run).get(name)
    if name.startswith("backbone_"):
        return f"{own.backbone if own else name}, fine-tuned"
    return NAMES.get(name, name)


def approaches_of(run: RunFiles) -> dict[str, ApproachRecord]:
    return run.result.approaches or {}


def main_metric(run: RunFiles) -> tuple[str, Callable[[Any], str]]:
    """The task's main metric, and what writes its values."""
    name = run.main
    return name, results.named_scores(run.task)[name][1]


def between(run: RunFiles, pair: Sequence[float] | None) -> str:
    """An interval of the main metric, or of a difference of it."""
    if run.counts_right:
        return interval(pair)
    return " to ".join(map(number, pair or ())) or NOTHING


def gap(run: RunFiles, value: float) -> str:
    """A difference of the main metric."""
    return points(value) if run.counts_right else number(value)
