"""What only a task with classes has: labels that a teacher gives, and doubts about given ones."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tl_keras.tasks.classification.losses import answers, fit_temperature

FEW = 20  # training examples of a class: below, its recall is a matter of luck
FEW_SHARE = 0.1  # of the largest class
MIN_LABELLED = 5  # examples of each class, to compare labels with
SHRINK = 0.25
STEPS = 500  # Of expectation maximisation; some dozens are enough as a rule.


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


def suspects(features: np.ndarray, labels: np.ndarray) -> list[tuple[int, int, float]]:
    """(index, suggested label, its probability) of labels that are likely wrong, worst first.

    By a head that has not seen the example, see `doubtful`.

    Args:
      features: `(n, channels) float32`, pooled.
      labels: `(n,) int64`, every class among them.
    """
    return doubtful(left_out_answers(features, labels), labels)


def left_out_answers(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns probabilities of the classes, `(n, classes)`, by heads not fitted on the example.

    Args as of `suspects`.
    """
    scores = leave_one_out(features, labels)
    return answers(scores / fit_temperature(scores, labels))


def judged(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, dict[str, Any]]:
    """Returns for `findings.json`, under `suspects_judge`, how good the model behind doubts is.

    `n` is the number of labels, `agreement` the share of labels that the model would have given,
    `largest` the share of the largest class.

    Args as of `doubtful`.
    """
    agreement = float((probabilities.argmax(1) == labels).mean())
    largest = float(np.bincount(labels).max() / len(labels))
    record = {"n": len(labels), "agreement": round(agreement, 4), "largest": round(largest, 4)}
    return {"suspects_judge": record}


def doubtful(probabilities: np.ndarray, labels: np.ndarray) -> list[tuple[int, int, float]]:
    """(index, suggested label, its probability) of labels that are likely wrong, worst first.

    Confident learning (arXiv 1911.00068): a model that has not seen the example gives another class
    at least the probability that it gives that class's own examples on average.

    Args:
      probabilities: `(n, classes)`.
      labels: `(n,) int64`, every class among them.
    """
    own = [probabilities[labels == k, k].mean() for k in range(probabilities.shape[1])]
    confident = np.where(probabilities >= own, probabilities, 0)
    suggested = confident.argmax(1)
    rows = np.arange(len(labels))
    wrong = np.flatnonzero((confident[rows, suggested] > 0) & (suggested != labels))
    margin = probabilities[wrong, suggested[wrong]] - probabilities[wrong, labels[wrong]]
    worst = wrong[np.argsort(-margin, kind="stable")]
    return [(int(i), int(suggested[i]), float(probabilities[i, suggested[i]])) for i in worst]


def label_quality(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far models that had not seen an example agree with its label, and which other class they
    take it for: by how much its label is likelier than the likeliest other, `(n,)` in -1..1, and
    that class, `(n,) int64`.

    Args as of `doubtful`.
    """
    rows, others = np.arange(len(labels)), probabilities.copy()
    others[rows, labels] = -1
    suggested = others.argmax(1)
    return probabilities[rows, labels] - others[rows, suggested], suggested


def leave_one_out(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """`(n, classes)` scores of each example by a ridge regression on all others.

    One solve gives all of them, where logistic regressions would take minutes: the residual of the
    fit over 1 - leverage (Allen 1974). Found as many planted errors as cross-fitted logistic
    regressions did. Args as of `suspects`.
    """
    x = (features - features.mean(0)) / (features.std(0) + 1e-3)
    x = x.astype(np.float64)
    targets = np.eye(labels.max() + 1)[labels]
    # As strong as the features are many: within a factor of 3 the best on photographs.
    strength = x.shape[1]
    if len(x) < strength:
        solved = np.linalg.solve(x @ x.T + strength * np.eye(len(x)), x).T
    else:
        solved = np.linalg.solve(x.T @ x + strength * np.eye(strength), x.T)
    mean = targets.mean(0)
    residual = targets - mean - x @ (solved @ (targets - mean))
    # The mean of the targets is a fit, too: 1/n of each.
    leverage = np.einsum("nc,cn->n", x, solved) + 1 / len(x)
    return targets - residual / (1 - leverage)[:, None]


def rare(labels: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    """Classes with few training examples: `class`, `n`, `why`."""
    counts = np.bincount(labels, minlength=len(names)).tolist()
    most, found = max(counts, default=0), []
    for n, name in zip(counts, names, strict=True):
        if n < FEW:
            found.append({"class": name, "n": n, "why": f"fewer than {FEW} training examples"})
        elif n < FEW_SHARE * most:
            why = f"less than a tenth of the largest class, which has {most}"
            found.append({"class": name, "n": n, "why": why})
    return found


def incomparable(labels: np.ndarray, names: Sequence[str]) -> str | None:
    """Why labels cannot be compared with each other; None if they can."""
    counts = np.bincount(labels, minlength=len(names))
    if counts.min() >= MIN_LABELLED:
        return None
    name = names[int(counts.argmin())]
    return f"{name!r} has fewer than {MIN_LABELLED} examples to compare labels with"


def counts(labels: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """`(classes,)` how often each class is there."""
    return np.bincount(labels, minlength=len(names))


def told_by(probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest class of each example, and how sure that is."""
    return probabilities.argmax(1), probabilities.max(1)
