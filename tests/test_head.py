"""The head: a converged regression, or one with a hidden layer."""

import numpy as np
import pytest
from conftest import clusters
from sklearn.linear_model import LogisticRegression

from tl_keras.evaluate import softmax
from tl_keras.head import STRENGTHS, WORSE, fit_head


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
