"""Compares candidates, trials and approaches: which is better, and by how much."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tl_keras.run.result.search import TrialRecord
from tl_keras.run.result.training import CandidateRecord
from tl_keras.tasks.shares import paired_interval

# The smallest gain, in nats, that counts as more than chance. It is the bound of a likelihood-ratio
# test at 1%: half of the chi-square quantile at one degree of freedom. On 20 development splits of
# two data sets, the gain was at most 1.3 if fine-tuning did not help, and otherwise at least 5.3.
MARGIN = 3.32


def kept(
    by: str,
    losses: Mapping[str, np.ndarray],
    scores: Mapping[str, np.ndarray],
    margin: float | None = None,
) -> str:
    """Returns the name of the candidate to keep as the result of a training.

    Args:
      by: the rule, `fit.choose_by`: `log_loss` (see `choose`) or `accuracy` (`most_accurate`).
      losses: for each candidate, from simple to complex, log losses `(1 + views, examples)`.
      scores: for each candidate, in the same order, True for each example that it answers right,
        `(examples,)`.
      margin: see `choose`.
    """
    if by == "accuracy":
        return most_accurate({name: right.mean() for name, right in scores.items()})
    return choose(losses, margin)


def choose(losses: Mapping[str, np.ndarray], margin: float | None = None) -> str:
    """Returns the name of the first candidate, unless another is clearly better on validation.

    A better candidate has no higher loss than the first on the original images, and its `gain` is
    more than the margin. Two reasons for the margin and the augmented views:

    - If a candidate answers all of twenty images right, more training makes it more confident, but
      often worse on new images.
    - A few images in a single view can favour a candidate by luck. Augmented views of the images,
      rotated and zoomed as in training, average that out.

    Args:
      losses: for each candidate, from simple to complex, log losses in nats, `(1 + views,
        examples)`. Row 0 is for the original images, the other rows for augmented views of them.
      margin: the margin in nats; None for `MARGIN`.
    """
    margin = MARGIN if margin is None else margin
    first, *others = losses
    better = [
        name
        for name in others
        if losses[name][0].sum() <= losses[first][0].sum() and gain(losses, name) > margin
    ]
    return max(better, key=lambda name: gain(losses, name), default=first)


def most_accurate(accuracies: Mapping[str, float]) -> str:
    """Returns the name of the candidate with the best validation accuracy; if tied, the first."""
    return max(accuracies, key=lambda name: accuracies[name])


def gain(losses: Mapping[str, np.ndarray], name: str) -> float:
    """Returns by how many nats the candidate's loss is lower than the first candidate's.

    The losses of the views of an example are averaged, then summed over the examples.

    Args:
      losses: as in `choose`.
      name: the name of the candidate.
    """
    first = next(iter(losses))
    return float((losses[first] - losses[name]).mean(0).sum())


def may_gain(by: str, losses: np.ndarray, scores: np.ndarray, margin: float | None = None) -> bool:
    """Returns True if some candidate could be kept instead of the first, given the first's results.

    Args:
      by: the rule, `fit.choose_by`.
      losses: log losses of the first candidate, `(1 + views, examples)`: row 0 on the examples as
        they are, then a row for each augmented view of them.
      scores: True for each example that the first candidate answers right, `(examples,)`.
      margin: see `choose`.
    """
    return bool(scores.mean() < 1) if by == "accuracy" else can_lose(losses, margin)


def can_lose(losses: np.ndarray, margin: float | None = None) -> bool:
    """Returns True if, given the first candidate's losses, `choose` could return another candidate.

    To find out, it calls `choose` with the first candidate and an imaginary perfect one, whose
    losses are all 0.

    Args:
      losses: losses of the first candidate, `(1 + views, examples)`.
      margin: see `choose`.
    """
    perfect = np.zeros_like(losses)
    return choose({"first": losses, "perfect": perfect}, margin) == "perfect"


def uses_views(by: str) -> bool:
    """Returns True if the rule `by` (`fit.choose_by`) uses augmented views of validation images."""
    return by != "accuracy"


def together(
    by: str, trainings: Sequence[Mapping[str, CandidateRecord]], margin: float | None = None
) -> str:
    """Returns the name of the one candidate that several trainings, such as folds, keep in common.

    The rules are those of `kept`, applied to accuracies or losses summed over all trainings.

    Args:
      by: the rule, `fit.choose_by`.
      trainings: for each training, the records of its candidates by name; only `head` if
        fine-tuning was left out.
      margin: see `choose`.
    """
    names = dict.fromkeys(name for records in trainings for name in records)
    if by == "accuracy":
        filled = [{**dict.fromkeys(names, records["head"]), **records} for records in trainings]
        return most_accurate({n: sum(records[n][by] for records in filled) for n in names})
    totals = {}
    for name in names:
        pairs = [(records[name], records["head"]) for records in trainings if name in records]
        # The loss on the original images must not be higher, see `choose`.
        if sum(c.log_loss - head.log_loss for c, head in pairs) <= 0:
            totals[name] = sum(c.gain for c, _ in pairs)
    best = max(totals, key=lambda name: totals[name])
    return best if totals[best] > (MARGIN if margin is None else margin) else "head"


def described(losses: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Returns a candidate's `log_loss` and `accuracy` on the original (unaugmented) images."""
    return {"log_loss": float(losses[0].mean()), "accuracy": float(scores.mean())}


