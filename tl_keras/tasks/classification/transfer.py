"""Estimates how well a backbone's features suit a data set, to rank backbones before training."""

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

STEPS = 50  # limit of the fixed-point iteration, which usually takes about five steps
CHANGE = 1e-3  # relative change of the ratio of the two precisions; below it, they have converged
# For the report, by key: the title of a column and the format of its values.
COLUMNS = {"logme": ("LogME", "number"), "left_out_accuracy": ("Left-out accuracy", "percent")}
ABOUT = (
    "LogME (arXiv 2102.11005): how well a linear model on the features explains the labels; higher "
    "is better. Left-out accuracy: that of a logistic regression, on examples on which it was not "
    "fitted."
)
BY = "logme"  # the key by which backbones are ranked; higher is better
FOLDS = 20  # for larger sets, where one fit for each example would take minutes
ONE_BY_ONE = 300  # examples; up to this number, each is left out in a fit of its own
MAX_STEPS = 200


def ranked(features: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Returns two estimates of how well a backbone suits the data: `logme`, `left_out_accuracy`.

    Both are computed on the features of the labelled examples, see the functions of these names.
    """
    return {
        "logme": logme(features, labels),
        "left_out_accuracy": left_out_accuracy(features, labels),
    }


def summary(row: Mapping[str, Any]) -> str:
    """Returns `logme` and `left_out_accuracy` of a backbone as a phrase for the log."""
    return f"LogME {row['logme']:.3f}, left-out accuracy {row['left_out_accuracy']:.3f}"


def logme(features: np.ndarray, labels: np.ndarray) -> float:
    """Returns the logarithm of maximum evidence of features (LogME, arXiv 2102.11005).

    A higher value means that the features explain the labels better. For each class against all
    others, a Bayesian ridge regression is fitted, with the precisions that maximise its evidence.
    LogME is the mean log evidence, in nats per example and class.

    Args:
      features: `(n, channels) float32`.
      labels: `(n,) int64`; each class must occur.
    """
    x = np.asarray(features, np.float64)
    n, channels = x.shape
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    squares = s**2
    evidences = []
    for label in range(labels.max() + 1):
        y = (labels == label).astype(np.float64)
        z = u.T @ y
        evidences.append(_evidence(squares, z, float(y @ y), n, channels))
    return float(np.mean(evidences))


def _evidence(squares: np.ndarray, z: np.ndarray, norm: float, n: int, channels: int) -> float:
    """Returns the maximum log evidence of a Bayesian ridge regression, in nats per example.

    Args:
      squares: squared singular values of the features.
      z: the target vector in the basis of the features' left singular vectors.
      norm: squared length of the target vector.
      n, channels: shape of the features.
    """
    # The part of the target that no linear function of the features explains.
    outside = max(norm - float(z @ z), 0.0)
    alpha, beta = 1.0, 1.0  # precisions of the weights and of the noise
    for _ in range(STEPS):
        ratio = alpha / beta
        effective = (squares / (squares + ratio)).sum()
        weights = (squares * z**2 / (squares + ratio) ** 2).sum()
        errors = (ratio**2 * z**2 / (squares + ratio) ** 2).sum() + outside
        alpha = effective / (weights + 1e-12)
        beta = (n - effective) / (errors + 1e-12)
        if abs(alpha / beta - ratio) <= CHANGE * ratio:
            break
    ratio = alpha / beta
    weights = (squares * z**2 / (squares + ratio) ** 2).sum()
    errors = (ratio**2 * z**2 / (squares + ratio) ** 2).sum() + outside
    determinant = np.log(alpha + beta * squares).sum()
    determinant += (channels - len(squares)) * np.log(alpha)
    constant = channels * np.log(alpha) + n * np.log(beta) - n * np.log(2 * np.pi)
    return float((constant - determinant - beta * errors - alpha * weights) / (2 * n))


def left_out_accuracy(features: np.ndarray, labels: np.ndarray) -> float:
    """Returns the share of left-out examples that a logistic regression on the others gets right.

    Each example is left out once. If there are at most `ONE_BY_ONE` examples, each is left out
    alone. Otherwise all examples are divided into `FOLDS` (20) groups, and each group is left out
    as a whole.

    Args:
      features: `(n, channels) float32`, pooled.
      labels: `(n,) int64`.
    """
    x = (features - features.mean(0)) / (features.std(0) + 1e-3)
    right = 0
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for rest, out in _parts(len(labels)):
            if len(np.unique(labels[rest])) < 2:
                continue
            fitted = LogisticRegression(C=1 / x.shape[1], max_iter=MAX_STEPS)
            fitted.fit(x[rest], labels[rest])
            right += int((fitted.predict(x[out]) == labels[out]).sum())
    return right / len(labels)


def _parts(n: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    order = np.random.default_rng(0).permutation(n)
    for out in np.array_split(order, n if n <= ONE_BY_ONE else FOLDS):
        yield np.setdiff1d(order, out), out
