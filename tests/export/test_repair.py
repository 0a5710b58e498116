"""Repairing a file: as few operators as possible stay float, the costliest first."""

from collections.abc import Sequence
from functools import partial

from handmade import verdict

from tl_keras.export.repair import operators, rank, repair
from tl_keras.run.result.exports import RepairStep
from tl_keras.tasks.classification.exports import is_sound


def repaired(needed: set[int], count: int = 20, bound: float = 0.01):
    """Repairs a model of `count` operators, of which those in `needed` must stay float.

    The cost of a needed operator grows with its position. Returns the result, and the number of
    operators kept in each attempt.
    """
    attempts = []

    def judge(kept):
        attempts.append(len(kept))
        return verdict(0.0 if needed <= set(kept) else 0.2)

    def cost(places: Sequence[int]) -> float:
        return sum(place + 1.0 for place in places if place in needed)

    return repair(verdict(0.2), judge, cost, range(count), partial(is_sound, bound=bound)), attempts


def test_as_few_operators_as_possible_are_kept_float():
    for needed in ({3}, {1, 7}, {2, 3, 5, 8, 13}, set(range(17))):
        result, _ = repaired(needed)
        assert set(result.kept) == needed
        assert result.verdict["lost"] == 0
        assert result.steps[0] == RepairStep(kept=0, lost=0.2, agreement=0.8, moved=0.0)


def test_one_operator_is_not_called_operators():
    assert [operators(count) for count in (0, 1, 2)] == ["0 operators", "1 operator", "2 operators"]


def test_few_costly_operators_are_found_in_few_runs():
    for needed in ({3}, {90, 91}, {7, 120, 239}):
        runs = []

        def cost(places: Sequence[int]) -> float:
            runs.append(places)  # noqa: B023
            return sum(place in needed for place in places) + 1e-4 * len(places)  # noqa: B023

        assert set(rank(range(240), cost)[: len(needed)]) == needed
        assert len(runs) <= 50


def test_operators_are_ranked_if_all_of_them_cost_something():
    runs = []

    def cost(places: Sequence[int]) -> float:
        runs.append(places)
        return float(sum(places))

    ranked = rank(range(240), cost)
    assert sorted(ranked) == list(range(240))
    assert len(runs) < 256
    assert set(ranked[:100]) > set(range(220, 240))  # The costliest operators come early.
    assert rank([], cost) == []


def test_many_costly_operators_are_found_although_the_cost_is_capped():
    for count, needed in ((90, set(range(3, 90, 7))), (240, set(range(5, 240, 14)))):

        def cost(places: Sequence[int]) -> float:
            return min(0.5 * sum(place in needed for place in places), 0.65)  # noqa: B023

        assert set(rank(range(count), cost)[: len(needed)]) == needed


def test_few_files_are_tried():
    assert len(repaired(set(range(17)), 60)[1]) <= 12


def test_best_attempt_is_returned_if_no_repair_is_enough():
    sound = partial(is_sound, bound=0.01)
    best = repair(verdict(0.3), lambda kept: verdict(0.3 - 0.01 * len(kept)), sum, range(5), sound)
    assert len(best.kept) == 5 and best.verdict["lost"] == 0.25
    same = repair(verdict(0.3), lambda kept: verdict(0.3), sum, range(5), sound)
    assert same.kept == ()


def test_file_that_moves_probabilities_needs_repair_without_a_loss():
    assert is_sound(verdict(0.01, 0.02), 0.01)
    assert not is_sound(verdict(0.02, 0.02), 0.01)
    assert not is_sound(verdict(-0.05, 0.2), 0.01)


def test_one_wrong_example_of_a_few_does_not_count_as_a_loss():
    assert is_sound(verdict(1 / 30, n=30), 0.01)
    assert not is_sound(verdict(2 / 30, n=30), 0.01)
