"""The head: a converged regression, or one with a hidden layer."""

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
        atol=0.01,  # Of probability: how far from converged `tol=1e-4` may leave it.
    )


def test_heads_regularisation_is_the_best_on_validation():
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
def test_head_near_one_of_zeros_is_the_plain_one(classes, strength):
    x, y = clusters(200, 1, classes)
    y = np.where(np.arange(200) % 3, y, 0)  # The bias has something to say.
    nothing = Earlier(np.zeros((5, classes)), np.zeros(classes))
    plain, near = (refit_head(x, y, Recipe(earlier=e), 1 / strength) for e in (None, nothing))
    answers = [softmax(head.logits(x)) for head in (plain, near)]
    np.testing.assert_allclose(*answers, atol=0.01)  # As far from converged as `tol` may leave it.


def test_head_keeps_what_few_examples_do_not_speak_against():
    """Of six examples little is learnt: a head of many, of two of the three classes, helps."""
    (x, y), (few, labels), (vx, vy) = clusters(500, 1), clusters(6, 4), clusters(300, 2)
    labels[:3] = range(3)
    of_many = fit_head((x[y < 2], vx[vy < 2]), (y[y < 2], vy[vy < 2]), Recipe())
    ((kernel, bias),) = of_many.layers
    earlier = Earlier(np.pad(kernel, ((0, 0), (0, 1))), np.pad(bias, (0, 1)))
    found = []
    for own in (None, earlier):
        head = fit_head((few, vx), (labels, vy), Recipe(earlier=own))
        found.append(losses(head, vx, vy).mean())
        kept = refit_head(few, labels, Recipe(earlier=own), head.regularisation)
        # One goes there step by step from the strongest, the other at once.
        np.testing.assert_allclose(losses(kept, vx, vy).mean(), found[-1], rtol=0.01)
    assert found[1] < 0.9 * found[0]


def test_few_validation_examples_do_not_speak_clearly_against_an_earlier_head():
    (x, y), (vx, vy) = clusters(60, 1), clusters(300, 2)
    kernel, found = np.random.default_rng(0).normal(0, 0.3, (5, 3)), {}
    for examples in (60, 61):
        wrong = Earlier(kernel, np.zeros(3), examples=examples)
        for n in (2, 300):
            head = fit_head((x, vx[:n]), (y, vy[:n]), Recipe(earlier=wrong))
            found[examples, n] = head.regularisation
    assert found[61, 2] > 100 * found[61, 300]
    # One of no more examples than there are now has no such credit.
    assert found[60, 2] < found[61, 2]


def test_strongest_regularisation_keeps_the_kernel_and_fits_the_frequencies():
    x, y = clusters(60, 1)
    few = np.r_[np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:5], np.flatnonzero(y == 2)[:3]]
    x, y = x[few], y[few]
    kernel = np.random.default_rng(0).normal(0, 1e-3, (5, 3))
    head = refit_head(x, y, Recipe(earlier=Earlier(kernel, np.zeros(3))), 1e6)
    ((found, _),) = head.layers
    np.testing.assert_allclose(found, kernel, atol=1e-4)
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
def test_hidden_layer_finds_what_no_line_parts(classes):
    """Rings around the origin."""
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
