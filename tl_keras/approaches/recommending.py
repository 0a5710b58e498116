"""Recommends one of several runs by their scores on the examples that all of them predicted."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tl_keras import tasks
from tl_keras.run.result.comparison import Against, Recommended, Standing

# {split: {file: score of the prediction}}; a higher score is better.
Scores = dict[str, dict[str, float]]


def recommended(runs: Mapping[str, Scores], task: str = tasks.DEFAULT) -> Recommended:
    """Returns the name of the best approach, and its comparisons with all other approaches.

    The best approach has the best mean score on the validation examples that all approaches
    predicted. If several approaches are equally good, the first of them wins. The comparisons are
    made on validation and on test; the choice does not depend on test. The returned object is empty
    if no validation example was predicted by all approaches.

    Args:
      runs: the result of `scores_of` for each approach, by name.
    """
    parts: dict[str, Any] = {}
    for split, scores in _on_common_examples(runs).items():
        count = len(next(iter(scores.values())))
        if split == "val":
            parts["best"] = max(scores, key=lambda name: scores[name].mean())
        elif "best" not in parts:
            break
        parts[split] = Standing(n=count, against=_differences(parts["best"], scores, task))
    return Recommended(**parts)


def gain_of_chain(runs: Mapping[str, Scores], task: str = tasks.DEFAULT) -> dict[str, Against]:
    """Returns for each split the main metric of `chain` minus that of `finetune`.

    Each entry also has the 95% interval of this difference, and three counts: the examples that
    both predict, those that only `chain` predicts correctly, and those that only `finetune`
    predicts correctly. The approach `chain` starts from the weights of an earlier run, `finetune`
    does not.

    Args:
      runs: the result of `scores_of` for each approach, by name.
    """
    both = {name: runs[name] for name in ("chain", "finetune")}
    return {
        split: _differences("chain", scores, task)["finetune"].model_copy(
            update={"n": len(scores["chain"])}
        )
        for split, scores in _on_common_examples(both).items()
    }


def _on_common_examples(runs: Mapping[str, Scores]) -> dict[str, dict[str, np.ndarray]]:
    """Returns `{split: {run: scores}}` for the examples that all runs predicted.

    A split without such examples is left out.
    """
    common = {}
    for split in ("val", "test"):
        of_split = {name: by_split.get(split, {}) for name, by_split in runs.items()}
        files = sorted(set.intersection(*map(set, of_split.values())))
        if files:
            common[split] = {
                name: np.array([scores[file] for file in files])
                for name, scores in of_split.items()
            }
    return common


def scores_of(folder: Path, task: str) -> Scores:
    """Returns a score for each prediction in `predictions.csv` of a run.

    The task defines the score, such as 1.0 for a right and 0.0 for a wrong prediction.
    """
    scores: Scores = {}
    score_of = tasks.of(task, "predictions").score_of
    with (folder / "predictions.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            scores.setdefault(row["split"], {})[row["file"]] = score_of(row)
    return scores


def _differences(best: str, scores: Mapping[str, np.ndarray], task: str) -> dict[str, Against]:
    """Returns `{run: comparison}` for all runs except `best`.

    The field `difference` of a comparison is the main metric of `best` minus that of the run. Its
    95% interval is paired: both runs predicted the same examples.
    """
    against = tasks.of(task, "choice").against
    return {
        name: Against(**against(scores[best], others))
        for name, others in scores.items()
        if name != best
    }
