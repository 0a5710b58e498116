"""Which of several runs to take, by the examples that all of them answered."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tl_keras import tasks
from tl_keras.run.result.comparison import Against, Recommended, Standing

Goodness = dict[str, dict[str, float]]  # By split and file, how good a run's answer is.


def recommended(answers: Mapping[str, Goodness], task: str = tasks.DEFAULT) -> Recommended:
    """The approach that is best on the validation examples that all answered, of classes right most
    often, of equals the first in order; how the others stand against it there, and on test, which
    decides nothing. Nothing where they share no validation example."""
    found: dict[str, Any] = {}
    for split, right in _shared(answers).items():
        count = len(next(iter(right.values())))
        if split == "val":
            found["best"] = max(right, key=lambda name: right[name].mean())
        elif "best" not in found:
            break
        found[split] = Standing(n=count, against=_against(found["best"], right, task))
    return Recommended(**found)


def brought(answers: Mapping[str, Goodness], task: str = tasks.DEFAULT) -> dict[str, Against]:
    """By split, how a chain stands against its last step alone, example by example."""
    both = {name: answers[name] for name in ("chain", "finetune")}
    return {
        split: _against("chain", right, task)["finetune"].model_copy(
            update={"n": len(right["chain"])}
        )
        for split, right in _shared(both).items()
    }


def _shared(answers: Mapping[str, Goodness]) -> dict[str, dict[str, np.ndarray]]:
    """By split that all have answered examples of, and by run, how good its answer on each is."""
    found = {}
    for split in ("val", "test"):
        own = {name: by.get(split, {}) for name, by in answers.items()}
        files = sorted(set.intersection(*(set(right) for right in own.values())))
        if files:
            found[split] = {name: np.array([by[f] for f in files]) for name, by in own.items()}
    return found


def answers_of(folder: Path, task: str) -> Goodness:
    """How good the answers of a run are, by its `predictions.csv`."""
    found: Goodness = {}
    score_of = tasks.of(task, "predictions").score_of
    with (folder / "predictions.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            found.setdefault(row["split"], {})[row["file"]] = score_of(row)
    return found


def _against(best: str, right: Mapping[str, np.ndarray], task: str) -> dict[str, Against]:
    against = tasks.of(task, "choice").against
    return {
        name: Against(**against(right[best], own)) for name, own in right.items() if name != best
    }
