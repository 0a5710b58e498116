"""The head on kept features: a converged logistic regression, or one behind a hidden layer."""

import json
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import optimize, special
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

from tl_keras.data.batches import class_weights
from tl_keras.run.files import replacing
from tl_keras.run.progress import progress
from tl_keras.tasks.classification import log_loss, softmax
from tl_keras.training.fit import MARGIN


@dataclass(frozen=True)
class Head:
    """A converged head.

    Attributes:
      layers: kernel `(inputs, outputs)` and bias `(outputs,)` of each dense layer, `float32`;
        between two of them a ReLU.
      history: one record for each strength of regularisation, as metrics.jsonl takes it.
      regularisation: the strength that was chosen, scikit-learn's 1/C.
    """

    layers: list[tuple[np.ndarray, np.ndarray]]
    history: list[dict[str, Any]]
    regularisation: float

    def logits(self, features: np.ndarray) -> np.ndarray:
        """`(examples, classes) float32` of `(examples, channels) float32`."""
        return _logits(self.layers, features)


@dataclass(frozen=True)
class Earlier:
    """The head of an earlier run, whose backbone the features are of.

    Attributes:
      kernel: `(channels, classes)`; zero for classes that it does not know.
      bias: `(classes,)`.
      names: of the classes that it knows.
      examples: how many it was trained on.
    """

    kernel: np.ndarray
    bias: np.ndarray
    names: tuple[str, ...] = ()
    examples: int = 0


@dataclass(frozen=True)
class Recipe:
    """What decides a head beside its examples.

    Attributes:
      balance: `none`; `weights` and `oversample` both weigh examples by their class.
      width: units of a hidden layer, if there is to be one.
      seed: of the hidden layer's first weights.
      earlier: from which the kernel is kept near, instead of zero; not with a hidden layer.
    """

    balance: str = "none"
    width: int | None = None
    seed: int = 0
    earlier: Earlier | None = None


STRENGTHS = tuple(10.0**power for power in np.arange(-4, 2.5, 0.5))  # scikit-learn's C
WORSE = 2  # Strengths in a row that are worse on validation than the best: the rest are too.
MAX_STEPS = 300


def fit_head(
    features: tuple[np.ndarray, np.ndarray], labels: tuple[np.ndarray, np.ndarray], recipe: Recipe
) -> Head:
    """Logistic regression on pooled features; the strength with the best validation log loss; near
    an earlier head of more examples the strongest that is not clearly worse.

    Args:
      features: train and val, `(examples, channels) float32`.
      labels: train and val, `(examples,) int64`; train has every class.
    """
    mean, deviation = _moments(features[0])
    train, val = ((split - mean) / deviation for split in features)
    strengths = STRENGTHS[::2] if recipe.width else STRENGTHS  # Fewer: each takes a second.
    fits = _fits(train, labels[0], _of_standardised(recipe, mean, deviation), strengths)
    # A few dozen validation examples may call any kernel better by luck than one of more examples
    # than there are now.
    known = recipe.earlier.examples if recipe.earlier else 0
    margin = MARGIN if known > len(train) else 0.0
    with _threads(train, labels[0]):
        best, history, chosen = _best(fits, val, labels[1], margin)
    return Head(_of_features(best, mean, deviation), history, chosen)


def refit_head(
    features: np.ndarray, labels: np.ndarray, recipe: Recipe, regularisation: float
) -> Head:
    """The head of a strength of regularisation that was chosen elsewhere, as by folds.

    Args as of `fit_head`, without val.
    """
    mean, deviation = _moments(features)
    train = (features - mean) / deviation
    recipe = _of_standardised(recipe, mean, deviation)
    with _threads(train, labels):
        _, layers = next(_fits(train, labels, recipe, (1 / regularisation,)))
    return Head(_of_features(layers, mean, deviation), [], regularisation)


def _moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return features.mean(0), features.std(0) + 1e-3


