import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from shapes import clusters

from tl_keras.tasks.classification.transfer import left_out_accuracy, logme


def brute_force(features: np.ndarray, labels: np.ndarray) -> float:
    """Maximises the marginal likelihood numerically, without the algebra of `logme`."""
    x, evidences = features.astype(np.float64), []
    for label in np.unique(labels):
        y = (labels == label).astype(np.float64)

        def loss(logs: np.ndarray, y: np.ndarray = y) -> float:
            covariance = np.eye(len(y)) * np.exp(logs[1]) + x @ x.T * np.exp(logs[0])
            return -multivariate_normal.logpdf(y, np.zeros(len(y)), covariance)

        starts = [(a, b) for a in (-4.0, 0.0) for b in (-3.0, 0.0)]
        best = min(minimize(loss, s, method="Nelder-Mead").fun for s in starts)
        evidences.append(-best / len(y))
    return float(np.mean(evidences))


@pytest.mark.parametrize("channels", [5, 60])
def test_logme_is_the_maximum_evidence(channels):
    features, labels = clusters(40, 0)
    noise = np.random.default_rng(1).normal(0, 0.3, (40, channels - 5)).astype(np.float32)
    features = np.hstack([features, noise])
    assert logme(features, labels) == pytest.approx(brute_force(features, labels), abs=2e-3)


def test_better_features_have_more_evidence_and_accuracy():
    features, labels = clusters(120, 0)
    generator = np.random.default_rng(2)
    scores = []
    for noise in (0.0, 2.0, 8.0):
        worse = features + generator.normal(0, noise, features.shape).astype(np.float32)
        scores.append((logme(worse, labels), left_out_accuracy(worse, labels)))
    assert scores == sorted(scores, reverse=True)


def test_left_out_accuracy_of_noise_is_chance():
    generator = np.random.default_rng(0)
    labels = np.arange(400) % 4
    noise = generator.normal(0, 1, (400, 30)).astype(np.float32)
    assert left_out_accuracy(noise, labels) == pytest.approx(0.25, abs=0.08)


def test_a_left_out_example_is_not_fitted():
    """One-hot features can only be memorised, which does not help for a left-out example."""
    labels = np.arange(60) % 2
    assert left_out_accuracy(np.eye(60, dtype=np.float32), labels) < 0.6
