"""Scores, intervals, temperature and worst mistakes of classification."""

import json

import numpy as np
import pytest
from sklearn import metrics

from tl_keras.run.result.whole import to_json
from tl_keras.tasks.classification import losses
from tl_keras.tasks.classification import metrics as ours

NAMES = ["ants", "bees", "wasps"]


def sample(n: int, seed: int = 0, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Returns probabilities and labels drawn from them, so that they are calibrated."""
    rng = np.random.default_rng(seed)
    probabilities = losses.answers(rng.normal(0, 1.5, (n, classes)))
    draws = rng.random((n, 1))
    return probabilities, (probabilities.cumsum(axis=1) < draws).sum(axis=1).clip(0, classes - 1)


def test_scores_equal_scikit_learn():
    probabilities, labels = sample(400)
    predicted = probabilities.argmax(axis=1)
    scores = ours.measure(probabilities, labels, NAMES)
    # 1e-12: the same sums in float64, in another order.
    same = {"rel": 1e-12}
    assert scores["accuracy"] == metrics.accuracy_score(labels, predicted)
    assert scores["balanced_accuracy"] == pytest.approx(
        metrics.balanced_accuracy_score(labels, predicted), **same
    )
    assert scores["macro_f1"] == pytest.approx(
        metrics.f1_score(labels, predicted, average="macro"), **same
    )
    assert scores["log_loss"] == pytest.approx(metrics.log_loss(labels, probabilities), **same)
    assert scores["confusion"] == metrics.confusion_matrix(labels, predicted).tolist()
    precision, recall, _, n = metrics.precision_recall_fscore_support(labels, predicted)
    for i, name in enumerate(NAMES):
        expected = {"precision": precision[i], "recall": recall[i], "n": n[i]}
        assert to_json(scores.classes[name]) == pytest.approx(expected, **same)


def test_scores_are_plain_json_without_nan():
    probabilities, labels = sample(7)
    scores = to_json(ours.measure(probabilities.astype(np.float32), labels.astype(np.int32), NAMES))
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores
    assert list(scores) == [
        "accuracy",
        "interval",
        "balanced_accuracy",
        "macro_f1",
        "log_loss",
        "calibration_error",
        "n",
        "classes",
        "confusion",
    ]


def test_class_without_examples_and_class_never_predicted():
    probabilities = np.array([[0.9, 0.1, 0.0], [0.2, 0.1, 0.7], [0.8, 0.2, 0.0]])
    scores = ours.measure(probabilities, np.array([0, 0, 1]), NAMES)
    assert to_json(scores.classes) == {
        "ants": {"precision": 0.5, "recall": 0.5, "n": 2},
        "bees": {"precision": None, "recall": 0.0, "n": 1},
        "wasps": {"precision": 0.0, "recall": None, "n": 0},
    }
    assert scores["balanced_accuracy"] == 0.25  # Mean of ants and bees; wasps have no examples.
    # By hand: ants 2*1/(2+2), bees 0, wasps 0.
    assert scores["macro_f1"] == pytest.approx(0.5 / 3)


def test_means_leave_out_a_class_neither_true_nor_predicted():
    probabilities = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]])
    scores = ours.measure(probabilities, np.array([0, 1]), NAMES)
    assert scores["macro_f1"] == scores["balanced_accuracy"] == 1.0
    assert to_json(scores.classes["wasps"]) == {"precision": None, "recall": None, "n": 0}


def scores_of(right: int, n: int) -> dict:
    probabilities = np.tile([0.8, 0.2], (n, 1))
    return ours.measure(probabilities, (np.arange(n) >= right).astype(int), ["a", "b"])


@pytest.mark.parametrize("right, n", [(0, 5), (1, 5), (4, 5), (5, 5), (94, 100), (999, 1000)])
def test_interval_contains_accuracy(right, n):
    scores = scores_of(right, n)
    low, high = scores["interval"]
    assert 0 <= low <= scores["accuracy"] <= high <= 1
    assert low < high


def test_interval_shrinks_with_n_and_repeats():
    widths = [np.diff(scores_of(8 * n, 10 * n)["interval"])[0] for n in (2, 20, 200)]
    assert widths[0] > widths[1] > widths[2]
    assert scores_of(80, 100) == scores_of(80, 100)
    # The normal interval, +-1.96 sqrt(0.8 * 0.2 / 2000), is nearly equal to Wilson's here.
    assert widths[2] == pytest.approx(2 * 1.96 * np.sqrt(0.16 / 2000), rel=0.01)


def test_more_right_answers_never_lower_the_interval():
    bounds = [scores_of(right, 20)["interval"] for right in range(21)]
    assert bounds == sorted(bounds) and len({low for low, _ in bounds}) == 21
    # 20 of 20, by hand: low = 1 / (1 + 1.96 ** 2 / 20).
    assert bounds[20] == pytest.approx([1 / (1 + 1.959964**2 / 20), 1.0])


def test_calibration_error():
    assert scores_of(80, 100)["calibration_error"] == pytest.approx(0, abs=1e-12)
    certain = np.tile([1.0, 0.0], (100, 1))
    half_right = (np.arange(100) % 2).astype(int)
    scores = ours.measure(certain, half_right, ["a", "b"])
    assert scores["calibration_error"] == pytest.approx(0.5)
    calibrated = ours.measure(*sample(20_000), NAMES)
    # 15 bins of some 1300 examples deviate by about sqrt(0.2 / 1300) = 0.012 each.
    assert calibrated["calibration_error"] < 0.02


def test_log_loss_is_finite_for_a_probability_of_zero():
    assert losses.log_loss(np.array([[1.0, 0.0]]), np.array([1])) == pytest.approx(-np.log(1e-7))


def test_softmax_of_large_logits():
    np.testing.assert_allclose(losses.answers([[1000.0, 1000.0]]), [[0.5, 0.5]])


@pytest.mark.parametrize("scale", [0.25, 1.0, 4.0])
def test_temperature_recovers_a_known_scale(scale):
    probabilities, labels = sample(5000)
    temperature = losses.fit_temperature(scale * np.log(probabilities), labels)
    # With 5000 examples, log T has a standard error of about 0.02; the tolerance is three of them.
    assert temperature == pytest.approx(scale, rel=0.06)


def test_temperature_improves_the_fit_of_few_examples():
    probabilities, labels = sample(30, seed=3)
    logits = 2.5 * np.log(probabilities)
    temperature = losses.fit_temperature(logits, labels)
    fitted = losses.log_loss(losses.answers(logits / temperature), labels)
    assert fitted < losses.log_loss(losses.answers(logits), labels)


@pytest.mark.parametrize("n", [20, 100])
def test_temperature_does_not_overstate_a_perfect_split(n):
    labels = np.arange(n) % 2
    logits = np.eye(2)[labels]
    sure = losses.answers(logits / losses.fit_temperature(logits, labels)).max()
    # Platt's target. The prior is a different rule, hence a tolerance of one percentage point.
    assert sure == pytest.approx((n + 1) / (n + 2), abs=0.01)


def test_temperature_does_not_change_confident_right_logits():
    labels = np.arange(20) % 2
    assert losses.fit_temperature(20 * np.eye(2)[labels], labels) == pytest.approx(1, abs=0.01)


def test_temperature_stays_in_bounds_if_all_are_wrong():
    labels = np.arange(200) % 2
    temperature = losses.fit_temperature(50 * np.eye(2)[1 - labels], labels)
    assert 1 < temperature <= 20


def test_worst_mistakes_most_confident_first():
    probabilities = np.array([[0.6, 0.4], [0.1, 0.9], [0.2, 0.8], [0.9, 0.1], [0.6, 0.4]])
    labels = np.array([1, 0, 1, 1, 1])
    assert ours.worst(probabilities, labels, 10) == [1, 3, 0, 4]
    assert ours.worst(probabilities, labels, 2) == [1, 3]
    assert ours.worst(probabilities, labels, 0) == []


@pytest.mark.parametrize(
    "probabilities, labels, names, message",
    [
        ([[0.5, np.nan]], [0], ["a", "b"], "1 of 1 examples .* NaN"),
        ([[3.0, -1.0]], [0], ["a", "b"], "are these logits"),
        ([[0.5, 0.5]], [2], ["a", "b"], r"0\.\.1; received 2\.\.2"),
        ([[0.5, 0.5]], [-1], ["a", "b"], r"received -1\.\.-1"),
        ([[0.5, 0.5]], [0, 1], ["a", "b"], r"received \(1, 2\) and \(2,\)"),
        ([[0.5, 0.5]], [0.0], ["a", "b"], "integers; received float64"),
        (np.zeros((0, 2)), np.zeros(0, int), ["a", "b"], "at least 1"),
        ([[0.5, 0.5]], [0], ["a", "a"], "2 different class names"),
        ([[0.5, 0.5]], [0], ["a"], "received 1"),
    ],
)
def test_measure_refuses(probabilities, labels, names, message):
    with pytest.raises(ValueError, match=message):
        ours.measure(np.array(probabilities), np.array(labels), names)


def test_temperature_rejects_infinite_logits():
    with pytest.raises(ValueError, match="NaN or infinite"):
        losses.fit_temperature(np.array([[np.inf, 0.0]]), np.array([0]))