def _threads(x: np.ndarray, labels: np.ndarray) -> threadpool_limits:
    """Of small products threads take most of their time to find each other."""
    return threadpool_limits(1 if x.size * (labels.max() + 1) < SMALL else None)


def _fits(
    x: np.ndarray, labels: np.ndarray, recipe: Recipe, strengths: Sequence[float]
) -> Iterator[tuple[float, "Layers"]]:
    """By strength, the layers of a head on standardised features."""
    num_classes = int(labels.max()) + 1
    weights = class_weights(labels, num_classes, "none" if recipe.balance == "none" else "weights")
    weights = weights.numpy()[labels]
    if recipe.width:
        return _hidden(x, labels, weights, recipe, strengths)
    if recipe.earlier:
        return _near(recipe.earlier, x, labels, weights, strengths)
    return _regressions(x, labels, weights, strengths)


def _of_standardised(recipe: Recipe, mean: np.ndarray, deviation: np.ndarray) -> Recipe:
    """The same, with an earlier head that takes standardised features."""
    earlier = recipe.earlier
    if earlier is None:
        return recipe
    kernel, bias = earlier.kernel * deviation[:, None], earlier.bias + mean @ earlier.kernel
    return replace(recipe, earlier=replace(earlier, kernel=kernel, bias=bias))


def _of_features(layers: "Layers", mean: np.ndarray, deviation: np.ndarray) -> "Layers":
    """Layers that take features as they are, from those that take standardised ones."""
    (kernel, bias), *others = layers
    kernel = kernel / deviation[:, None]
    layers = [(kernel, bias - mean @ kernel), *others]
    return [(kernel.astype(np.float32), bias.astype(np.float32)) for kernel, bias in layers]


SMALL = 1e9  # Multiplications of a pass over the examples, below which one thread is faster.


def _best(
    fits: Iterator[tuple[float, "Layers"]], x: np.ndarray, labels: np.ndarray, margin: float
) -> tuple["Layers", list[dict[str, Any]], float]:
    """The layers that make the labels most likely, a record of all that were tried, and the
    regularisation that was chosen.

    Args:
      margin: nats, by which all labels together must be likelier for less regularisation.
    """
    tried, history, started = [], [], time.monotonic()
    for i, (strength, layers) in enumerate(progress(fits, "head", unit=" fits")):
        probabilities = softmax(_logits(layers, x))
        record = {
            "stage": "head",
            "epoch": i,
            "seconds": round(time.monotonic() - started, 3),
            "regularisation": float(1 / strength),
            "val_loss": log_loss(probabilities, labels),
            "val_accuracy": float((probabilities.argmax(-1) == labels).mean()),
        }
        tried.append(layers)
        history.append(record)
        losses = [earlier["val_loss"] for earlier in history]
        if i - losses.index(min(losses)) >= WORSE:  # The weakest take the longest.
            break
    bound = min(losses) + margin / len(labels)
    chosen = next(i for i, loss in enumerate(losses) if loss <= bound)
    return tried[chosen], history, history[chosen]["regularisation"]


Layers = list[tuple[np.ndarray, np.ndarray]]


def _logits(layers: Layers, x: np.ndarray) -> np.ndarray:
    for i, (kernel, bias) in enumerate(layers):
        x = (np.maximum(x, 0) if i else x) @ kernel + bias
    return x


def _regressions(
    x: np.ndarray, labels: np.ndarray, weights: np.ndarray, strengths: Sequence[float]
) -> Iterator[tuple[float, Layers]]:
    """Logistic regressions by rising strengths. Warm starts: each solution is near the next."""
    regression = LogisticRegression(max_iter=MAX_STEPS, tol=1e-4, warm_start=True)
    # In double precision: near the solution the search along a line finds nothing lower in single.
    x = x.astype(np.float64)
    basis = _span(x)
    x = x @ basis
    for strength in strengths:
        regression.C = strength / len(x)
        with _as_far_as_it_came():
            regression.fit(x, labels, sample_weight=weights)
        yield strength, [_both_classes(basis @ regression.coef_.T, regression.intercept_)]


