"""Fits a head on stored features until it converges: logistic regression or one hidden layer."""

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
    """Fits one head for each strength of regularisation; yields (strength, layers of the head).

    Args:
      x: standardised features, `(examples, channels)`.
      labels: `(examples,) int64`.
      recipe: the settings of the head.
      strengths: values of scikit-learn's C (the inverse of regularisation), rising.
    """
    balance = "none" if recipe.balance == "none" else "weights"
    weights = targets.weights(labels, units(labels), balance)[labels]
    if recipe.width:
        return _hidden(x, labels, weights, recipe, strengths)
    if recipe.earlier:
        return _near(recipe.earlier, x, labels, weights, strengths)
    return _regressions(x, labels, weights, strengths)


def units(labels: np.ndarray) -> int:
    """Returns the number of classes, which is the number of columns of the head's last kernel.

    The labels are those of train, which contains every class.
    """
    return int(labels.max()) + 1


def earlier(
    kernel: np.ndarray,
    bias: np.ndarray,
    known: Sequence[str],
    names: Sequence[str],
    examples: int,
) -> Earlier | None:
    """Returns the head of an earlier run with its columns reordered for the classes of this run.

    Classes match by name. The mean of the matching columns is subtracted from each of them, so that
    a class that the earlier head does not know begins with a mean logit.
    Returns None if fewer than two classes match, since one logit has no meaning without another.

    Args:
      kernel: kernel of the earlier head, `(channels, known)`.
      bias: bias of the earlier head, `(known,)`.
      known: names of the classes of the earlier head.
      names: names of the classes of this run.
      examples: number of examples on which the earlier head was trained.
    """
    shared = [name for name in names if name in known]
    if len(shared) < 2:
        return None
    rows = [known.index(name) for name in shared]
    places = [names.index(name) for name in shared]
    shape = len(kernel), len(names)
    reordered = Earlier(np.zeros(shape), np.zeros(len(names)), tuple(shared), examples)
    reordered.kernel[:, places] = kernel[:, rows] - kernel[:, rows].mean(1, keepdims=True)
    reordered.bias[places] = bias[rows] - bias[rows].mean()
    return reordered


def _regressions(
    x: np.ndarray, labels: np.ndarray, weights: np.ndarray, strengths: Sequence[float]
) -> Iterator[tuple[float, Layers]]:
    """Yields logistic regressions by falling regularisation; each starts from the previous one."""
    regression = LogisticRegression(max_iter=MAX_STEPS, tol=1e-4, warm_start=True)
    # In single precision, the line search would fail near the solution.
    x = x.astype(np.float64)
    basis = span(x)
    x = x @ basis
    for strength in strengths:
        regression.C = strength / len(x)
        with _without_convergence_warnings():
            regression.fit(x, labels, sample_weight=weights)
        yield strength, [_both_classes(basis @ regression.coef_.T, regression.intercept_)]


def _near(
    earlier: Earlier,
    x: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    strengths: Sequence[float],
) -> Iterator[tuple[float, Layers]]:
    """Yields logistic regressions whose penalty is the distance from the kernel of `earlier`."""
    x = x.astype(np.float64)
    before, basis = x @ earlier.kernel, span(x)
    x, weighted_targets = x @ basis, np.eye(len(earlier.bias))[labels] * weights[:, None]
    shape = (basis.shape[1] + 1, len(earlier.bias))  # The last row is the bias.
    solution = np.zeros(shape)
    solution[-1] = earlier.bias
    columns = 2.0 if shape[1] == 2 else 1.0  # For two classes, scikit-learn has one column.

    def objective(flat: np.ndarray, decay: float) -> tuple[float, np.ndarray]:
        change, bias = np.split(flat.reshape(shape), [-1])
        logits = before + x @ change + bias
        log_sum = special.logsumexp(logits, axis=1, keepdims=True)
        errors = (np.exp(logits - log_sum) * weights[:, None] - weighted_targets) / len(x)
        loss = (weights @ log_sum[:, 0] - (weighted_targets * logits).sum()) / len(x)
        gradient = np.vstack([x.T @ errors + decay * change, errors.sum(0)])
        return loss + decay * (change**2).sum() / 2, gradient.ravel()

    for strength in strengths:
        done = optimize.minimize(
            objective,
            solution.ravel(),
            args=(columns / strength,),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": MAX_STEPS, "gtol": 1e-5},
        )
        solution = done.x.reshape(shape)
        yield strength, [(earlier.kernel + basis @ solution[:-1], solution[-1])]


def _hidden(
    x: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    recipe: Recipe,
    strengths: Sequence[float],
) -> Iterator[tuple[float, Layers]]:
    """Yields heads with a hidden layer, by falling regularisation."""
    how = {"solver": "lbfgs", "max_iter": MAX_STEPS // 3, "random_state": recipe.seed}
    for strength in strengths:
        network = MLPClassifier((recipe.width,), alpha=1 / strength, **how)
        with _without_convergence_warnings():
            network.fit(x, labels, sample_weight=weights)
        first, second = zip(network.coefs_, network.intercepts_, strict=True)
        yield strength, [first, _both_classes(*second)]


@contextmanager
def _without_convergence_warnings() -> Iterator[None]:
    """Ignores scikit-learn's warnings that a head has not converged.

    Such heads need no special treatment, because the validation set chooses among all heads.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def _both_classes(kernel: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns kernel and bias with one column per class.

    For two classes, scikit-learn returns a single column, the difference of the two logits.
    """
    if kernel.shape[1] == 1:
        kernel, bias = np.hstack([-kernel, kernel]) / 2, np.hstack([-bias, bias]) / 2
    return kernel, bias
