"""The converged head on features: logistic regressions, or ones behind a hidden layer."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from scipy import optimize, special
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from tl_keras.tasks.classification import targets
from tl_keras.tasks.heads import Earlier, Layers, Recipe, span

MAX_STEPS = 300


def fits(
    x: np.ndarray, labels: np.ndarray, recipe: Recipe, strengths: Sequence[float]
) -> Iterator[tuple[float, Layers]]:
    """By strength, scikit-learn's C, the layers of a head on standardised features."""
    balance = "none" if recipe.balance == "none" else "weights"
    weights = targets.weights(labels, units(labels), balance)[labels]
    if recipe.width:
        return _hidden(x, labels, weights, recipe, strengths)
    if recipe.earlier:
        return _near(recipe.earlier, x, labels, weights, strengths)
    return _regressions(x, labels, weights, strengths)


def units(labels: np.ndarray) -> int:
    """Columns of the kernel: a class each; train has every class."""
    return int(labels.max()) + 1


def earlier(
    kernel: np.ndarray,
    bias: np.ndarray,
    known: Sequence[str],
    names: Sequence[str],
    examples: int,
) -> Earlier | None:
    """The rows of an earlier head for the classes that it knows by name.

    Logits are around their mean: a class that it does not know begins there. None where it knows
    fewer than two, which say nothing of each other.

    Args:
      kernel: `(channels, known)`, of the earlier head.
      bias: `(known,)`.
      known: names of its classes.
      names: of the classes that there are now.
      examples: that it was trained on.
    """
    shared = [name for name in names if name in known]
    if len(shared) < 2:
        return None
    rows = [known.index(name) for name in shared]
    places = [names.index(name) for name in shared]
    shape = len(kernel), len(names)
    found = Earlier(np.zeros(shape), np.zeros(len(names)), tuple(shared), examples)
    found.kernel[:, places] = kernel[:, rows] - kernel[:, rows].mean(1, keepdims=True)
    found.bias[places] = bias[rows] - bias[rows].mean()
    return found


def _regressions(
    x: np.ndarray, labels: np.ndarray, weights: np.ndarray, strengths: Sequence[float]
) -> Iterator[tuple[float, Layers]]:
    """Logistic regressions by rising strengths. Warm starts: each solution is near the next."""
    regression = LogisticRegression(max_iter=MAX_STEPS, tol=1e-4, warm_start=True)
    # In double precision: near the solution the search along a line finds nothing lower in single.
    x = x.astype(np.float64)
    basis = span(x)
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
    before, basis = x @ earlier.kernel, span(x)
    x, wanted = x @ basis, np.eye(len(earlier.bias))[labels] * weights[:, None]
    shape = (basis.shape[1] + 1, len(earlier.bias))  # The last row is the bias.
    found = np.zeros(shape)
    found[-1] = earlier.bias
    columns = 2.0 if shape[1] == 2 else 1.0  # scikit-learn has one column of two classes.

    def objective(flat: np.ndarray, decay: float) -> tuple[float, np.ndarray]:
        moved, bias = np.split(flat.reshape(shape), [-1])
        logits = before + x @ moved + bias
        log_sum = special.logsumexp(logits, axis=1, keepdims=True)
        errors = (np.exp(logits - log_sum) * weights[:, None] - wanted) / len(x)
        loss = (weights @ log_sum[:, 0] - (wanted * logits).sum()) / len(x)
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


def _both_classes(kernel: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias with a column a class; scikit-learn keeps one for two classes."""
    if kernel.shape[1] == 1:
        kernel, bias = np.hstack([-kernel, kernel]) / 2, np.hstack([-bias, bias]) / 2
    return kernel, bias
