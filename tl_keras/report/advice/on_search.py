"""Conclusions from a search's trials: which freeze depth is best, whether the depth matters, and
what to search next."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tl_keras.report.drawings.words import (
    count,
    counted,
    interval,
    is_number,
    isolated,
    listed,
    points,
)
from tl_keras.report.facts import figures, trials
from tl_keras.report.facts.trials import Behind, Search, Trial, shortly
from tl_keras.report.read import RunFiles
from tl_keras.report.sections.results import named_scores
from tl_keras.run.run import DIVERGED

EDGE = 0.1  # share of a range's logarithm; if the best is so near an end, go beyond it
NOTABLE = 0.01  # accuracy; less is not worth more examples or trials

Pairs = Iterable[tuple[str, str]]  # What to do, and why.


@dataclass(frozen=True)
class Depths:
    """The best trial of each other depth against the best of all, by share of frozen blocks.

    Compared by paired 95% intervals.
    """

    apart: dict[float, Behind]  # shown to be worse
    level: dict[float, Behind]  # not shown to be worse or better
    ahead: dict[float, Behind]  # more accurate, but worse in the objective of the search


def depth(search: Search) -> str:
    """Returns a sentence on which depth to use and whether it matters; "" if no depth is known."""
    best = search.best
    if not best:
        return "No trial produced a model, so there is nothing to compare."
    if best.is_head and any(trial.record.left_out for trial in trials.comparable(search)):
        return (
            f"Train {HEAD}. On {counted(best.n, 'validation example')}, not even a model without "
            "mistakes could be shown to be better, so fine-tuning was not tried. More validation "
            "examples (data.val) could change that."
        )
    if len(search.done) == 1:
        return "Only one trial produced a model, so there is nothing to compare it with."
    if best.share is None:
        return ""
    shares = list(trials.by_depth(search))
    if all(trial.is_head for trial in trials.comparable(search)):
        return _heads_only(search)
    if len(shares) == 1:
        frozen = _frozen(best.share, best.block)
        return f"All trials freeze {frozen}, so nothing is known about other depths."
    depths = _compared(search)
    if depths.apart or depths.ahead:
        return _differing(search, depths)
    if not depths.level:
        return (
            f"{_freeze(best)}, as the best trial does. How sure that is cannot be said, because "
            "the mistakes of the other trials were not recorded."
        )
    cheapest = _cheapest(best, depths)
    alone = f", {HEAD}," if cheapest == 1 else ""
    line = (
        f"On {count(best.n)} validation examples the freeze depth makes no clear difference: "
        f"frozen shares of {_shares([best.share, *depths.level])} give about the same result. "
        f"A share of {shortly(cheapest)}{alone} is the cheapest to train"
    )
    behind = _head_behind(search)
    return f"{line}; the best is {_above(behind, HEAD)}." if behind else f"{line}."


HEAD = "the head alone"


def _heads_only(search: Search) -> str:
    tuned = [share for share in trials.by_depth(search) if share < 1]
    if not tuned:
        return "All trials train the head alone, so nothing is known about other depths."
    return (
        f"Train the head alone. With {_shares(tuned)} of the blocks frozen, the fine-tuned weights "
        "were never better than the head on validation."
    )


def _compared(search: Search) -> Depths:
    depths = Depths({}, {}, {})
    for share, trial in trials.by_depth(search).items():
        behind = trials.behind(search.best, trial)
        if behind and share != search.best.share:
            kind = "apart" if behind.low > 0 else "ahead" if behind.high < 0 else "level"
            getattr(depths, kind)[share] = behind
    return depths


def _differing(search: Search, depths: Depths) -> str:
    """Returns the sentences for depths that differ in their results."""
    best, lines = search.best, [_freeze(search.best)]
    if depths.apart:
        gained = _gained(search, depths)
        lines[0] += f": on {count(best.n)} validation examples this is {gained}"
    if depths.level:
        cheap, verb = _cheapest(best, depths), "is" if len(depths.level) == 1 else "are"
        lines.append(f"Freezing {_shares(depths.level)} {verb} not shown to be worse")
        if cheap != best.share and not best.is_head:
            them = " of them" if len(depths.level) > 1 else ""
            lines[-1] += f", and {shortly(cheap)} is the cheapest{them} to train"
    if depths.ahead:
        measured = named_scores(best.task)[search.metric][0].lower()
        lines.append(f"Freezing {_shares(depths.ahead)} got more right, but a worse {measured}")
    return ". ".join(lines) + "."


def _gained(search: Search, depths: Depths) -> str:
    """Returns by how much the best is better than the head alone, else than the nearest depth."""
    behind = _head_behind(search)
    if behind:
        return _above(behind, HEAD)
    share = min(depths.apart, key=lambda share: depths.apart[share].difference)
    return _above(depths.apart[share], f"a share of {shortly(share)}")


def _head_behind(search: Search) -> Behind | None:
    """Returns how far a trial that kept the head alone is behind the best, if it is shown to be."""
    heads = [trial for trial in trials.comparable(search) if trial.is_head]
    if not heads or search.best.is_head:
        return None
    behind = trials.behind(search.best, heads[0])
    return behind if behind and behind.low > 0 else None


def _above(behind: Behind, what: str) -> str:
    between = interval([behind.low, behind.high])
    return f"{points(behind.difference)} better than {what} (paired 95% interval {between})"


def _freeze(trial: Trial) -> str:
    if trial.is_head:
        return f"Train {HEAD}"
    return f"Freeze {_frozen(trial.share, trial.block)}"


def _frozen(share: float, block: str) -> str:
    if not share:
        return "nothing"
    return f"{shortly(share)} of the blocks" + (f" (up to {isolated(block)})" if block else "")


def _shares(shares: Iterable[float]) -> str:
    return listed([shortly(share) for share in sorted(shares)])


def _cheapest(best: Trial, depths: Depths) -> float:
    """Returns the largest frozen share not shown to be worse, which trains the fewest blocks."""
    return max([best.share, *depths.level])


def advice(run: RunFiles) -> Pairs:
    """Yields advice on the search, each with its reason, the most urgent first."""
    search = trials.searched(run)
    if not search:
        return
    yield from _on_diverged(search)
    if not run.counts_right:  # The other rules compare shares of right answers.
        return
    if len(search.done) < 2:
        return
    yield from _on_depth(search)
    if _has_more(search.best):
        yield from _on_rate(run, search)
        yield from _on_overlap(search)


def _has_more(best: Trial) -> bool:
    """Whether enough is left to gain for more trials to be worth it."""
    return 1 - best.accuracy >= NOTABLE


def knows_of_depth(run: RunFiles) -> bool:
    """Whether trials of several depths were run, which say more than the run's two candidates."""
    search = trials.searched(run)
    return search is not None and len(trials.by_depth(search)) > 1