def paired(scores: np.ndarray, others: np.ndarray) -> dict[str, int]:
    """Compares two models example by example; returns the counts `won` and `lost`.

    `won` is the number of examples that only the first model answers right, `lost` the number that
    only the second answers right.

    Args:
      scores: True for each example that the first model answers right, `(n,)`.
      others: the same for the second model.
    """
    return {"won": int((scores > others).sum()), "lost": int((others > scores).sum())}


def against(scores: np.ndarray, others: np.ndarray) -> dict[str, Any]:
    """Compares two models on the same examples; `scores` and `others` are those of `paired`.

    Returns:
      `won` and `lost`, see `paired`; `difference`, the accuracy of the first model minus that of
      the second; and `interval`, the paired 95% interval of the difference.
    """
    counted, n = paired(scores, others), len(scores)
    interval = paired_interval(counted["won"], counted["lost"], n)
    difference = (counted["won"] - counted["lost"]) / n
    return {**counted, "difference": difference, "interval": interval}


def noted(scores: np.ndarray) -> dict[str, Any]:
    """Returns {"wrong": the indices of wrongly answered examples} for the record of a search trial.

    `behind` compares two trials by these indices.
    """
    return {"wrong": np.flatnonzero(scores == 0).tolist()}


def checked(record: Mapping[str, Any], n: int | None) -> dict[str, Any]:
    """Returns the fields `wrong` and `n` of a trial's record, as `behind` needs them.

    Returns an empty dict if `wrong` is invalid or `n` is unknown.

    Args:
      record: a trial's record from a file, which may contain anything.
      n: number of validation examples of the trial; None if unknown.
    """
    wrong = record.get("wrong")
    if n is None or not isinstance(wrong, list):
        return {}
    fits = all(type(place) is int and 0 <= place < n for place in wrong)
    return {"wrong": wrong, "n": n} if fits else {}


def behind(best: TrialRecord, other: TrialRecord) -> tuple[float, float, float] | None:
    """Returns how much less accurate the trial `other` is than `best`, as (difference, low, high).

    The difference is the accuracy of `best` minus that of `other`; low and high are the ends of its
    paired 95% interval. Returns None if a trial's record does not list its wrong examples, or if
    the trials have different numbers of examples.
    """
    if best.get("wrong") is None or other.get("wrong") is None or best["n"] != other["n"]:
        return None
    wrong, others = set(best["wrong"]), set(other["wrong"])
    won, lost = len(others - wrong), len(wrong - others)
    return ((won - lost) / best["n"], *paired_interval(won, lost, best["n"]))
