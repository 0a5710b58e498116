"""Finds the operators that quantising costs most, and keeps those float."""

import heapq
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from absl import logging

from tl_keras.run.result.exports import FileLoss, RepairStep

RANKED_ON = 16  # examples, on which operators are quantised apart from the others
MOST_RANGES = 128  # of operators, into which a model is divided
NEGLIGIBLE = 0.1  # of what the costliest operator costs: a range that costs less is left whole


@dataclass(frozen=True)
class Repaired:
    """Which operators stay float, and how that was found.

    Attributes:
      kept: their places, the costliest first.
      verdict: as `exports.lost` of the task gives it, with these.
      steps: how many were kept in each try, and what was lost.
    """

    kept: tuple[int, ...]
    verdict: FileLoss
    steps: list[RepairStep]


def repair(
    first: FileLoss,
    judge: Callable[[Collection[int]], FileLoss],
    cost: Callable[[Sequence[int]], float],
    candidates: Sequence[int],
    is_sound: Callable[[FileLoss], bool],
) -> Repaired:
    """As few operators as will do, in the order of `rank`, with which a file is sound.

    Args:
      first: the verdict with none kept.
      judge: a verdict on a file that keeps some operators float.
      cost: how far the answers move where some operators alone are quantised.
      candidates: places of operators that can be kept, in order.
      is_sound: whether a file of a verdict needs no mending.
    """
    ranked = rank(candidates, cost)
    steps = [_step(0, first)]
    verdicts = {0: first}

    def holds(count: int) -> bool:
        if count not in verdicts:
            verdicts[count] = judge(ranked[:count])
            steps.append(_step(count, verdicts[count]))
            logging.info("export: %d operators float: loses %.3f", count, verdicts[count].lost)
        return is_sound(verdicts[count])

    too_few, enough = 0, None
    for count in _doubling(len(ranked)):
        if holds(count):
            enough = count
            break
        too_few = count
    if enough is None:
        best = min(verdicts, key=lambda n: (verdicts[n].lost, verdicts[n].moved, n))
        return Repaired(tuple(ranked[:best]), verdicts[best], steps)
    while enough - too_few > 1:
        middle = (enough + too_few) // 2
        enough, too_few = (middle, too_few) if holds(middle) else (enough, middle)
    return Repaired(tuple(ranked[:enough]), verdicts[enough], steps)


def rank(candidates: Sequence[int], cost: Callable[[Sequence[int]], float]) -> list[int]:
    """Operators, the costliest first.

    Of ranges of them the one that costs most is halved, down to single ones: the few that spoil a
    large model are found in few runs. In a range that is left whole, all have the same share of its
    cost.
    """

    # Costs end at 1: where several are costly, ranges tie, and the longest is halved first.
    def measured(start: int, end: int) -> tuple[float, int, int, int]:
        return -cost(candidates[start:end]), start - end, start, end

    ranges = [measured(0, len(candidates))] if candidates else []
    single: list[tuple[float, int, int, int]] = []
    highest = 0.0  # of a single one
    while ranges and -ranges[0][0] >= NEGLIGIBLE * highest:
        if len(ranges) + len(single) == MOST_RANGES:
            break
        costliest = heapq.heappop(ranges)
        start, end = costliest[2:]
        if end - start == 1:
            single.append(costliest)
            highest = max(highest, -costliest[0])
            continue
        middle = (start + end) // 2
        heapq.heappush(ranges, measured(start, middle))
        heapq.heappush(ranges, measured(middle, end))
    shares = [(costs / (end - start), start, end) for costs, _, start, end in single + ranges]
    return [place for _, start, end in sorted(shares) for place in candidates[start:end]]


def _doubling(most: int) -> list[int]:
    counts = [2**i for i in range(most.bit_length()) if 2**i < most]
    return [*counts, most] if most else []


def _step(count: int, verdict: FileLoss) -> RepairStep:
    return RepairStep(
        kept=count, lost=verdict.lost, agreement=verdict.agreement, moved=verdict.moved
    )