def _on_diverged(search: Search) -> Pairs:
    diverged = [trial for trial in search.others if trial.record.status == DIVERGED]
    if not diverged:
        return
    line = f"{count(len(diverged))} of {counted(search.size, 'trial')} diverged"
    rates = [trial.rate for trial in diverged if trial.rate]
    if not rates:
        yield "Lower fit.learning_rate.", f"{line}."
        return
    lowest = "the lowest of them at a" if len(rates) > 1 else "at a"
    line += f", {lowest} learning rate of {shortly(min(rates))}"
    trained = [trial.rate for trial in search.done if trial.rate and trial.share != 1]
    if trained:
        line += f". The highest learning rate that produced a model is {shortly(max(trained))}"
    yield "Lower the upper end of fit.learning_rate in search.space.", f"{line}."


def _on_depth(search: Search) -> Pairs:
    best = search.best
    if best.share is None or best.is_head or len(trials.by_depth(search)) < 2:
        return
    depths = _compared(search)
    cheapest = _cheapest(best, depths)
    # Trials without a model, such as those that diverged, tried their depth too.
    every = [*trials.comparable(search), *trials.comparable(search, others=True)]
    lowest = min(trial.share for trial in every if trial.share is not None)
    if best.share == lowest > 0 and depths.apart and _has_more(best):
        yield (
            "Search again and unfreeze more layers: let fit.freeze in search.space go below "
            f"{shortly(best.share)}.",
            f"The best trial froze the smallest share that was tried. {depth(search)}",
        )
    elif cheapest > best.share and depths.level[cheapest].high < figures.DECIDABLE:
        cost = points(depths.level[cheapest].high)
        yield (
            f"In later runs, freeze more to train faster: --set fit.freeze={shortly(cheapest)}.",
            f"{depth(search)} Freezing more may still cost up to {cost}.",
        )


def _on_rate(run: RunFiles, search: Search) -> Pairs:
    best, ends = search.best, _range(run)
    if not ends or not best.rate or best.is_head:
        return
    low, high = ends
    place = math.log(best.rate / low) / math.log(high / low)
    if EDGE <= place <= 1 - EDGE:
        return
    # If higher rates diverge, going beyond the upper end will not help.
    if place > 0.5 and any(trial.record.status == DIVERGED for trial in search.others):
        return
    how, end = ("raise", "max") if place > 0.5 else ("lower", "min")
    inside = [t for t in search.level if t.rate and _is_inside(t.rate, low, high)]
    chance = (
        " It may also be chance: learning rates further inside are not shown to be worse."
        if inside
        else ""
    )
    yield (
        f"Widen fit.learning_rate in search.space: {how} its {end}.",
        f"The best learning rate, {shortly(best.rate)}, is at an end of the range {shortly(low)} "
        f"to {shortly(high)}, so a better one may lie beyond.{chance}",
    )


def _range(run: RunFiles) -> tuple[float, float] | None:
    """Returns the ends of the range of learning rates in `search.space`."""
    tree: Any = run.tree
    for key in ("search", "space", trials.RATE):
        tree = tree.get(key) if isinstance(tree, dict) else None
    tried = [tree.get("min"), tree.get("max")] if isinstance(tree, dict) else tree
    rates = [v for v in tried if is_number(v) and v > 0] if isinstance(tried, list) else []
    return (min(rates), max(rates)) if len(set(rates)) > 1 else None


def _is_inside(rate: float, low: float, high: float) -> bool:
    return EDGE <= math.log(rate / low) / math.log(high / low) <= 1 - EDGE


def _on_overlap(search: Search) -> Pairs:
    best = search.best
    # Trials with equal answers, such as two that kept the head alone, are one model.
    others = [trial for trial in search.level if trial.noted != best.noted]
    if not others or _widest(best, others) < NOTABLE:
        return
    yield (
        "Set more validation examples aside before you search again, with data.val.",
        f"{count(len(others))} of {counted(search.size, 'trial')} are not shown to be worse than "
        f"the best on {count(best.n)} validation examples (paired 95% intervals), so the choice "
        "between them is chance. More examples would tell them apart.",
    )


def _widest(best: Trial, others: Sequence[Trial]) -> float:
    return max(trials.behind(best, trial).high for trial in others)
