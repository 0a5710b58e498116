"""Probabilities and labels in; scores, a temperature and the worst mistakes out. No TensorFlow."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import optimize, special, stats

# Keras's own epsilon, so that log_loss equals the loss in training's logs; a quantised model
# gives probabilities of exactly 0, and one such example must not make the mean infinite.
EPSILON = 1e-7
Z = float(special.ndtri(0.975))  # Of 95% intervals.
BINS = 15
IN_SHORT = ("accuracy", "interval", "log_loss", "n")  # What is told of others than the model.
TEMPERATURES = (0.05, 20.0)
SHRINK = 0.25
STEPS = 500  # Of expectation maximisation; some dozens are enough as a rule.
PRIOR = np.log(2)  # Deviation of log T: most networks need a T of 1/2 to 2.


def measure(probabilities: np.ndarray, labels: np.ndarray, class_names: Sequence[str]) -> dict:
    """Returns one split's scores as plain floats and ints without NaN, ready for JSON.

    Args:
        probabilities: `(n, classes)` float in 0..1. Rows need not sum to 1: a quantised
            softmax moves in steps of 1/256.
        labels: `(n,)` int in 0..classes-1.
        class_names: `classes` different names, in the order of the columns.

    Returns:
        `accuracy`; `interval` (95%, Wilson's); `balanced_accuracy`, the mean recall of the classes
        that have examples; `macro_f1`, over the classes that have examples or were
        predicted (as scikit-learn does); `log_loss`; `calibration_error`; `n`; `classes`, for
        each name its precision (None if never predicted), recall (None if without examples)
        and n; `confusion`, `(classes, classes)` counts, rows are true labels.

    Raises:
        ValueError: no examples, shapes that differ, labels out of range, probabilities that
            are NaN or outside 0..1, or class names that repeat or do not match the columns.
    """
    probabilities, labels = _checked(probabilities, labels)
    _check_probabilities(probabilities)
    _check_names(class_names, probabilities.shape[1])
    confusion = _confusion(probabilities, labels)
    right = int(np.trace(confusion))
    return {
        "accuracy": right / len(labels),
        "interval": list(wilson(right, len(labels))),
        **_class_means(confusion),
        "log_loss": log_loss(probabilities, labels),
        "calibration_error": _calibration_error(probabilities, labels),
        "n": len(labels),
        "classes": _classes(confusion, class_names),
        "confusion": confusion.tolist(),
    }


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Returns the temperature T, in 0.05..20, for which `softmax(logits / T)` fits the labels.

    Temperature scaling, Guo et al. 2017 (arXiv 1706.04599), with one deviation: log T has a
    normal prior of mean 0 and deviation log 2. Twenty validation examples, all right, are
    common here, and for them the likelihood alone only grows as T falls: it would end at the
    bound and call every later prediction certain. With the prior, 20 of 20 right by a margin
    of 1 become 96% sure and 100 of 100 become 99%, close to (n + 1) / (n + 2), Platt's targets
    (1999). Some hundred examples with mistakes among them outweigh it.

    Args:
        logits: `(n, classes)` float, finite.
        labels: `(n,)` int in 0..classes-1.

    Raises:
        ValueError: no examples, shapes that differ, labels out of range, logits not finite.
    """
    logits, labels = _checked(logits, labels)
    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        log_probabilities = special.log_softmax(logits * np.exp(-log_temperature), axis=1)
        prior = 0.5 * (log_temperature / PRIOR) ** 2 / len(labels)
        return prior - log_probabilities[rows, labels].mean()

    found = optimize.minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded")
    return float(np.exp(found.x))


def class_frequencies(probabilities: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Returns the classes' frequencies, `(classes,)`, among examples whose labels nobody knows.

    Expectation maximisation, Saerens et al. 2002 (doi 10.1162/089976602753284446): the frequencies
    under which the probabilities, corrected by them, have these frequencies as their mean; with one
    deviation: `SHRINK` times as many examples are added, in which the prior holds. Alone it runs
    away where the model is less sure than it might be: of three classes at .59, .26 and .15 it
    found .82, .18 and .00 with logits half as large as they should be, and .51, .28 and .20 so.

    Args:
        probabilities: `(n, classes)`, calibrated, of a model trained where `prior` held.
        prior: `(classes,)`, above 0.
    """
    found = np.asarray(prior, np.float64)
    added = SHRINK * len(probabilities) * found
    for _ in range(STEPS):
        corrected = probabilities * (found / prior)
        corrected = corrected / corrected.sum(1, keepdims=True)
        before, found = found, (corrected.sum(0) + added) / (len(corrected) + added.sum())
        if np.abs(found - before).max() < 1e-6:
            break
    return found


def softmax(logits: np.ndarray) -> np.ndarray:
    """Returns probabilities `(..., classes)` float64 that sum to 1 over the last axis."""
    return special.softmax(np.asarray(logits, dtype=np.float64), axis=-1)


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Returns the mean of `log_losses`, with its arguments and errors."""
    return float(log_losses(probabilities, labels).mean())


def log_losses(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the negative log probability of each true class, in nats, `(n,) float64`.

    Probabilities `(n, classes)` are clipped to 1e-7..1-1e-7; labels are `(n,)` int.

    Raises:
        ValueError: no examples, shapes that differ, labels out of range, NaN.
    """
    probabilities, labels = _checked(probabilities, labels)
    of_label = probabilities[np.arange(len(labels)), labels]
    return -np.log(np.clip(of_label, EPSILON, 1 - EPSILON))


def wilson(right: int, n: int) -> tuple[float, float]:
    """Returns the 95% interval of a share that was counted; 0..1 where nothing was.

    Wilson 1927: unlike the normal one, or a bootstrap, it stays inside 0..1 and does not shrink
    to nothing where 0 or n of n are right.
    """
    if not n:
        return 0.0, 1.0
    share = right / n
    centre = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    # Rounding must not put the interval beside a share of 0 or 1.
    return max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))


def paired_interval(won: int, lost: int, n: int) -> list[float]:
    """Returns the 95% interval of a difference of two accuracies on the same examples.

    Bonett and Price 2012 (J. Educ. Behav. Stat. 37, 479-488): the normal interval after one example
    more of each kind, won and lost. One deviation: it holds 0 unless the exact test of McNemar
    rejects equality, so that "beyond chance" is true of 4 against 0 at no n. The interval of each
    accuracy alone is wider than that of their difference, since both find the same examples hard.

    Args:
        won: examples that the first has right and the second wrong.
        lost: those the other way around.
        n: all examples.
    """
    first, second = (won + 1) / (n + 2), (lost + 1) / (n + 2)
    centre = first - second
    half = Z * math.sqrt((first + second - centre**2) / (n + 2))
    low, high = max(-1.0, centre - half), min(1.0, centre + half)
    if not won + lost or stats.binomtest(won, won + lost).pvalue > 0.05:
        low, high = min(low, 0.0), max(high, 0.0)
    return [low, high]


def worst_mistakes(probabilities: np.ndarray, labels: np.ndarray, count: int) -> list[int]:
    """Returns at most `count` indices of wrong predictions, the most confident first.

    Raises:
        ValueError: no examples, shapes that differ, labels out of range, NaN.
    """
    probabilities, labels = _checked(probabilities, labels)
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    # Stable, so that equal confidences keep the order of the split on every machine.
    order = np.argsort(-probabilities[wrong].max(axis=1), kind="stable")
    return wrong[order][: max(count, 0)].tolist()


def _checked(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores = np.asarray(scores, dtype=np.float64)
    labels = np.asarray(labels)
    if scores.ndim != 2 or labels.shape != scores.shape[:1] or 0 in scores.shape:
        raise ValueError(
            "evaluate: expected scores (n, classes) and labels (n,) with n and classes of at "
            f"least 1; received {scores.shape} and {labels.shape}"
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"evaluate: labels must be integers; received {labels.dtype}")
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        raise ValueError(
            f"evaluate: labels must lie in 0..{scores.shape[1] - 1}; "
            f"received {labels.min()}..{labels.max()}"
        )
    bad = np.flatnonzero(~np.isfinite(scores).all(axis=1))
    if bad.size:
        raise ValueError(
            f"evaluate: {bad.size} of {len(labels)} examples have scores that are NaN or "
            f"infinite, the first at index {bad[0]}; did training diverge?"
        )
    return scores, labels


def _check_probabilities(probabilities: np.ndarray) -> None:
    low, high = probabilities.min(), probabilities.max()
    # float16 exports overshoot 1 by their rounding, 2**-11; logits miss by far more.
    if low < -1e-3 or high > 1 + 1e-3:
        raise ValueError(
            f"evaluate: probabilities must lie in 0..1; received {low:.4g}..{high:.4g}; "
            "are these logits? softmax() turns them into probabilities"
        )


def _check_names(class_names: Sequence[str], classes: int) -> None:
    if len(class_names) != classes or len(set(class_names)) != classes:
        raise ValueError(
            f"evaluate: expected {classes} different class names, one a column; "
            f"received {len(class_names)}, {len(set(class_names))} of them different"
        )


def _confusion(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    classes = probabilities.shape[1]
    pairs = labels.astype(np.int64) * classes + probabilities.argmax(axis=1)
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def _class_means(confusion: np.ndarray) -> dict[str, float]:
    true, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    right = np.diag(confusion)
    # 2 right / (true + predicted) is the F1 score, with no division by zero on the way.
    seen = true + predicted > 0
    return {
        "balanced_accuracy": float((right[true > 0] / true[true > 0]).mean()),
        "macro_f1": float((2 * right[seen] / (true + predicted)[seen]).mean()),
    }


def _classes(confusion: np.ndarray, class_names: Sequence[str]) -> dict[str, dict]:
    true, predicted = confusion.sum(axis=1).tolist(), confusion.sum(axis=0).tolist()
    right = np.diag(confusion).tolist()
    return {
        str(name): {
            "precision": right[i] / predicted[i] if predicted[i] else None,
            "recall": right[i] / true[i] if true[i] else None,
            "n": true[i],
        }
        for i, name in enumerate(class_names)
    }


def _calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Expected calibration error of the predicted class: 15 bins of equal width, as in Guo et
    al. 2017 (arXiv 1706.04599), so that values compare with published ones. Bins of equal mass
    would hold one or two examples each in a small split, and one example is never calibrated.
    """
    confidence = np.clip(probabilities.max(axis=1), 0.0, 1.0)
    right = probabilities.argmax(axis=1) == labels
    # Bins are open below and closed above, as in the paper; 0 joins the first.
    bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    gaps = np.bincount(bins, weights=right - confidence, minlength=BINS)
    return float(np.abs(gaps).sum() / len(labels))
