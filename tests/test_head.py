"""The head: a converged regression, or one with a hidden layer."""

import numpy as np
import pytest
from conftest import clusters
from sklearn.linear_model import LogisticRegression

from tl_keras.evaluate import softmax
from tl_keras.head import STRENGTHS, WORSE, Earlier, fit_head, refit_head


@pytest.mark.parametrize("classes", [2, 3])
def test_head_is_a_converged_regression(classes):
    (x, y), (vx, vy) = clusters(200, 1, classes), clusters(100, 2, classes)
    head = fit_head((x, vx), (y, vy), "none")
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
    head = fit_head((x, vx), (y, vy), "none")
    losses = [record["val_loss"] for record in head.history]
    kept = -np.log(softmax(head.logits(vx))[np.arange(60), vy]).mean()
    assert kept == pytest.approx(min(losses), abs=1e-4)
    assert len(losses) == min(len(STRENGTHS), np.argmin(losses) + 1 + WORSE)


@pytest.mark.parametrize("classes", [2, 3])
def test_head_near_one_of_zeros_is_the_plain_one(classes):
    (x, y), (vx, vy) = clusters(200, 1, classes), clusters(100, 2, classes)
    nothing = Earlier(np.zeros((5, classes)), np.zeros(classes))
    plain, near = (fit_head((x, vx), (y, vy), "none", earlier=e) for e in (None, nothing))
    assert plain.regularisation == near.regularisation
    answers = [softmax(head.logits(vx)) for head in (plain, near)]
    np.testing.assert_allclose(*answers, atol=0.03)  # Of two classes scikit-learn has one column.


def test_head_keeps_what_few_examples_do_not_speak_against():
    """Of six examples little is learnt: a head of many, of two of the three classes, helps."""
    (x, y), (few, labels), (vx, vy) = clusters(500, 1), clusters(6, 4), clusters(300, 2)
    labels[:3] = range(3)
    few = few + clusters(6, 4)[0] * 0  # As they are.
    of_many = fit_head((x[y < 2], vx[vy < 2]), (y[y < 2], vy[vy < 2]), "none")
    ((kernel, bias),) = of_many.layers
    earlier = Earlier(np.pad(kernel, ((0, 0), (0, 1))), np.pad(bias, (0, 1)))
    losses = []
    for own in (None, earlier):
        head = fit_head((few, vx), (labels, vy), "none", earlier=own)
        losses.append(min(record["val_loss"] for record in head.history))
        kept = refit_head(few, labels, "none", head.regularisation, earlier=own)
        # One goes there step by step from the strongest, the other at once.
        np.testing.assert_allclose(softmax(kept.logits(vx)), softmax(head.logits(vx)), atol=0.02)
    assert losses[1] < losses[0]


def test_balanced_head_finds_the_rare_class():
    x, y = clusters(400, 1, 2)
    x = x / 4  # The classes overlap.
    keep = (y == 0) | (np.arange(400) % 20 == 0)
    recalls = []
    for balance in ("none", "weights"):
        head = fit_head((x[keep], x), (y[keep], y), balance)
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
    plain, hidden = (fit_head((x, vx), (y, vy), "none", width) for width in (None, 16))
    right = [(head.logits(vx).argmax(-1) == vy).mean() for head in (plain, hidden)]
    assert right[0] < 0.7 < 0.95 < right[1]
    assert [kernel.shape for kernel, _ in hidden.layers] == [(2, 16), (16, classes)]
    again = fit_head((x, vx), (y, vy), "none", 16)
    np.testing.assert_array_equal(hidden.logits(vx), again.logits(vx))
