"""The head: a converged logistic regression, or a network with one hidden layer."""

import numpy as np
import pytest
from shapes import clusters
from sklearn.linear_model import LogisticRegression

from tl_keras.tasks.classification.losses import answers as softmax
from tl_keras.training.head import STRENGTHS, WORSE, Earlier, Recipe, fit_head, refit_head


@pytest.mark.parametrize("classes", [2, 3])
def test_head_is_a_converged_regression(classes):
    (x, y), (vx, vy) = clusters(200, 1, classes), clusters(100, 2, classes)
    head = fit_head((x, vx), (y, vy), Recipe())
    best = min(head.history, key=lambda record: record["val_loss"])
    mean, deviation = x.mean(0), x.std(0) + 1e-3
    expected = LogisticRegression(C=1 / best["regularisation"] / len(x), max_iter=5000, tol=1e-8)
    expected.fit((x - mean) / deviation, y)
    np.testing.assert_allclose(
        softmax(head.logits(vx)),
        expected.predict_proba((vx - mean) / deviation),
        atol=0.01,  # probability; `tol=1e-4` may stop this far from convergence
    )


def test_chosen_regularisation_is_the_best_on_validation():
    (x, y), (vx, vy) = clusters(60, 1), clusters(60, 2)
    head = fit_head((x, vx), (y, vy), Recipe())
    losses = [record["val_loss"] for record in head.history]
    kept = -np.log(softmax(head.logits(vx))[np.arange(60), vy]).mean()
    assert kept == pytest.approx(min(losses), abs=1e-4)
    assert len(losses) == min(len(STRENGTHS), np.argmin(losses) + 1 + WORSE)


def losses(head, x, labels):
    return -np.log(softmax(head.logits(x))[np.arange(len(labels)), labels])


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("strength", [1e-4, 1e-2, 1.0, 100.0])
def test_head_that_starts_from_zeros_equals_one_without_an_earlier_head(classes, strength):
    x, y = clusters(200, 1, classes)
    y = np.where(np.arange(200) % 3, y, 0)  # Unequal class sizes, so that the bias matters.
    nothing = Earlier(np.zeros((5, classes)), np.zeros(classes))
    plain, near = (refit_head(x, y, Recipe(earlier=e), 1 / strength) for e in (None, nothing))
    answers = [softmax(head.logits(x)) for head in (plain, near)]
    np.testing.assert_allclose(*answers, atol=0.01)  # `tol` may stop this far from convergence.


def test_few_examples_profit_from_an_earlier_head():
    """A head of 500 examples, though of two of the three classes only, helps a head of six."""
    (x, y), (few, labels), (vx, vy) = clusters(500, 1), clusters(6, 4), clusters(300, 2)
    labels[:3] = range(3)
    of_many = fit_head((x[y < 2], vx[vy < 2]), (y[y < 2], vy[vy < 2]), Recipe())
    ((kernel, bias),) = of_many.layers
    earlier = Earlier(np.pad(kernel, ((0, 0), (0, 1))), np.pad(bias, (0, 1)))
    means = []
    for start in (None, earlier):
        head = fit_head((few, vx), (labels, vy), Recipe(earlier=start))
        means.append(losses(head, vx, vy).mean())
        again = refit_head(few, labels, Recipe(earlier=start), head.regularisation)
        # `fit_head` lowers the regularisation step by step, `refit_head` takes it at once.
        np.testing.assert_allclose(losses(again, vx, vy).mean(), means[-1], rtol=0.01)
    assert means[1] < 0.9 * means[0]


def test_few_validation_examples_do_not_overrule_an_earlier_head():
    (x, y), (vx, vy) = clusters(60, 1), clusters(300, 2)
    kernel, chosen = np.random.default_rng(0).normal(0, 0.3, (5, 3)), {}
    for examples in (60, 61):
        wrong = Earlier(kernel, np.zeros(3), examples=examples)
        for n in (2, 300):
            head = fit_head((x, vx[:n]), (y, vy[:n]), Recipe(earlier=wrong))
            chosen[examples, n] = head.regularisation
    assert chosen[61, 2] > 100 * chosen[61, 300]
    # An earlier head gets no preference if it had no more examples than there are now.
    assert chosen[60, 2] < chosen[61, 2]


def test_strongest_regularisation_keeps_the_kernel_and_fits_class_frequencies():
    x, y = clusters(60, 1)
    few = np.r_[np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:5], np.flatnonzero(y == 2)[:3]]
    x, y = x[few], y[few]
    kernel = np.random.default_rng(0).normal(0, 1e-3, (5, 3))
    head = refit_head(x, y, Recipe(earlier=Earlier(kernel, np.zeros(3))), 1e6)
    ((fitted, _),) = head.layers
    np.testing.assert_allclose(fitted, kernel, atol=1e-4)
    frequencies = np.bincount(y) / len(y)
    np.testing.assert_allclose(softmax(head.logits(x)).mean(0), frequencies, atol=1e-3)


def test_balanced_head_finds_the_rare_class():
    x, y = clusters(400, 1, 2)
    x = x / 4  # The classes overlap.
    keep = (y == 0) | (np.arange(400) % 20 == 0)
    recalls = []
    for balance in ("none", "weights"):
        head = fit_head((x[keep], x), (y[keep], y), Recipe(balance))
        recalls.append((head.logits(x).argmax(-1) == y)[y == 1].mean())
    assert recalls[1] > recalls[0]


@pytest.mark.parametrize("classes", [2, 3])
def test_hidden_layer_separates_classes_that_no_line_separates(classes):
    """The classes are rings around the origin."""
    generator = np.random.default_rng(0)

    def rings(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(count) % classes
        angle = generator.uniform(0, 2 * np.pi, count)
        radius = 1 + labels + generator.normal(0, 0.1, count)
        x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
        return x.astype(np.float32), labels

    (x, y), (vx, vy) = rings(300), rings(150)
    plain, hidden = (fit_head((x, vx), (y, vy), Recipe(width=width)) for width in (None, 16))
    right = [(head.logits(vx).argmax(-1) == vy).mean() for head in (plain, hidden)]
    assert right[0] < 0.7 < 0.95 < right[1]
    assert [kernel.shape for kernel, _ in hidden.layers] == [(2, 16), (16, classes)]
    again = fit_head((x, vx), (y, vy), Recipe(width=16))
    np.testing.assert_array_equal(hidden.logits(vx), again.logits(vx))
