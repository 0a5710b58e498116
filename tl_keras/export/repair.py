"""Repairs a quantised file: finds the operators whose quantisation costs most, keeps them float."""

import heapq
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from absl import logging

from tl_keras.run.result.exports import FileLoss, RepairStep

RANKED_ON = 16  # examples on which the cost of quantising a range of operators is measured
MOST_RANGES = 128  # most ranges of operators into which a model is divided
NEGLIGIBLE = 0.1  # A range below this share of the highest single cost is not divided further.


@dataclass(frozen=True)
class Repaired:
    """The result of a repair: which operators stay float.

    Attributes:
      kept: positions of the operators that stay float, the costliest first.
      verdict: the loss of the repaired file, see the function `lost` of the task's part `exports`.
      steps: for each attempt, the number of kept operators and the loss.
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
    """Finds the smallest number of operators, in the order of `rank`, that must stay float.

    If no number is enough, returns the attempt with the lowest loss.

    Args:
      first: the loss of the file if no operator stays float.
      judge: returns the loss of a file in which the given operators stay float.
      cost: returns how far the answers move if only the given operators are quantised, 0..1.
      candidates: positions of the operators that can stay float, in order.
      is_sound: returns whether a file with a given loss needs no repair.
    """
    ranked = rank(candidates, cost)
    steps = [_step(0, first)]
    verdicts = {0: first}

    def holds(count: int) -> bool:
        if count not in verdicts:
            verdicts[count] = judge(ranked[:count])
            steps.append(_step(count, verdicts[count]))
            loss = verdicts[count].lost
            logging.info("export: with %s kept float, loses %.3f", operators(count), loss)
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


def operators(count: int) -> str:
    """Returns a number of operators with its noun, such as "1 operator"."""
    return f"{count} operator{'' if count == 1 else 's'}"


def rank(candidates: Sequence[int], cost: Callable[[Sequence[int]], float]) -> list[int]:
    """Returns the operators ordered by the cost of quantising them, the costliest first.

    The range of operators that costs most is halved again and again, down to single operators. This
    finds the few operators that spoil a large model in few runs. If a range is not halved, its
    operators share its cost equally.

    Args:
      candidates: positions of the operators, in order.
      cost: returns how far the answers move if only the given operators are quantised, 0..1.
    """

    # Costs are at most 1. Of ranges that tie at a high cost, the longest is halved first.
    def measured(start: int, end: int) -> tuple[float, int, int, int]:
        return -cost(candidates[start:end]), start - end, start, end

    ranges = [measured(0, len(candidates))] if candidates else []
    single: list[tuple[float, int, int, int]] = []
    highest = 0.0  # cost of a single operator
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
    return [position for _, start, end in sorted(shares) for position in candidates[start:end]]


def _doubling(most: int) -> list[int]:
    counts = [2**i for i in range(most.bit_length()) if 2**i < most]
    return [*counts, most] if most else []


def _step(count: int, verdict: FileLoss) -> RepairStep:
    return RepairStep(
        kept=count, lost=verdict.lost, agreement=verdict.agreement, moved=verdict.moved
    )
