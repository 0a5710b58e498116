"""95% intervals of scores that are no plain shares, by resampling."""

import math
from collections.abc import Sequence

import numpy as np

from tl_keras.tasks.classification.losses import EPSILON

DRAWS = 1000
MANY = 10_000  # Examples whose mean is normal enough, and whose draws would fill the memory.


def bootstrap(examples: Sequence[tuple[str, str, float]]) -> dict[str, list[float]]:
    """95% intervals of scores that are no plain shares: by `result.json`'s names, low and high.

    `balanced_accuracy`, `macro_f1` and `log_loss`, as `metrics.measure` has them, of examples drawn
    with replacement; `log_loss` only where all probabilities are known. A score that comes out
    the same in every draw, as where all examples are right, has none: resampling would call it
    certain. Not the calibration error: what chance adds to it, resampling adds twice.

    Args:
      examples: of each, label, prediction and the probability of the label.
    """
    if not examples:
        return {}
    labels, predictions, likelihood = map(np.array, zip(*examples, strict=True))
    scores = _of_classes(labels, predictions)
    if np.isfinite(likelihood).all():
        scores["log_loss"] = _means(-np.log(np.clip(likelihood, EPSILON, 1 - EPSILON)))
    drawn = {k: np.percentile(values, (2.5, 97.5)) for k, values in scores.items()}
    return {k: ends.tolist() for k, ends in drawn.items() if ends[0] < ends[1]}


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
