"""Compares finished runs example by example, by the main metric of their task."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tl_keras import tasks
from tl_keras.report.facts import figures
from tl_keras.report.read import RunFiles
from tl_keras.report.sections import results

Named = list[tuple[str, RunFiles]]  # Each run with the letter that stands for it on the page.


def task_of(named: Named) -> str:
    """Returns the task of the runs, or the default task if they differ."""
    different = {run.task for _, run in named}
    return different.pop() if len(different) == 1 else tasks.DEFAULT


def headings(named: Named) -> list[str]:
    """Returns a heading for the column of each run: its letter and name."""
    return [f"{letter}: {run.name}" for letter, run in named]


@dataclass(frozen=True)
class Difference:
    """How much better the best run is than another run, on the same examples."""

    letter: str  # letter of the other run
    best: str  # letter of the best run
    won: int  # examples on which only the best run is right, or on which it is better
    lost: int  # examples on which only the other run is right, or on which it is better
    n: int  # examples that both runs answered
    value: float  # the best run's main metric minus the other's
    interval: Sequence[float]  # 95% interval of the value, paired by example

    @property
    def is_noise(self) -> bool:
        """Whether the difference may be chance, because its 95% interval contains 0."""
        return self.interval[0] <= 0 <= self.interval[1]


def comparable(named: Named) -> tuple[Named, dict[str, str]]:
    """Returns the runs that can be compared example by example, and why the others cannot.

    Runs can be compared if they answered the same examples of the same split and task. If there are
    several groups of such runs, the largest is taken; of two groups of equal size, the first.

    Returns:
      (runs, reasons): the runs of this group, in order, empty if no two runs can be compared; and
      for each run outside the group, by its letter, the reason as the end of a sentence.
    """
    kinds = {letter: _measured_on(run) for letter, run in named}
    known = [kind for kind in kinds.values() if kind.examples]
    most = max(known, key=known.count, default=None)
    group = [(letter, run) for letter, run in named if kinds[letter] == most]
    apart = {letter: _why_apart(kind, most) for letter, kind in kinds.items() if kind != most}
    return (group if len(group) > 1 else []), apart


@dataclass(frozen=True)
class _MeasuredOn:
    """The examples on which a run was measured; equal for runs that can be compared."""

    task: str
    split: str  # its name in a sentence
    examples: frozenset  # of content, its repetition and label; empty if that is not known


def _measured_on(run: RunFiles) -> _MeasuredOn:
    answers = _answers(run)
    examples = frozenset((key, label) for key, (label, _) in answers.items())
    return _MeasuredOn(run.task, run.split_name(figures.predicted(run)[0]), examples)


def _why_apart(kind: _MeasuredOn, most: _MeasuredOn | None) -> str:
    if not kind.examples or most is None:
        return "has no answers in predictions.csv, or its data.json lacks digests of these examples"
    if kind.task != most.task:
        return f"solves another task, {kind.task} instead of {most.task}"
    if kind.split != most.split:
        return f"was measured on {kind.split} examples, the others on {most.split} examples"
    return f"was measured on other {kind.split} examples or labels than the others"


def against_best(named: Named) -> list[Difference] | None:
    """Returns one difference for each run but the best: by how much the best run is better.

    Returns None if no two runs are `comparable`.
    """
    named, _ = comparable(named)
    if not named:
        return None
    answers = [_answers(run) for _, run in named]
    score_of = tasks.of(task_of(named), "predictions").score_of
    rows = [[dict(zip(PAIR, pairs[key], strict=True)) for key in answers[0]] for pairs in answers]
    scores = [np.array(list(map(score_of, row))) for row in rows]
    best = max(range(len(named)), key=lambda i: scores[i].sum())
    differences = []
    for i, (letter, _) in enumerate(named):
        if i != best:
            d = tasks.of(task_of(named), "choice").against(scores[best], scores[i])
            counted = letter, named[best][0], d["won"], d["lost"], len(answers[0])
            differences.append(Difference(*counted, d["difference"], d["interval"]))
    return differences


PAIR = ("label", "prediction")


def _answers(run: RunFiles) -> dict[tuple[str, int], tuple[str, str]]:
    """Returns the label and the prediction of each example; empty if a digest is unknown.

    The keys are (digest of the file, repetition). A split may hold the same content twice: the
    repetition, from 1 on, tells the copies apart.
    """
    split, _ = figures.predicted(run)
    predictions = [p for p in run.predictions if p.split == split]
    # Cross-validation holds out each training example once, and calls these answers "val".
    listed = "train" if run.holds_out and split == "val" else split
    names = (run.data.get("splits") or {}).get(listed) or []
    digests = (run.data.get("digests") or {}).get(listed) or []
    content = dict(zip(names, digests, strict=False))
    if not predictions or any(p.file not in content for p in predictions):
        return {}
    answers: dict[tuple[str, int], tuple[str, str]] = {}
    seen: dict[str, int] = {}
    for prediction in predictions:
        digest = content[prediction.file]
        seen[digest] = seen.get(digest, 0) + 1
        answers[digest, seen[digest]] = (prediction.label, prediction.prediction)
    return answers


def main_name(named: Named) -> str:
    """Returns the name of the task's main metric, for a sentence."""
    task = task_of(named)
    return results.named_scores(task)[tasks.of(task, "names").MAIN][0].lower()
