"""Abstaining: coverage reaches the level, and too few examples raise an error."""

import numpy as np
import pytest
import tensorflow as tf

from tl_keras.tasks.classification import abstain as conformal


def drawn(count: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Returns calibrated probabilities of five classes, and labels drawn from them."""
    probabilities = generator.dirichlet([0.3] * 5, count)
    labels = np.array([generator.choice(5, p=row) for row in probabilities])
    return probabilities.astype(np.float32), labels


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_coverage_reaches_the_level(level):
    generator, coverages = np.random.default_rng(0), []
    for _ in range(200):
        threshold = conformal.threshold(*drawn(60, generator), level)
        probabilities, labels = drawn(200, generator)
        abstain = conformal.abstains(tf.constant(probabilities), threshold).numpy()
        measured = conformal.measure(probabilities, abstain, labels, threshold)
        coverages.append(measured["coverage"])
    # Exact on average; the mean of 200 draws of 60 examples has a standard error of about 0.003.
    assert level - 0.01 < np.mean(coverages) < level + 1 / 61 + 0.01


def test_the_model_decides_if_the_set_has_one_class():
    rows = tf.constant([[0.9, 0.1, 0.0], [0.5, 0.4, 0.1], [0.34, 0.33, 0.33]])
    assert list(conformal.abstains(rows, 0.35).numpy()) == [0, 1, 1]
    labels, abstain = np.array([0, 1, 2]), np.array([0.0, 1.0, 1.0])
    measured = conformal.measure(rows.numpy(), abstain, labels, 0.35)
    assert measured["answered"] == pytest.approx(1 / 3)
    assert measured["accuracy"] == 1 and measured["coverage"] == pytest.approx(2 / 3)


def test_int8_probabilities_below_1_also_decide():
    sure = np.tile([0.99999, 0.00001], (100, 1))
    threshold = conformal.threshold(sure, np.zeros(100, int), 0.9)
    rounded = tf.constant([[255 / 256, 0.0]])
    assert list(conformal.abstains(rounded, threshold).numpy()) == [0]


def test_accuracy_is_none_if_the_model_never_decides():
    measured = conformal.measure(np.eye(3), np.ones(3), np.arange(3), 0.5)
    assert measured["accuracy"] is None and measured["answered"] == 0


def test_level_95_needs_nineteen_examples():
    labels = np.zeros(19, int)
    probabilities = np.linspace(0.1, 1, 19)[:, None] * [1, 0]
    assert conformal.threshold(probabilities, labels, 0.95) == pytest.approx(0.1 - 1 / 256)
    with pytest.raises(ValueError, match="0.95 needs at least 19 validation examples, received 18"):
        conformal.threshold(probabilities[:18], labels[:18], 0.95)
    conformal.check(18, 0.947)


def test_abstaining_in_folds_has_thresholds_of_the_other_folds():
    generator = np.random.default_rng(0)
    probabilities, labels = drawn(300, generator)
    fold_of = np.arange(300) % 5
    measured = conformal.measure_in_folds(probabilities, labels, fold_of, 0.9)
    # One draw of 300 examples has a standard error of about 0.02.
    assert measured.n == 300 and 0.85 < measured.coverage < 0.95
    # A fold with low probabilities of the right class must not lower the threshold for itself.
    wrong = np.where(fold_of == 0, (labels + 1) % 5, labels)
    sure = np.eye(5)[labels] * 0.9 + 0.02
    measured = conformal.measure_in_folds(sure, wrong, fold_of, 0.7)
    assert measured.coverage == pytest.approx(0.8) and measured.answered == 1


def test_abstaining_in_folds_needs_enough_examples_in_the_other_folds():
    probabilities, labels = drawn(20, np.random.default_rng(0))
    assert conformal.measure_in_folds(probabilities, labels, np.arange(20) % 5, 0.95) is None
    assert conformal.measure_in_folds(probabilities, labels, np.arange(20) % 5, 0.9)
