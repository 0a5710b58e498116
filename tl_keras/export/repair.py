"""Repairs an inaccurate quantised file: the operators most harmful to quantise stay float."""

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
      kept: positions of the operators that stay float, sorted by how much their quantisation
        changes the answers, most first.
      verdict: how much worse the repaired file is than the model on validation.
      steps: for each attempt, how many operators stayed float, and how much worse the file was than
        the model.
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
    """Finds how few operators must stay float for a quantised file to be accurate enough.

    The first n operators in the order of `rank` stay float: those that are most harmful to
    quantise. If the file is too inaccurate for every n that was tried, the most accurate attempt is
    returned.

    Args:
      first: for the file in which all operators are quantised: how much worse it is than the model.
      judge: makes a file in which the given operators stay float, and returns how much worse this
        file is than the model.
      cost: quantises only the given operators, and returns how far the answers then are from those
        of the float model, 0..1.
      candidates: positions of the operators that can be quantised, in the order of the graph.
      is_sound: returns True if a file is accurate enough.
    """
    ranked = rank(candidates, cost)
    steps = [_step(0, first)]
    verdicts = {0: first}

    def holds(count: int) -> bool:
        if count not in verdicts:
            verdicts[count] = judge(ranked[:count])
            steps.append(_step(count, verdicts[count]))
            loss = verdicts[count].lost
            logging.info(
                "export: if the file keeps %s in float, it loses %.3f of the main score",
                *(operators(count), loss),
            )
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
    """Returns a count in words, such as "1 operator" or "2 operators"."""
    return f"{count} operator{'' if count == 1 else 's'}"


def rank(candidates: Sequence[int], cost: Callable[[Sequence[int]], float]) -> list[int]:
    """Returns operators ordered by the cost of quantising them, the highest cost first.

    It would take too many runs to measure each operator alone. So the cost of a range of operators
    is measured, and the range with the highest cost is halved, again and again, until it is a
    single operator. This stops when the remaining ranges cost next to nothing, or after
    `MOST_RANGES` ranges; the operators of a remaining range get equal shares of its cost.

    Args:
      candidates: positions of the operators, in the order of the graph.
      cost: see `repair`.
    """

    # Costs are at most 1. If two ranges have the same cost, the longer one is halved first.
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
