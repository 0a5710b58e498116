"""Scores of a split with their intervals, and the worst mistakes. Imports no Keras."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tl_keras.tasks.classification.losses import checked, log_loss
from tl_keras.tasks.classification.names import FALLING
from tl_keras.tasks.classification.record import ClassScores, Scores
from tl_keras.tasks.shares import wilson

BINS = 15
# The scores that are reported for models other than the run's own.
IN_SHORT = ("accuracy", "interval", "log_loss", "n")


def measure(probabilities: np.ndarray, labels: np.ndarray, class_names: Sequence[str]) -> Scores:
    """Returns the scores of a model on a split; none of them is NaN.

    Args:
        probabilities: `(n, classes)` float in 0..1. Rows need not sum to 1, because a quantised
            softmax has steps of 1/256.
        labels: `(n,)` int in 0..classes-1.
        class_names: `classes` different names, in the order of the columns.

    Returns:
        `accuracy`; `interval`, Wilson's 95% interval of the accuracy; `balanced_accuracy`, the mean
        recall of the classes that have examples; `macro_f1`, the mean F1 score of the classes that
        have examples or were predicted, as in scikit-learn; `log_loss`; `calibration_error`; `n`;
        `classes`, by name, with precision (None if never predicted), recall (None without examples)
        and n; `confusion`, counts `(classes, classes)` by true class (rows) and predicted class.

    Raises:
        ValueError: `n` or `classes` is 0, the shapes are not those above, a label is not in
            0..classes-1, a probability is NaN or outside 0..1, or class names repeat or do not
            match the columns.
    """
    probabilities, labels = checked(probabilities, labels)
    _check_probabilities(probabilities)
    _check_names(class_names, probabilities.shape[1])
    confusion = _confusion(probabilities, labels)
    right = int(np.trace(confusion))
    return Scores(
        accuracy=right / len(labels),
        interval=list(wilson(right, len(labels))),
        **_class_means(confusion),
        log_loss=log_loss(probabilities, labels),
        calibration_error=_calibration_error(probabilities, labels),
        n=len(labels),
        classes=_classes(confusion, class_names),
        confusion=confusion.tolist(),
    )


def scores(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns True for each example whose likeliest class is the right one, `(n,) bool`."""
    return probabilities.argmax(-1) == labels


def score(measured: Mapping[str, Any], metric: str) -> float:
    """Returns the value of a metric in the result of `measure`, negated if lower is better."""
    return -measured[metric] if metric in FALLING else measured[metric]


def score_of_guessing(metric: str, class_names: Sequence[str]) -> float:
    """Returns roughly the result of `score` for a model that guesses among the classes."""
    guessing = 1 / len(class_names)
    return math.log(guessing) if metric in FALLING else guessing


def interval_of(accuracy: float, n: int) -> tuple[float, float]:
    """Returns Wilson's 95% interval of an accuracy on n examples."""
    return wilson(round(accuracy * n), n)


def worst(probabilities: np.ndarray, labels: np.ndarray, count: int) -> list[int]:
    """Returns the indices of at most `count` wrong predictions, the most confident first.

    Raises:
        ValueError: there are no examples, the shapes do not match, a label is out of range, or
            a probability is NaN or infinite.
    """
    probabilities, labels = checked(probabilities, labels)
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    # A stable sort keeps the order of the split for equal confidences, on every machine.
    order = np.argsort(-probabilities[wrong].max(axis=1), kind="stable")
    return wrong[order][: max(count, 0)].tolist()


def _check_probabilities(probabilities: np.ndarray) -> None:
    low, high = probabilities.min(), probabilities.max()
    # float16 exports exceed 1 by their rounding, 2**-11. Logits are much further outside of 0..1.
    if low < -1e-3 or high > 1 + 1e-3:
        raise ValueError(
            f"evaluate: probabilities must be in 0..1; received {low:.4g}..{high:.4g}; "
            "are these logits? losses.answers() converts them to probabilities"
        )


def _check_names(class_names: Sequence[str], classes: int) -> None:
    if len(class_names) != classes or len(set(class_names)) != classes:
        raise ValueError(
            f"evaluate: expected {classes} different class names, one for each column; "
            f"received {len(class_names)}, {len(set(class_names))} of them different"
        )


def _confusion(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    classes = probabilities.shape[1]
    pairs = labels.astype(np.int64) * classes + probabilities.argmax(axis=1)
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def _class_means(confusion: np.ndarray) -> dict[str, Any]:
    true, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    right = np.diag(confusion)
    # 2 right / (true + predicted) is the F1 score, without a division by zero.
    seen = true + predicted > 0
    return {
        "balanced_accuracy": float((right[true > 0] / true[true > 0]).mean()),
        "macro_f1": float((2 * right[seen] / (true + predicted)[seen]).mean()),
    }


def _classes(confusion: np.ndarray, class_names: Sequence[str]) -> dict[str, ClassScores]:
    true, predicted = confusion.sum(axis=1).tolist(), confusion.sum(axis=0).tolist()
    right = np.diag(confusion).tolist()
    return {
        str(name): ClassScores(
            precision=right[i] / predicted[i] if predicted[i] else None,
            recall=right[i] / true[i] if true[i] else None,
            n=true[i],
        )
        for i, name in enumerate(class_names)
    }


def _calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Returns the expected calibration error of the predicted class.

    There are 15 bins of equal width, as in Guo et al. 2017 (arXiv 1706.04599), so that values can
    be compared with published ones. Bins with equal numbers of examples would have only one or two
    examples each in a small split, and a single example is never calibrated.
    """
    confidence = np.clip(probabilities.max(axis=1), 0.0, 1.0)
    right = probabilities.argmax(axis=1) == labels
    # Bins exclude their lower and include their upper end, as in the paper; 0 is in the first bin.
    bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    gaps = np.bincount(bins, weights=right - confidence, minlength=BINS)
    return float(np.abs(gaps).sum() / len(labels))