def _near(
    earlier: Earlier,
    x: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    strengths: Sequence[float],
) -> Iterator[tuple[float, Layers]]:
    """Logistic regressions whose penalty is on how far the kernel goes from an earlier one."""
    x = x.astype(np.float64)
    before, basis = x @ earlier.kernel, _span(x)
    x, targets = x @ basis, np.eye(len(earlier.bias))[labels] * weights[:, None]
    shape = (basis.shape[1] + 1, len(earlier.bias))  # The last row is the bias.
    found = np.zeros(shape)
    found[-1] = earlier.bias
    columns = 2.0 if shape[1] == 2 else 1.0  # scikit-learn has one column of two classes.

    def objective(flat: np.ndarray, decay: float) -> tuple[float, np.ndarray]:
        moved, bias = np.split(flat.reshape(shape), [-1])
        logits = before + x @ moved + bias
        log_sum = special.logsumexp(logits, axis=1, keepdims=True)
        errors = (np.exp(logits - log_sum) * weights[:, None] - targets) / len(x)
        loss = (weights @ log_sum[:, 0] - (targets * logits).sum()) / len(x)
        gradient = np.vstack([x.T @ errors + decay * moved, errors.sum(0)])
        return loss + decay * (moved**2).sum() / 2, gradient.ravel()

    for strength in strengths:
        done = optimize.minimize(
            objective,
            found.ravel(),
            args=(columns / strength,),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": MAX_STEPS, "gtol": 1e-5},
        )
        found = done.x.reshape(shape)
        yield strength, [(earlier.kernel + basis @ found[:-1], found[-1])]


def _hidden(
    x: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    recipe: Recipe,
    strengths: Sequence[float],
) -> Iterator[tuple[float, Layers]]:
    """Heads with a hidden layer, by rising strengths."""
    how = {"solver": "lbfgs", "max_iter": MAX_STEPS // 3, "random_state": recipe.seed}
    for strength in strengths:
        network = MLPClassifier((recipe.width,), alpha=1 / strength, **how)
        with _as_far_as_it_came():
            network.fit(x, labels, sample_weight=weights)
        first, second = zip(network.coefs_, network.intercepts_, strict=True)
        yield strength, [first, _both_classes(*second)]


@contextmanager
def _as_far_as_it_came() -> Iterator[None]:
    """What has not converged stands on validation as it is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def _span(features: np.ndarray) -> np.ndarray:
    """`(channels, examples)` orthonormal basis of the examples, where those are fewer.

    The penalty is the same in each basis, and the solution lies in what the examples span: 150
    examples of 1280 channels are fitted in a tenth of the time.
    """
    if len(features) >= features.shape[1]:
        return np.eye(features.shape[1], dtype=features.dtype)
    return np.linalg.qr(features.T)[0]


def _both_classes(kernel: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias with a column a class; scikit-learn keeps one for two classes."""
    if kernel.shape[1] == 1:
        kernel, bias = np.hstack([-kernel, kernel]) / 2, np.hstack([-bias, bias]) / 2
    return kernel, bias


def save(file: Path, head: Head) -> None:
    """Writes a head for a job that starts from it."""
    told = json.dumps({"history": head.history, "regularisation": head.regularisation})
    flat = [array for layer in head.layers for array in layer]
    with replacing(file) as temporary, temporary.open("wb") as stream:
        np.savez(stream, *flat, told=np.array(told))


def load(file: Path) -> Head | None:
    """What `save` wrote, to the bit; None if there is no such file."""
    if not file.is_file():
        return None
    with np.load(file, allow_pickle=False) as stored:
        told = json.loads(str(stored["told"]))
        flat = [stored[f"arr_{i}"] for i in range(len(stored.files) - 1)]
    layers = list(zip(flat[::2], flat[1::2], strict=True))
    return Head(layers, told["history"], told["regularisation"])
