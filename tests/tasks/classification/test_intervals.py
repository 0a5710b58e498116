"""Intervals equal those of the literature, and contain the truth as often as they claim."""

import numpy as np
import pytest
from scipy import stats

from tl_keras.tasks import shares
from tl_keras.tasks.classification import intervals, metrics


@pytest.mark.parametrize(("right", "n"), [(0, 10), (3, 10), (10, 10), (700, 719)])
def test_wilson_equals_scipy(right, n):
    expected = stats.binomtest(right, n).proportion_ci(method="wilson")
    assert shares.wilson(right, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_interval_without_examples_is_0_to_1():
    assert shares.wilson(0, 0) == (0.0, 1.0)


def test_bootstrap_intervals_contain_the_scores():
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet((1, 1, 1), 500)
    labels = np.array([generator.choice(3, p=row) for row in probabilities])
    names = ["a", "b", "c"]
    scores = metrics.measure(probabilities, labels, names)
    examples = [
        (names[label], names[row.argmax()], row[label])
        for label, row in zip(labels, probabilities, strict=True)
    ]
    drawn = intervals.bootstrap(examples)
    assert set(drawn) == {"balanced_accuracy", "macro_f1", "log_loss"}
    for name, (low, high) in drawn.items():
        assert low < scores[name] < high
        # The interval is 2 * 1.96 standard errors of a mean of 500, within a fifth.
        if name == "log_loss":
            losses = -np.log(probabilities[np.arange(500), labels])
            assert high - low == pytest.approx(2 * 1.96 * losses.std() / 500**0.5, rel=0.2)
    assert intervals.bootstrap(examples) == drawn
    assert intervals.bootstrap([]) == {}


def test_bootstrap_gives_no_interval_if_all_are_right():
    examples = [(label, label, 0.9) for label in "ab" * 10]
    assert intervals.bootstrap(examples) == {}
    assert "balanced_accuracy" in intervals.bootstrap([*examples, ("a", "b", 0.1)])


def test_bootstrap_of_many_small_classes_contains_the_score():
    """Most classes are never predicted: draws without their examples would raise the mean."""
    examples = [(f"c{i}", "c0", 0.5) for i in range(100) for _ in range(2)]
    examples += [(f"c{i}", f"c{i}", 0.5) for i in range(50)]
    low, high = intervals.bootstrap(examples)["balanced_accuracy"]
    assert low < (1 + 49 / 3) / 100 < high


def test_paired_interval_contains_the_truth_in_95_percent():
    """200 draws of 200 examples; the true difference is 5 percentage points."""
    generator = np.random.default_rng(0)
    held = 0
    for won, lost, _ in generator.multinomial(200, [0.12, 0.07, 0.81], size=200):
        low, high = shares.paired_interval(int(won), int(lost), 200)
        held += low <= 0.05 <= high
    assert 0.9 <= held / 200 <= 0.99  # 0.95; its standard error is 0.015.


@pytest.mark.parametrize("n", [5, 20, 200, 5000])
@pytest.mark.parametrize("won", [0, 4, 5])
def test_a_few_wins_can_be_chance(won, n):
    """The exact p-value of 5 against 0 is 0.0625, that of 6 is 0.031."""
    low, high = shares.paired_interval(won, 0, n)
    assert low <= 0 < high and low <= won / n <= high
    assert shares.paired_interval(0, won, n) == pytest.approx([-high, -low])
    assert shares.paired_interval(6, 0, max(n, 6))[0] > 0


def test_paired_interval_equals_the_paper():
    # By hand: (11 / 102, 3 / 102), difference 8 / 102.
    half = stats.norm.ppf(0.975) * np.sqrt((14 / 102 - (8 / 102) ** 2) / 102)
    actual = shares.paired_interval(10, 2, 100)
    assert actual == pytest.approx([8 / 102 - half, 8 / 102 + half])


def test_paired_interval_of_opposite_answers():
    low, high = shares.paired_interval(50, 0, 50)
    assert 0.8 < low < 0.95 and high == 1
