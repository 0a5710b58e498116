"""Which of two is better, and by how much: candidates, trials, approaches."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tl_keras.run.result.search import TrialRecord
from tl_keras.run.result.training import CandidateRecord
from tl_keras.tasks.shares import paired_interval

# nats: what a likelihood-ratio test at 1% asks for, half of chi-square's quantile at one degree of
# freedom. On 20 development splits of two data sets those that gained nothing by fine-tuning came
# to 1.3 at most, the others to 5.3 at least.
MARGIN = 3.32


def kept(by: str, losses: Mapping[str, np.ndarray], scores: Mapping[str, np.ndarray]) -> str:
    """The candidate that is kept, from simple to complex; see `choose` and `most_accurate`.

    Args:
      by: `fit.choose_by`.
      losses: `(1 + views, examples)` of each.
      scores: whether each example is right, `(examples,)`.
    """
    if by == "accuracy":
        return most_accurate({name: own.mean() for name, own in scores.items()})
    return choose(losses)


def choose(losses: Mapping[str, np.ndarray]) -> str:
    """Which candidate is kept: by validation, and the first one unless another is clearly better.

    On the images as they are it must be no worse, and over all their views it must make the labels
    more likely by `MARGIN`, all images together. Of twenty that are all right, whatever trained
    longest is the surest and loses on others; and twenty seen once are called well by luck, which
    views of them, rotated and zoomed as in training, average out.

    Args:
      losses: candidates from simple to complex, `(1 + views, examples)` log losses in nats, those
        of the images as they are first.
    """
    first, *others = losses
    better = [
        name
        for name in others
        if losses[name][0].sum() <= losses[first][0].sum() and gain(losses, name) > MARGIN
    ]
    return max(better, key=lambda name: gain(losses, name), default=first)


def most_accurate(accuracies: Mapping[str, float]) -> str:
    """The candidate with the best accuracy on validation; of equals the first, the simplest."""
    return max(accuracies, key=lambda name: accuracies[name])


def gain(losses: Mapping[str, np.ndarray], name: str) -> float:
    """Nats by which a candidate makes all labels more likely than the first does, views' mean."""
    first = next(iter(losses))
    return float((losses[first] - losses[name]).mean(0).sum())


def may_gain(by: str, losses: np.ndarray, scores: np.ndarray) -> bool:
    """Whether another candidate could be kept over a first one of these losses and scores."""
    return bool(scores.mean() < 1) if by == "accuracy" else can_lose(losses)


def can_lose(losses: np.ndarray) -> bool:
    """Whether `choose` would leave a first candidate with these losses for a perfect one."""
    perfect = np.zeros_like(losses)
    return choose({"first": losses, "perfect": perfect}) == "perfect"


def uses_views(by: str) -> bool:
    """Whether the choice leans on augmented views of the validation images."""
    return by != "accuracy"


def together(by: str, standing: Sequence[Mapping[str, CandidateRecord]]) -> str:
    """The candidate that several trainings keep, by the records of how theirs stand.

    As `choose` for one: by the gain over all of their validation examples.

    Args:
      by: `fit.choose_by`.
      standing: of each training, by candidate, what its record says; where fine-tuning was left
        out, of the head alone.
    """
    names = dict.fromkeys(name for own in standing for name in own)
    if by == "accuracy":
        every = [{**dict.fromkeys(names, own["head"]), **own} for own in standing]
        return most_accurate({n: sum(own[n][by] for own in every) for n in names})
    totals = {}
    for name in names:
        pairs = [(own[name], own["head"]) for own in standing if name in own]
        # On the images as they are it must be no worse, see `choose`.
        if sum(c.log_loss - head.log_loss for c, head in pairs) <= 0:
            totals[name] = sum(c.gain for c, _ in pairs)
    best = max(totals, key=lambda name: totals[name])
    return best if totals[best] > MARGIN else "head"


def described(losses: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """How a candidate stands on the images as they are."""
    return {"log_loss": float(losses[0].mean()), "accuracy": float(scores.mean())}


def paired(scores: np.ndarray, others: np.ndarray) -> dict[str, int]:
    """How many examples the first alone has right, and how many the second."""
    return {"won": int((scores > others).sum()), "lost": int((others > scores).sum())}


def against(scores: np.ndarray, others: np.ndarray) -> dict[str, Any]:
    """`paired`, the difference of accuracies, and its 95% interval, paired by example."""
    counted, n = paired(scores, others), len(scores)
    interval = paired_interval(counted["won"], counted["lost"], n)
    difference = (counted["won"] - counted["lost"]) / n
    return {**counted, "difference": difference, "interval": interval}


def noted(scores: np.ndarray) -> dict[str, Any]:
    """What a trial's record keeps to be compared example by example: which are wrong."""
    return {"wrong": np.flatnonzero(scores == 0).tolist()}


def checked(record: Mapping[str, Any], n: int | None) -> dict[str, Any]:
    """What `behind` takes of a record that may hold anything; nothing where it does not fit."""
    wrong = record.get("wrong")
    if n is None or not isinstance(wrong, list):
        return {}
    fits = all(type(place) is int and 0 <= place < n for place in wrong)
    return {"wrong": wrong, "n": n} if fits else {}


def behind(best: TrialRecord, other: TrialRecord) -> tuple[float, float, float] | None:
    """By how much a trial is less accurate than another: difference and 95% interval, paired.

    None where a record does not say which examples are wrong, or they are not the same examples.
    """
    if best.get("wrong") is None or other.get("wrong") is None or best["n"] != other["n"]:
        return None
    wrong, others = set(best["wrong"]), set(other["wrong"])
    won, lost = len(others - wrong), len(wrong - others)
    return ((won - lost) / best["n"], *paired_interval(won, lost, best["n"]))
