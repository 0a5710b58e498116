"""Abstaining: an output that says when the answer of a model should not be used.

The method is split conformal prediction (Vovk et al. 2005; see Angelopoulos and Bates, arXiv
2107.07511). The prediction set of an example is the set of classes whose probability reaches a
threshold. The threshold is chosen so that the prediction set contains the right class for a share
`level` (`export.abstain`, 0..1) of the examples, if they resemble those on which the threshold was
computed. The model answers if the prediction set has exactly one class, and otherwise abstains.
"""

import math
from typing import Any

import numpy as np

from tl_keras.run.result.exports import Abstaining
from tl_keras.tasks.shares import wilson

ROUNDING = 1e-9  # In floats, (19 + 1) * (1 - 0.95) is slightly less than 1.
STEP = 1 / 256  # between two probabilities of an int8 model; its largest probability is 255 / 256


def threshold(probabilities: np.ndarray, labels: np.ndarray, level: float) -> float:
    """Returns the threshold: each class whose probability reaches it is in the prediction set.

    Args:
      probabilities: `(examples, classes)`, for examples on which no weights were trained. If the
        model or the temperature was chosen on these examples, coverage is slightly overestimated.
      labels: `(examples,) int`.
      level: the share of prediction sets that should contain the right class, 0..1.

    Raises:
      ValueError: the examples are too few to reach the coverage `level`.
    """
    count = len(labels)
    check(count, level)
    at_rank = float(np.sort(probabilities[np.arange(count), labels])[_rank(count, level) - 1])
    # Reduced by the rounding error of an int8 model, so that its coverage is not lower.
    return max(at_rank - STEP, at_rank / 2)


def check(count: int, level: float) -> None:
    """Raises ValueError if `count` examples are too few to reach the coverage `level` (0..1)."""
    if _rank(count, level) < 1:
        raise ValueError(
            f"export.abstain: a level of {level:g} needs at least "
            f"{math.ceil(1 / (1 - level) - ROUNDING) - 1} validation examples, received {count}; "
            f"lower the level to {math.floor(1000 * count / (count + 1)) / 1000:g} or less, or add "
            "validation examples (data.val)"
        )


def abstains(probabilities: Any, threshold: float) -> Any:
    """Returns `(batch,) float32`: 0 if the prediction set has exactly one class, else 1 (abstain).

    The values are floats because MediaPipe rejects files in which only some outputs are integers.
    """
    import tensorflow as tf

    inside = tf.cast(probabilities >= threshold, tf.float32)
    return tf.cast(tf.not_equal(tf.reduce_sum(inside, -1), 1.0), tf.float32)


def measure(
    probabilities: np.ndarray,
    abstain: np.ndarray,
    labels: np.ndarray,
    threshold: float | np.ndarray,
) -> Abstaining:
    """Measures abstaining on examples that were not used to compute the threshold.

    Args:
      abstain: 1 for examples on which the model abstains, else 0, `(examples,)`.
      threshold: one threshold for all examples, or an array with one for each, `(examples,)`.

    Returns:
      `coverage`, the share of prediction sets that contain the right class, with its 95%
      `interval`; `answered`, the share of examples on which the model does not abstain;
      `accuracy` on these examples, None if there are none; and `n`, the number of all examples.
    """
    inside = probabilities[np.arange(len(labels)), labels] >= np.float32(threshold)
    decided = abstain < 0.5
    right = (probabilities.argmax(-1) == labels)[decided]
    return Abstaining(
        coverage=float(inside.mean()),
        interval=list(wilson(int(inside.sum()), len(labels))),
        answered=float(decided.mean()),
        accuracy=float(right.mean()) if len(right) else None,
        n=len(labels),
    )


def measure_in_folds(
    probabilities: np.ndarray, labels: np.ndarray, fold_of: np.ndarray, level: float
) -> Abstaining | None:
    """Measures abstaining on the held-out examples of all folds of a cross-validation.

    The threshold for the examples of a fold is computed on the examples of the other folds.

    Args:
      fold_of: the number of the fold that held out each example, `(examples,) int`.
      level: the share of prediction sets that should contain the right class, 0..1.

    Returns:
      The result of `measure`; None if the other folds have too few examples to reach the coverage
      `level`.
    """
    numbers = np.unique(fold_of)
    fewest = min((fold_of != number).sum() for number in numbers)
    if _rank(fewest, level) < 1:
        return None
    thresholds = np.empty(len(labels))
    for number in numbers:
        others = fold_of != number
        thresholds[~others] = threshold(probabilities[others], labels[others], level)
    inside = probabilities >= thresholds[:, None]
    return measure(probabilities, inside.sum(-1) != 1, labels, thresholds)


def _rank(count: int, level: float) -> int:
    """Returns the rank of the threshold among the probabilities of the right classes.

    Rank 1 is the lowest probability. Returns 0 if `count` examples are too few to reach the
    coverage `level`.
    """
    return math.floor((count + 1) * (1 - level) + ROUNDING)
