"""Draws conclusions from the trials of a search, as plain text.

The conclusions say which freeze depth is best, whether the depth matters, and what to search next.
"""

import math
from collections.abc import Collection, Iterable, Sequence
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
    """Compares the best trial of the search with the best trial of each other freeze depth.

    Keys are the depths, as shares of frozen blocks, 0..1. A value says how much worse the main
    metric of the best trial at this depth is than the main metric of the best trial of the search.
    The paired 95% interval of this difference decides which of the three dicts contains the depth.
    """

    worse: dict[float, Behind]  # shown to have a worse main metric than the best trial
    undecided: dict[float, Behind]  # not shown to be worse or better
    more_accurate: dict[float, Behind]  # shown to be better, but worse in the search's objective


def depth(search: Search) -> str:
    """Returns sentences that say which freeze depth to use and whether the depth matters.

    Returns "" if the depth of the best trial is unknown.
    """
    best = search.best
    if not best:
        return "No trial produced a model, so there is nothing to compare."
    if best.is_head and any(trial.record.left_out for trial in trials.comparable(search)):
        return (
            f"{TRAIN_HEAD}. On {counted(best.n, 'validation example')}, not even a model without "
            f"mistakes could be shown to be better than {HEAD}, so fine-tuning was not tried. More "
            "validation examples (data.val) could change that."
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
        return f"All trials freeze {frozen}, so nothing is known about other freeze depths."
    depths = _compared(search)
    if depths.worse or depths.more_accurate:
        return _differing(search, depths)
    if not depths.undecided:
        return (
            f"{_freeze(best)}, as the best trial does. It is unknown whether this trial is best by "
            "chance, because the mistakes of the other trials were not recorded."
        )
    cheapest = _cheapest(best, depths)
    only_head = " (only the head is trained)" if cheapest == 1 else ""
    line = (
        f"On {count(best.n)} validation examples, the freeze depth makes no clear difference: "
        f"frozen shares of {_shares([best.share, *depths.undecided])} of the blocks give about the "
        f"same result. A share of {shortly(cheapest)}{only_head} is the cheapest to train"
    )
    behind = _head_behind(search)
    return f"{line}; the best trial is {_above(behind, HEAD)}." if behind else f"{line}."


HEAD, TRAIN_HEAD = "the head-only model", "Train only the head"


def _heads_only(search: Search) -> str:
    tuned = [share for share in trials.by_depth(search) if share < 1]
    if not tuned:
        return "All trials train only the head, so nothing is known about other freeze depths."
    return (
        f"{TRAIN_HEAD}. Fine-tuning with frozen shares of {_shares(tuned)} of the blocks never "
        f"gave a better validation score than {HEAD}."
    )


def _compared(search: Search) -> Depths:
    depths = Depths({}, {}, {})
    for share, trial in trials.by_depth(search).items():
        behind = trials.behind(search.best, trial)
        if behind and share != search.best.share:
            if behind.low > 0:
                depths.worse[share] = behind
            elif behind.high < 0:
                depths.more_accurate[share] = behind
            else:
                depths.undecided[share] = behind
    return depths


def _differing(search: Search, depths: Depths) -> str:
    """Returns the sentences for the case that some freeze depths are clearly better than others."""
    best, lines = search.best, [_freeze(search.best)]
    if depths.worse:
        gained = _gained(search, depths)
        lines[0] += f": on {count(best.n)} validation examples, this is {gained}"
    if depths.undecided:
        cheap, one = _cheapest(best, depths), len(depths.undecided) == 1
        verb, than = "is" if one else "are", "than the best trial"
        lines.append(f"{_freezing(depths.undecided)} {verb} not shown to be worse {than}")
        if cheap != best.share and not best.is_head:
            of_them = "" if one else " of them"
            lines[-1] += f", and {shortly(cheap)} is the cheapest{of_them} to train"
    if depths.more_accurate:
        metric = named_scores(best.task)[search.metric][0].lower()
        shares = _freezing(depths.more_accurate)
        lines.append(f"{shares} gave more right answers than the best trial, but a worse {metric}")
    return ". ".join(lines) + "."


def _freezing(shares: Collection[float]) -> str:
    return f"{'A frozen share' if len(shares) == 1 else 'Frozen shares'} of {_shares(shares)}"


def _gained(search: Search, depths: Depths) -> str:
    """Returns by how much the best trial is better than the head-only model, as a phrase.

    If the head-only model is missing, or not shown to be worse, the phrase compares the best trial
    with the trial that has the best main metric among the freeze depths that are shown to be worse.
    """
    behind = _head_behind(search)
    if behind:
        return _above(behind, HEAD)
    share = min(depths.worse, key=lambda share: depths.worse[share].difference)
    return _above(depths.worse[share], f"a frozen share of {shortly(share)}")


def _head_behind(search: Search) -> Behind | None:
    """Returns how far the best head-only trial is behind the best trial.

    Returns None if the difference may be chance, if no trial is head-only, or if the best one is.
    """
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
        return TRAIN_HEAD
    return f"Freeze {_frozen(trial.share, trial.block)}"


def _frozen(share: float, block: str) -> str:
    if not share:
        return "nothing"
    return f"{shortly(share)} of the blocks" + (f" (up to {isolated(block)})" if block else "")


def _shares(shares: Iterable[float]) -> str:
    return listed([shortly(share) for share in sorted(shares)])


def _cheapest(best: Trial, depths: Depths) -> float:
    """Returns the largest share of frozen blocks not shown to give a worse model than the best one.

    This share is the cheapest to train, because it leaves the fewest blocks to train.
    """
    return max([best.share, *depths.undecided])


def advice(run: RunFiles) -> Pairs:
    """Yields advice on the search as pairs (what to do, why), the most urgent first."""
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
    """Returns True if the best trial makes so many mistakes that more trials are worth it."""
    return 1 - best.accuracy >= NOTABLE


def knows_of_depth(run: RunFiles) -> bool:
    """Returns True if the run searched several freeze depths.

    Its trials then say more about the depth than its two candidates, head-only and fine-tuned, do.
    """
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
    lowest = "its learning rate"
    if len(rates) > 1:
        lowest = "the lowest learning rate of the diverged trials"
    line += f"; {lowest} is {shortly(min(rates))}"
    trained = [trial.rate for trial in search.done if trial.rate and trial.share != 1]
    if trained:
        highest = shortly(max(trained))
        line += f". The highest learning rate of a trial that produced a model is {highest}"
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
    if best.share == lowest > 0 and depths.worse and _has_more(best):
        yield (
            "Search again and unfreeze more layers: let fit.freeze in search.space go below "
            f"{shortly(best.share)}.",
            f"The best trial froze the smallest share of blocks that was tried. {depth(search)}",
        )
    elif cheapest > best.share and depths.undecided[cheapest].high < figures.DECIDABLE:
        cost, freeze = points(depths.undecided[cheapest].high), shortly(cheapest)
        yield (
            f"In later runs, freeze more blocks to train faster: --set fit.freeze={freeze}.",
            f"{depth(search)} Freezing more blocks may still lower the accuracy by up to {cost}.",
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
        " Or this learning rate at the end of the range is best only by chance: learning rates "
        "further from the end are not shown to be worse."
        if inside
        else ""
    )
    yield (
        f"Widen fit.learning_rate in search.space: {how} its {end}.",
        f"The best learning rate, {shortly(best.rate)}, is at an end of the range {shortly(low)} "
        f"to {shortly(high)}, so a better one may lie outside the range.{chance}",
    )


def _range(run: RunFiles) -> tuple[float, float] | None:
    """Returns the lowest and the highest learning rate of `search.space`; None without a range."""
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
    # Trials with equal answers, such as two that kept the head-only model, are one model.
    others = [trial for trial in search.level if trial.answers != best.answers]
    if not others or _widest(best, others) < NOTABLE:
        return
    yield (
        "Set more validation examples aside (data.val) before you search again.",
        f"{count(len(others))} of {counted(search.size, 'trial')} are not shown to be worse than "
        f"the best trial on {count(best.n)} validation examples (paired 95% intervals), so the "
        "choice between these trials may be chance. More examples would show which is best.",
    )


def _widest(best: Trial, others: Sequence[Trial]) -> float:
    return max(trials.behind(best, trial).high for trial in others)
