"""95% intervals by bootstrap, for scores that are not a share of right answers."""

import math
from collections.abc import Sequence

import numpy as np

from tl_keras.tasks.classification.losses import EPSILON

DRAWS = 1000
# Above this number of examples, the mean is treated as normal; resampling would take much memory.
MANY = 10_000


def bootstrap(examples: Sequence[tuple[str, str, float]]) -> dict[str, list[float]]:
    """Returns 95% intervals {score: [low, high]} of scores that are not a share of right answers.

    The scores are `balanced_accuracy`, `macro_f1` and `log_loss`, defined as in `metrics.measure`,
    on `DRAWS` bootstrap samples (examples drawn with replacement). `log_loss` is left out unless
    all probabilities are known. A score with the same value in every sample is left out, for
    example if all answers are right, since its interval would claim certainty. The calibration
    error is left out because chance increases it, and resampling would add that increase a second
    time.

    Args:
      examples: (label, prediction, probability of the label) of each example.
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
    """Returns balanced accuracy and macro F1 on each bootstrap sample, `(DRAWS,)` each.

    Each class has as many examples in every sample as in the split. Otherwise, samples would often
    contain no example of a small class, and the mean would be over fewer classes.
    """
    names, indices = np.unique(np.concatenate([labels, predictions]), return_inverse=True)
    true, predicted = indices[: len(labels)], indices[len(labels) :]
    generator, size = np.random.default_rng(0), np.bincount(true, minlength=len(names))
    right, times_predicted = np.zeros((2, DRAWS, len(names)))
    for label in np.flatnonzero(size):
        row = np.bincount(predicted[true == label], minlength=len(names))
        drawn = generator.multinomial(size[label], row / size[label], DRAWS)
        right[:, label] = drawn[:, label]
        times_predicted += drawn
    seen = size + times_predicted > 0
    return {
        "balanced_accuracy": (right / np.maximum(size, 1)).sum(1) / (size > 0).sum(),
        "macro_f1": (2 * right / np.maximum(size + times_predicted, 1)).sum(1) / seen.sum(1),
    }


def _means(losses: np.ndarray) -> np.ndarray:
    """Returns the mean loss on each bootstrap sample, `(DRAWS,)`."""
    generator, n = np.random.default_rng(0), len(losses)
    if n > MANY:
        return generator.normal(losses.mean(), losses.std() / math.sqrt(n), DRAWS)
    return losses[generator.integers(0, n, (DRAWS, n))].mean(1)
