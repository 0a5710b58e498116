"""Mending a file: as few operators as will do are kept float, the costliest first."""

from collections.abc import Sequence
from functools import partial

from handmade import verdict

from tl_keras.export.repair import rank, repair
from tl_keras.run.result.exports import RepairStep
from tl_keras.tasks.classification.exports import is_sound


def mended(needed: set[int], count: int = 20, bound: float = 0.01):
    """Of `count` operators those in `needed` have to be kept; they cost the more, the later."""
    asked = []

    def judge(kept):
        asked.append(len(kept))
        return verdict(0.0 if needed <= set(kept) else 0.2)

    def cost(places: Sequence[int]) -> float:
        return sum(place + 1.0 for place in places if place in needed)

    return repair(verdict(0.2), judge, cost, range(count), partial(is_sound, bound=bound)), asked


def test_the_fewest_that_will_do_are_kept():
    for needed in ({3}, {1, 7}, {2, 3, 5, 8, 13}, set(range(17))):
        found, _ = mended(needed)
        assert set(found.kept) == needed
        assert found.verdict["lost"] == 0
        assert found.steps[0] == RepairStep(kept=0, lost=0.2, agreement=0.8, moved=0.0)


def test_the_costliest_of_many_are_found_in_few_runs():
    for needed in ({3}, {90, 91}, {7, 120, 239}):
        runs = []

        def cost(places: Sequence[int]) -> float:
            runs.append(places)  # noqa: B023
            return sum(place in needed for place in places) + 1e-4 * len(places)  # noqa: B023

        assert set(rank(range(240), cost)[: len(needed)]) == needed
        assert len(runs) <= 50


def test_all_are_ranked_where_the_cost_is_spread():
    runs = []

    def cost(places: Sequence[int]) -> float:
        runs.append(places)
        return float(sum(places))

    ranked = rank(range(240), cost)
    assert sorted(ranked) == list(range(240))
    assert len(runs) < 256
    assert set(ranked[:100]) > set(range(220, 240))  # The costliest are among the first.
    assert rank([], cost) == []


def test_many_costly_ones_are_told_from_the_others_though_the_cost_ends_at_1():
    for count, needed in ((90, set(range(3, 90, 7))), (240, set(range(5, 240, 14)))):

        def cost(places: Sequence[int]) -> float:
            return min(0.5 * sum(place in needed for place in places), 0.65)  # noqa: B023

        assert set(rank(range(count), cost)[: len(needed)]) == needed


def test_few_files_are_tried():
    assert len(mended(set(range(17)), 60)[1]) <= 12


def test_where_nothing_helps_the_best_is_told():
    sound = partial(is_sound, bound=0.01)
    found = repair(verdict(0.3), lambda kept: verdict(0.3 - 0.01 * len(kept)), sum, range(5), sound)
    assert len(found.kept) == 5 and found.verdict["lost"] == 0.25
    same = repair(verdict(0.3), lambda kept: verdict(0.3), sum, range(5), sound)
    assert same.kept == ()


def test_a_file_is_unsound_that_moves_probabilities_though_it_loses_nothing():
    assert is_sound(verdict(0.01, 0.02), 0.01)
    assert not is_sound(verdict(0.02, 0.02), 0.01)
    assert not is_sound(verdict(-0.05, 0.2), 0.01)


def test_one_example_of_a_few_is_no_loss():
    assert is_sound(verdict(1 / 30, n=30), 0.01)
    assert not is_sound(verdict(2 / 30, n=30), 0.01)
