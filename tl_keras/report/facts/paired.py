"""Finished runs against each other, example by example, in the main metric of their task."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tl_keras import tasks
from tl_keras.report.facts import figures
from tl_keras.report.read import RunFiles
from tl_keras.report.sections import results

Named = list[tuple[str, RunFiles]]  # A letter each, which stands for the run all over the page.


def task_of(named: Named) -> str:
    """The task of the runs; the default one where they differ, and nothing is compared."""
    found = {run.task for _, run in named}
    return found.pop() if len(found) == 1 else tasks.DEFAULT


@dataclass(frozen=True)
class Difference:
    """How a run does against the best one, on the same examples."""

    letter: str
    best: str
    won: int  # Examples on which the best alone is right, or better.
    lost: int  # Examples on which the other alone is.
    n: int
    value: float  # By how much the best is ahead in the task's main metric.
    interval: Sequence[float]  # Of that, 95%, paired by example.

    @property
    def is_noise(self) -> bool:
        """Whether the interval holds 0."""
        return self.interval[0] <= 0 <= self.interval[1]


def against_best(named: Named) -> list[Difference] | None:
    """Each run against the best one; None unless all share their task and their examples."""
    answers = [_answers(run) for _, run in named]
    kinds = {(run.task, figures.predicted(run)[0]) for _, run in named}
    labels = [{key: label for key, (label, _) in own.items()} for own in answers]
    if len(kinds) > 1 or not labels[0] or any(own != labels[0] for own in labels):
        return None
    score_of = tasks.of(task_of(named), "predictions").score_of
    scores = [
        np.array([score_of({"label": own[key][0], "prediction": own[key][1]}) for key in labels[0]])
        for own in answers
    ]
    best = max(range(len(named)), key=lambda i: scores[i].sum())
    found = []
    for i, (letter, _) in enumerate(named):
        if i != best:
            d = tasks.of(task_of(named), "choice").against(scores[best], scores[i])
            counted = letter, named[best][0], d["won"], d["lost"], len(labels[0])
            found.append(Difference(*counted, d["difference"], d["interval"]))
    return found


def _answers(run: RunFiles) -> dict[tuple[str, int], tuple[str, str]]:
    """(label, prediction) by content, which may stand in a split twice; empty if not all known."""
    split, _ = figures.predicted(run)
    predictions = [p for p in run.predictions if p.split == split]
    names = (run.data.get("splits") or {}).get(split) or []
    digests = (run.data.get("digests") or {}).get(split) or []
    content = dict(zip(names, digests, strict=False))
    if not predictions or any(p.file not in content for p in predictions):
        return {}
    found: dict[tuple[str, int], tuple[str, str]] = {}
    seen: dict[str, int] = {}
    for prediction in predictions:
        digest = content[prediction.file]
        seen[digest] = seen.get(digest, 0) + 1
        found[digest, seen[digest]] = (prediction.label, prediction.prediction)
    return found


def main_name(named: Named) -> str:
    """The name of the task's main metric, inside a sentence."""
    task = task_of(named)
    return results.named_scores(task)[tasks.of(task, "names").MAIN][0].lower()
