"""When a model had better not decide: split conformal prediction (Vovk et al. 2005; see
Angelopoulos and Bates, arXiv 2107.07511).

The set of classes whose probability reaches a threshold holds the right one in `level` of the
cases, on average over what is like the examples that the threshold was found on. A device decides
where that set is a single class.
"""

import math
from typing import Any

import numpy as np

from tl_keras.run.result.exports import Abstaining
from tl_keras.tasks.shares import wilson

ROUNDING = 1e-9  # (19 + 1) * (1 - 0.95) is 1, and a little less in floats
STEP = 1 / 256  # of int8's probabilities, which end at 255 of them


def threshold(probabilities: np.ndarray, labels: np.ndarray, level: float) -> float:
    """The probability from which on a class is in the set.

    Args:
      probabilities: `(examples, classes)`, of examples that no weights were trained on. That they
        chose among models, and the temperature, makes coverage a little too good.

    Raises:
      ValueError: there are too few examples for the level.
    """
    count = len(labels)
    check(count, level)
    rank = math.floor((count + 1) * (1 - level) + ROUNDING)  # of the right class, from below
    found = float(np.sort(probabilities[np.arange(count), labels])[rank - 1])
    # Lower by what int8 may round off, so that it covers as much.
    return max(found - STEP, found / 2)


def check(count: int, level: float) -> None:
    """Raises ValueError where so many examples cannot tell a level."""
    if (count + 1) * (1 - level) + ROUNDING < 1:
        raise ValueError(
            f"export.abstain: {level:g} takes {math.ceil(1 / (1 - level) - ROUNDING) - 1} "
            f"validation examples at least; there are {count}; expected at most "
            f"{math.floor(1000 * count / (count + 1)) / 1000:g}, or more of them (data.val)"
        )


def abstains(probabilities: Any, threshold: float) -> Any:
    """`(batch,) float32` tensor: 1 where none or several classes are in the set, else 0.

    Floats, since MediaPipe refuses files of which one output alone is integer.
    """
    import tensorflow as tf

    inside = tf.cast(probabilities >= threshold, tf.float32)
    return tf.cast(tf.not_equal(tf.reduce_sum(inside, -1), 1.0), tf.float32)


def measure(
    probabilities: np.ndarray, abstain: np.ndarray, labels: np.ndarray, threshold: float
) -> Abstaining:
    """What came of it on examples that the threshold was not found on.

    Returns:
      Among others the share of sets that hold the right class, `coverage`, and `accuracy` of the
      examples that are decided, None of none.
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
