"""How well features will transfer, before anything is trained: backbones can be ranked by it."""

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

STEPS = 50  # Of the fixed point; some five are enough as a rule.
CHANGE = 1e-3  # Relative, of the ratio of the two precisions, under which it has converged.
# In the report: by key, the title of a column and how its values are written.
COLUMNS = {"logme": ("LogME", "number"), "left_out_accuracy": ("Left out", "percent")}
ABOUT = (
    "LogME (arXiv 2102.11005): the higher, the better. Left out: the accuracy of a logistic "
    "regression on examples that it was not fitted on."
)
BY = "logme"  # What backbones are ranked by, the more the better.
FOLDS = 20  # Where one fit for each example would take minutes.
ONE_BY_ONE = 300  # examples
MAX_STEPS = 200


def ranked(features: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """What a backbone's features promise: `logme` and `left_out_accuracy`."""
    return {
        "logme": logme(features, labels),
        "left_out_accuracy": left_out_accuracy(features, labels),
    }


def told(row: Mapping[str, Any]) -> str:
    """The same for people."""
    return f"LogME {row['logme']:.3f}, left-out accuracy {row['left_out_accuracy']:.3f}"


def logme(features: np.ndarray, labels: np.ndarray) -> float:
    """Logarithm of maximum evidence of a linear model on features (LogME, arXiv 2102.11005).

    The higher, the better features explain labels, each class against the others by a Bayesian
    ridge regression whose precisions maximise the evidence; in nats an example and class.

    Args:
      features: `(n, channels) float32`.
      labels: `(n,) int64`, every class among them.
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
    """Maximum log evidence, an example, of one target.

    Args:
      squares: of the singular values of the features.
      z: the target in the basis of the left singular vectors.
      norm: squared length of the target.
    """
    outside = max(norm - float(z @ z), 0.0)  # What no linear function of the features explains.
    alpha, beta = 1.0, 1.0  # Precisions of the weights, and of the noise.
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
    found = channels * np.log(alpha) + n * np.log(beta) - n * np.log(2 * np.pi)
    return float((found - determinant - beta * errors - alpha * weights) / (2 * n))


def left_out_accuracy(features: np.ndarray, labels: np.ndarray) -> float:
    """Share of examples that a logistic regression on the others gets right.

    Of more than `ONE_BY_ONE` examples a twentieth is left out at a time.

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
