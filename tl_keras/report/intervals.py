"""95% intervals: of shares that were counted, of scores by resampling."""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from tl_keras.evaluate import EPSILON


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
    n = len(examples)
    if not n:
        return {}
    labels, predictions, likelihood = map(np.array, zip(*examples, strict=True))
    generator, draws = np.random.default_rng(0), int(np.clip(5e6 // n, 100, 1000))
    scores = _of_classes(_within_classes(labels, draws, generator), labels, predictions)
    if np.isfinite(likelihood).all():
        losses = -np.log(np.clip(likelihood, EPSILON, 1 - EPSILON))
        scores["log_loss"] = generator.multinomial(n, np.full(n, 1 / n), draws) @ losses / n
    return {k: np.percentile(values, (2.5, 97.5)).tolist() for k, values in scores.items()}


def _within_classes(labels: np.ndarray, draws: int, generator: np.random.Generator) -> np.ndarray:
    """How often each example is drawn, `(draws, examples)`; each class keeps its size.

    Else a class of a few examples would often be drawn empty, and its mean over fewer classes.
    """
    weights = np.empty((draws, len(labels)))
    for name in np.unique(labels):
        members = np.flatnonzero(labels == name)
        share = np.full(len(members), 1 / len(members))
        weights[:, members] = generator.multinomial(len(members), share, draws)
    return weights


def _of_classes(
    weights: np.ndarray, labels: np.ndarray, predictions: np.ndarray
) -> dict[str, np.ndarray]:
    names = np.unique(np.concatenate([labels, predictions]))
    is_true, is_taken = labels[:, None] == names, predictions[:, None] == names
    true, taken = weights @ is_true, weights @ is_taken
    right = weights @ (is_true & is_taken)
    seen = true + taken > 0
    f1 = 2 * right / np.maximum(true + taken, 1)
    recall = right / np.maximum(true, 1)
    return {
        "balanced_accuracy": recall.sum(1) / (true > 0).sum(1),
        "macro_f1": f1.sum(1) / seen.sum(1),
    }
