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


def kept(by: str, losses: Mapping[str, np.ndarray], scores: Mapping[str, np.ndarray]) -> str:
    """Returns the name of the candidate to keep; see `choose` and `most_accurate`.

    Args:
      by: `fit.choose_by`.
      losses: log losses `(1 + views, examples)` by candidate, from simple to complex.
      scores: whether each example is right, `(examples,)`, by candidate in the same order.
    """
    if by == "accuracy":
        return most_accurate({name: right.mean() for name, right in scores.items()})
    return choose(losses)


def choose(losses: Mapping[str, np.ndarray]) -> str:
    """Returns the first candidate, unless another is clearly better on the validation set.

    A better candidate has no higher loss on the original images, and its gain over all views is
    more than `MARGIN`. Two reasons for the margin and the views:

    - If all of twenty images are right, the candidate that trained longest is the most confident,
      but often worse on new images.
    - A few images that are seen once can favour a candidate by luck. Augmented views of the images,
      rotated and zoomed as in training, average that out.

    Args:
      losses: log losses in nats, `(1 + views, examples)`, by candidate from simple to complex;
        row 0 is for the original images.
    """
    first, *others = losses
    better = [
        name
        for name in others
        if losses[name][0].sum() <= losses[first][0].sum() and gain(losses, name) > MARGIN
    ]
    return max(better, key=lambda name: gain(losses, name), default=first)


def most_accurate(accuracies: Mapping[str, float]) -> str:
    """Returns the candidate with the best validation accuracy; the first (simplest) of a tie."""
    return max(accuracies, key=lambda name: accuracies[name])


def gain(losses: Mapping[str, np.ndarray], name: str) -> float:
    """Returns the reduction of the total loss against the first candidate, in nats.

    The losses of all examples are summed; the views are averaged.
    """
    first = next(iter(losses))
    return float((losses[first] - losses[name]).mean(0).sum())


def may_gain(by: str, losses: np.ndarray, scores: np.ndarray) -> bool:
    """Returns whether any candidate could be kept instead of a first one with these results."""
    return bool(scores.mean() < 1) if by == "accuracy" else can_lose(losses)


def can_lose(losses: np.ndarray) -> bool:
    """Returns whether `choose` would prefer a perfect candidate to one with these losses."""
    perfect = np.zeros_like(losses)
    return choose({"first": losses, "perfect": perfect}) == "perfect"


def uses_views(by: str) -> bool:
    """Returns whether the choice uses augmented views of the validation images."""
    return by != "accuracy"


def together(by: str, standing: Sequence[Mapping[str, CandidateRecord]]) -> str:
    """Returns the candidate that several trainings, such as folds, keep together.

    The rule is that of `choose`, applied to the sums over all trainings.

    Args:
      by: `fit.choose_by`.
      standing: for each training, the records of its candidates by name; only `head` if
        fine-tuning was left out.
    """
    names = dict.fromkeys(name for records in standing for name in records)
    if by == "accuracy":
        filled = [{**dict.fromkeys(names, records["head"]), **records} for records in standing]
        return most_accurate({n: sum(records[n][by] for records in filled) for n in names})
    totals = {}
    for name in names:
        pairs = [(records[name], records["head"]) for records in standing if name in records]
        # The loss on the original images must not be higher, see `choose`.
        if sum(c.log_loss - head.log_loss for c, head in pairs) <= 0:
            totals[name] = sum(c.gain for c, _ in pairs)
    best = max(totals, key=lambda name: totals[name])
    return best if totals[best] > MARGIN else "head"


def described(losses: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Returns a candidate's log loss and accuracy on the original images."""
    return {"log_loss": float(losses[0].mean()), "accuracy": float(scores.mean())}


def paired(scores: np.ndarray, others: np.ndarray) -> dict[str, int]:
    """Counts the examples that only the first model has right, and that only the second has."""
    return {"won": int((scores > others).sum()), "lost": int((others > scores).sum())}


def against(scores: np.ndarray, others: np.ndarray) -> dict[str, Any]:
    """Returns `paired`, the difference of the accuracies, and its paired 95% interval."""
    counted, n = paired(scores, others), len(scores)
    interval = paired_interval(counted["won"], counted["lost"], n)
    difference = (counted["won"] - counted["lost"]) / n
    return {**counted, "difference": difference, "interval": interval}


def noted(scores: np.ndarray) -> dict[str, Any]:
    """Returns the indices of wrong examples, which a trial's record keeps for `behind`."""
    return {"wrong": np.flatnonzero(scores == 0).tolist()}


def checked(record: Mapping[str, Any], n: int | None) -> dict[str, Any]:
    """Returns the fields that `behind` needs from an unchecked record; empty if they are invalid.

    Args:
      record: a record read from a file, which may contain anything.
      n: number of validation examples; None if unknown.
    """
    wrong = record.get("wrong")
    if n is None or not isinstance(wrong, list):
        return {}
    fits = all(type(place) is int and 0 <= place < n for place in wrong)
    return {"wrong": wrong, "n": n} if fits else {}


def behind(best: TrialRecord, other: TrialRecord) -> tuple[float, float, float] | None:
    """Returns how much less accurate `other` is than `best`: difference and paired 95% interval.

    Returns None if a record does not list its wrong examples, or the trials have different numbers
    of examples.
    """
    if best.get("wrong") is None or other.get("wrong") is None or best["n"] != other["n"]:
        return None
    wrong, others = set(best["wrong"]), set(other["wrong"])
    won, lost = len(others - wrong), len(wrong - others)
    return ((won - lost) / best["n"], *paired_interval(won, lost, best["n"]))
