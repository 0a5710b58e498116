"""Logits to probabilities, the loss of each example, the temperature that calibrates. No Keras."""

import numpy as np
from scipy import optimize, special

# Keras's own epsilon, so that log_loss equals the loss in training's logs; a quantised model
# gives probabilities of exactly 0, and one such example must not make the mean infinite.
EPSILON = 1e-7
TEMPERATURES = (0.05, 20.0)
PRIOR = np.log(2)  # Deviation of log T: most networks need a T of 1/2 to 2.


def answers(logits: np.ndarray) -> np.ndarray:
    """Returns probabilities `(..., classes)` float64 that sum to 1 over the last axis."""
    return special.softmax(np.asarray(logits, dtype=np.float64), axis=-1)


def log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Returns the mean of `of_each`, with its arguments and errors."""
    return float(of_each(probabilities, labels).mean())


def of_each(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns the negative log probability of each true class, in nats, `(n,) float64`.

    Probabilities `(n, classes)` are clipped to 1e-7..1-1e-7; labels are `(n,)` int.

    Raises:
        ValueError: no examples, shapes that differ, labels out of range, NaN.
    """
    probabilities, labels = checked(probabilities, labels)
    of_label = probabilities[np.arange(len(labels)), labels]
    return -np.log(np.clip(of_label, EPSILON, 1 - EPSILON))


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
    logits, labels = checked(logits, labels)
    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        log_probabilities = special.log_softmax(logits * np.exp(-log_temperature), axis=1)
        prior = 0.5 * (log_temperature / PRIOR) ** 2 / len(labels)
        return prior - log_probabilities[rows, labels].mean()

    found = optimize.minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded")
    return float(np.exp(found.x))


def raw_of(probabilities: np.ndarray) -> np.ndarray:
    """Logits that give these probabilities, of those that do the ones of sum 1 after `exp`."""
    return np.log(np.maximum(probabilities, EPSILON))


def stands(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """`accuracy` and `log_loss` of probabilities."""
    right = float((probabilities.argmax(-1) == labels).mean())
    return {"accuracy": right, "log_loss": log_loss(probabilities, labels)}


def validated(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """`val_loss` and `val_accuracy`, as metrics.jsonl has them; a loss of NaN where logits are."""
    if not np.isfinite(logits).all():
        return {"val_loss": np.nan, "val_accuracy": 0.0}
    probabilities = answers(logits)
    return {
        "val_loss": log_loss(probabilities, labels),
        "val_accuracy": float((probabilities.argmax(-1) == labels).mean()),
    }


def checked(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores as float64 and labels, both as arrays; raises ValueError where they do not fit."""
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
