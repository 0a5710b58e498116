"""95% intervals: of shares that were counted, of scores by resampling."""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from tl_keras.evaluate import EPSILON

DRAWS = 1000
MANY = 10_000  # Examples whose mean is normal enough, and whose draws would fill the memory.


def wilson(right: int, n: int, looks: int = 1) -> tuple[float, float]:
    """The Wilson (1927) interval of a share; 0..1 where nothing was counted.

    Unlike the normal one it stays inside 0..1 and says something sensible of 0 or n out of n.

    Args:
      looks: how many shares are looked at to pick this one; the interval is wider for more, so
        that all of them together hold at 95% (Bonferroni).
    """
    if not n:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(1 - 0.025 / looks)
    share = right / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    # Rounding must not put the interval beside a share of 0 or 1.
    return max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))


def bootstrap(examples: Sequence[tuple[str, str, float]]) -> dict[str, list[float]]:
    """95% intervals of scores that are no plain shares: by `result.json`'s names, low and high.

    `balanced_accuracy`, `macro_f1` and `log_loss`, each as evaluate.py has it, of examples drawn
    with replacement; `log_loss` only where all probabilities are known. Not the calibration
    error: what chance adds to it, resampling adds twice.

    Args:
      examples: of each, label, prediction and the probability of the label.
    """
    if not examples:
        return {}
    labels, predictions, likelihood = map(np.array, zip(*examples, strict=True))
    scores = _of_classes(labels, predictions)
    if np.isfinite(likelihood).all():
        scores["log_loss"] = _means(-np.log(np.clip(likelihood, EPSILON, 1 - EPSILON)))
    return {k: np.percentile(values, (2.5, 97.5)).tolist() for k, values in scores.items()}


def _of_classes(labels: np.ndarray, predictions: np.ndarray) -> dict[str, np.ndarray]:
    """Scores of `DRAWS` draws. Each class keeps its size: one of a few examples would often be
    drawn empty else, and the mean be over fewer classes."""
    names, indices = np.unique(np.concatenate([labels, predictions]), return_inverse=True)
    true, taken_for = indices[: len(labels)], indices[len(labels) :]
    generator, size = np.random.default_rng(0), np.bincount(true, minlength=len(names))
    right, taken = np.zeros((2, DRAWS, len(names)))
    for label in np.flatnonzero(size):
        row = np.bincount(taken_for[true == label], minlength=len(names))
        drawn = generator.multinomial(size[label], row / size[label], DRAWS)
        right[:, label] = drawn[:, label]
        taken += drawn
    seen = size + taken > 0
    return {
        "balanced_accuracy": (right / np.maximum(size, 1)).sum(1) / (size > 0).sum(),
        "macro_f1": (2 * right / np.maximum(size + taken, 1)).sum(1) / seen.sum(1),
    }


def _means(losses: np.ndarray) -> np.ndarray:
    """Means of `DRAWS` draws."""
    generator, n = np.random.default_rng(0), len(losses)
    if n > MANY:
        return generator.normal(losses.mean(), losses.std() / math.sqrt(n), DRAWS)
    return losses[generator.integers(0, n, (DRAWS, n))].mean(1)
