"""Finds doubtful labels and rare classes, and judges labels that a teacher model gives."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tl_keras.tasks.classification.losses import answers, fit_temperature

FEW = 20  # training examples; a class with fewer is rare, since its recall would be luck
FEW_SHARE = 0.1  # a class with a smaller share of the largest class's examples is rare
MIN_LABELLED = 5  # examples that each class needs before labels are compared
SHRINK = 0.25  # see `class_frequencies`
STEPS = 500  # limit of expectation maximisation, which usually takes a few dozen steps


def class_frequencies(probabilities: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Estimates the frequency of each class among unlabelled examples, `(classes,)`.

    The method is expectation maximisation (Saerens et al. 2002, doi 10.1162/089976602753284446). It
    corrects the probabilities by the estimated frequencies, until the mean of the corrected
    probabilities equals these frequencies. One deviation: the estimate also counts `SHRINK * n`
    imaginary examples with the frequencies of `prior`. Without them, the estimate diverges if the
    model is less confident than it should be.
    Example: for three classes with frequencies 0.59, 0.26 and 0.15 and logits half as large as they
    should be, the estimate was 0.82, 0.18 and 0.00 without the imaginary examples, and 0.51, 0.28
    and 0.20 with them.

    Args:
        probabilities: `(n, classes)`, calibrated, from a model trained on classes with frequencies
            `prior`.
        prior: `(classes,)`, above 0.
    """
    frequencies = np.asarray(prior, np.float64)
    added = SHRINK * len(probabilities) * frequencies
    for _ in range(STEPS):
        corrected = probabilities * (frequencies / prior)
        corrected = corrected / corrected.sum(1, keepdims=True)
        before = frequencies
        frequencies = (corrected.sum(0) + added) / (len(corrected) + added.sum())
        if np.abs(frequencies - before).max() < 1e-6:
            break
    return frequencies


def suspects(features: np.ndarray, labels: np.ndarray) -> list[tuple[int, int, float]]:
    """Returns labels that are likely wrong, worst first: (index, suggested label, probability).

    The rule is that of `doubtful`. Each example is judged by a head that was not fitted on it.

    Args:
      features: pooled features of the backbone, `(n, channels) float32`.
      labels: `(n,) int64`; each class must occur.
    """
    return doubtful(left_out_answers(features, labels), labels)


def left_out_answers(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns probabilities `(n, classes)`; those of an example come from a head fitted without it.

    The arguments are those of `suspects`.
    """
    scores = leave_one_out(features, labels)
    return answers(scores / fit_temperature(scores, labels))


def judged(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, dict[str, Any]]:
    """Builds the field `suspects_judge` of `findings.json`: how good the given probabilities are.

    The function `doubtful` finds doubtful labels by these probabilities.
    `n` is the number of labels, `agreement` the share of labels that equal the likeliest class, and
    `largest` the share of the largest class. The arguments are those of `doubtful`.
    """
    agreement = float((probabilities.argmax(1) == labels).mean())
    largest = float(np.bincount(labels).max() / len(labels))
    record = {"n": len(labels), "agreement": round(agreement, 4), "largest": round(largest, 4)}
    return {"suspects_judge": record}


def doubtful(probabilities: np.ndarray, labels: np.ndarray) -> list[tuple[int, int, float]]:
    """Returns labels that are likely wrong, worst first: (index, suggested label, probability).

    By confident learning (arXiv 1911.00068), a label is doubtful if another class k is likely
    enough: its probability is at least the mean probability of k over the examples with label k.

    Args:
      probabilities: `(n, classes)`, from models that have not seen the example.
      labels: `(n,) int64`; each class must occur.
    """
    mean_of_class = [probabilities[labels == k, k].mean() for k in range(probabilities.shape[1])]
    confident = np.where(probabilities >= mean_of_class, probabilities, 0)
    suggested = confident.argmax(1)
    rows = np.arange(len(labels))
    wrong = np.flatnonzero((confident[rows, suggested] > 0) & (suggested != labels))
    margin = probabilities[wrong, suggested[wrong]] - probabilities[wrong, labels[wrong]]
    worst = wrong[np.argsort(-margin, kind="stable")]
    return [(int(i), int(suggested[i]), float(probabilities[i, suggested[i]])) for i in worst]


def label_quality(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compares the probability of each label with that of the likeliest other class.

    The arguments are those of `doubtful`.

    Returns:
      The probability of the label minus that of the likeliest other class, `(n,)` in -1..1; and
      that other class, `(n,) int64`.
    """
    rows, others = np.arange(len(labels)), probabilities.copy()
    others[rows, labels] = -1
    suggested = others.argmax(1)
    return probabilities[rows, labels] - others[rows, suggested], suggested


def leave_one_out(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns scores `(n, classes)` of each example from a ridge regression on all other examples.

    One fit to all examples suffices: the residual of an example, divided by 1 minus its leverage,
    is the residual of a fit without this example (Allen 1974). Logistic regressions would take
    minutes. In tests with planted label errors, ridge regression finds as many of these errors as
    cross-fitted logistic regressions. The arguments are those of `suspects`.
    """
    x = (features - features.mean(0)) / (features.std(0) + 1e-3)
    x = x.astype(np.float64)
    targets = np.eye(labels.max() + 1)[labels]
    # A penalty equal to the number of features: within a factor of 3 of the best on photographs.
    strength = x.shape[1]
    if len(x) < strength:
        solved = np.linalg.solve(x @ x.T + strength * np.eye(len(x)), x).T
    else:
        solved = np.linalg.solve(x.T @ x + strength * np.eye(strength), x.T)
    mean = targets.mean(0)
    residual = targets - mean - x @ (solved @ (targets - mean))
    # Subtracting the mean of the targets is also a fit: it adds 1/n to each leverage.
    leverage = np.einsum("nc,cn->n", x, solved) + 1 / len(x)
    return targets - residual / (1 - leverage)[:, None]


def rare(labels: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    """Returns one record for each class with few training examples: `class`, `n` and `why`.

    `n` is the number of training examples, and `why` the reason in words.
    """
    counts = np.bincount(labels, minlength=len(names)).tolist()
    most, rare_classes = max(counts, default=0), []
    for n, name in zip(counts, names, strict=True):
        if n < FEW:
            why = f"fewer than {FEW} training examples"
            rare_classes.append({"class": name, "n": n, "why": why})
        elif n < FEW_SHARE * most:
            why = f"fewer than a tenth of the {most} training examples of the largest class"
            rare_classes.append({"class": name, "n": n, "why": why})
    return rare_classes


def incomparable(labels: np.ndarray, names: Sequence[str]) -> str | None:
    """Returns why doubtful labels cannot be found (a class has too few examples), or None."""
    counts = np.bincount(labels, minlength=len(names))
    if counts.min() >= MIN_LABELLED:
        return None
    name = names[int(counts.argmin())]
    few = f"fewer than {MIN_LABELLED} examples, too few to search for wrong labels"
    return f"the class {name!r} has {few}"


def counts(labels: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Returns the number of examples of each class, `(classes,)`."""
    return np.bincount(labels, minlength=len(names))


def predicted(probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the likeliest class of each example, and its probability."""
    return probabilities.argmax(1), probabilities.max(1)
