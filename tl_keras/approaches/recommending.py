"""Recommends one of several runs, based on the examples that all of them answered."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tl_keras import tasks
from tl_keras.run.result.comparison import Against, Recommended, Standing

Goodness = dict[
    str, dict[str, float]
]  # For each split and file the score of an answer, higher is better.


def recommended(answers: Mapping[str, Goodness], task: str = tasks.DEFAULT) -> Recommended:
    """Returns the approach with the best mean score on the validation examples that all answered.

    If several are equally good, the first of them wins. The result also compares the other
    approaches with it on validation and on test, but the recommendation does not depend on test. It
    is empty if the approaches have no validation example in common.
    """
    parts: dict[str, Any] = {}
    for split, scores in _shared(answers).items():
        count = len(next(iter(scores.values())))
        if split == "val":
            parts["best"] = max(scores, key=lambda name: scores[name].mean())
        elif "best" not in parts:
            break
        parts[split] = Standing(n=count, against=_against(parts["best"], scores, task))
    return Recommended(**parts)


def gain_of_chain(answers: Mapping[str, Goodness], task: str = tasks.DEFAULT) -> dict[str, Against]:
    """Returns for each split how `chain` compares with `finetune`, which lacks the earlier run."""
    both = {name: answers[name] for name in ("chain", "finetune")}
    return {
        split: _against("chain", scores, task)["finetune"].model_copy(
            update={"n": len(scores["chain"])}
        )
        for split, scores in _shared(both).items()
    }


def _shared(answers: Mapping[str, Goodness]) -> dict[str, dict[str, np.ndarray]]:
    """Returns for each split and run the scores of the examples that all runs answered.

    A split without such examples is left out.
    """
    shared = {}
    for split in ("val", "test"):
        of_split = {name: by_split.get(split, {}) for name, by_split in answers.items()}
        files = sorted(set.intersection(*map(set, of_split.values())))
        if files:
            shared[split] = {
                name: np.array([scores[file] for file in files])
                for name, scores in of_split.items()
            }
    return shared


def answers_of(folder: Path, task: str) -> Goodness:
    """Returns the scores of the answers in `predictions.csv` of a run."""
    scores: Goodness = {}
    score_of = tasks.of(task, "predictions").score_of
    with (folder / "predictions.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            scores.setdefault(row["split"], {})[row["file"]] = score_of(row)
    return scores


def _against(best: str, scores: Mapping[str, np.ndarray], task: str) -> dict[str, Against]:
    """Returns the difference between the best run and each of the others, paired by example."""
    against = tasks.of(task, "choice").against
    return {
        name: Against(**against(scores[best], others))
        for name, others in scores.items()
        if name != best
    }
