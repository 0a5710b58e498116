"""What a search's trials say and ask for: which depth, whether it matters, what to search next."""

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

EDGE = 0.1  # of a range's logarithm: so near to an end, the best may lie beyond it
NOTABLE = 0.01  # Accuracy; less is worth neither examples nor trials.

Asked = Iterable[tuple[str, str]]  # What to do, and why.


@dataclass(frozen=True)
class Depths:
    """The best trials of the other depths, against the best of all: by paired 95% intervals."""

    apart: dict[float, Behind]  # shown to be worse, by share
    level: dict[float, Behind]
    ahead: dict[float, Behind]  # more accurate: it was not accuracy that decided


def depth(search: Search) -> str:
    """A sentence: which depth, and whether it matters. Empty where none is known."""
    best = search.best
    if not best:
        return "No trial came to a model: there is nothing to compare."
    if best.is_head and any(trial.record.left_out for trial in trials.comparable(search)):
        return (
            f"Train {HEAD}: it is so good on the validation examples that no fine-tuning could be "
            "chosen over it, so none was tried. With more of them set aside, as by data.val, it "
            "might be."
        )
    if len(search.done) == 1:
        return "One trial came to a model: there is nothing to compare it with."
    if best.share is None:
        return ""
    shares = list(trials.by_depth(search))
    if all(trial.is_head for trial in trials.comparable(search)):
        return _heads_only(search)
    if len(shares) == 1:
        frozen = _frozen(best.share, best.block)
        return f"All trials freeze {frozen}: nothing is known of other depths."
    found = _compared(search)
    if found.apart or found.ahead:
        return _differing(search, found)
    if not found.level:
        return (
            f"{_freeze(best)}, as the best trial does: nobody noted which examples the others "
            "have wrong, so nothing is known of how sure that is."
        )
    line = (
        f"The depth does not matter here as far as {count(best.n)} validation examples can tell: "
        f"{_shares([best.share, *found.level])} cannot be told apart; "
        f"{shortly(_cheapest(best, found))} is the cheapest to train"
    )
    behind = _head_behind(search)
    return f"{line}, and the best is {_above(behind, HEAD)}." if behind else f"{line}."


HEAD = "the head alone"


def _heads_only(search: Search) -> str:
    tuned = [share for share in trials.by_depth(search) if share < 1]
    if not tuned:
        return "All trials train the head alone: nothing is known of other depths."
    return (
        f"Train the head alone: with {_shares(tuned)} of the blocks frozen, validation never chose "
        "the fine-tuned weights over it."
    )


def _compared(search: Search) -> Depths:
    found = Depths({}, {}, {})
    for share, trial in trials.by_depth(search).items():
        behind = trials.behind(search.best, trial)
        if behind and share != search.best.share:
            kind = "apart" if behind.low > 0 else "ahead" if behind.high < 0 else "level"
            getattr(found, kind)[share] = behind
    return found


def _differing(search: Search, found: Depths) -> str:
    """The sentence where depths can be told apart."""
    best, line, others = search.best, _freeze(search.best), []
    if found.apart:
        line += f": on {count(best.n)} validation examples it is {_gained(search, found)}"
    if found.level:
        cheap = _cheapest(best, found)
        others.append(f"{_shares(found.level)} cannot be told apart from it")
        if cheap != best.share and not best.is_head:
            them = " of them" if len(found.level) > 1 else ""
            others[-1] += f", and {shortly(cheap)} is the cheapest{them} to train"
    if found.ahead:
        measured = named_scores(best.task)[search.metric][0].lower()
        others.append(f"{_shares(found.ahead)} had more right, but a worse {measured}")
    return "; ".join([line, *others]) + "."


def _gained(search: Search, found: Depths) -> str:
    """By how much the best is better: than the head alone, else than the nearest depth."""
    behind = _head_behind(search)
    if behind:
        return _above(behind, HEAD)
    share = min(found.apart, key=lambda share: found.apart[share].difference)
    return _above(found.apart[share], f"a share of {shortly(share)}")


def _head_behind(search: Search) -> Behind | None:
    """How far the head alone lies behind, if it is shown to: where it was kept it has a trial."""
    heads = [trial for trial in trials.comparable(search) if trial.is_head]
    if not heads or search.best.is_head:
        return None
    behind = trials.behind(search.best, heads[0])
    return behind if behind and behind.low > 0 else None


def _above(behind: Behind, what: str) -> str:
    between = interval([behind.low, behind.high])
    return f"{points(behind.difference)} above {what} (95% interval, paired, {between})"


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


def _cheapest(best: Trial, found: Depths) -> float:
    """Of the depths that are as good as any, the one of which the fewest blocks are trained."""
    return max([best.share, *found.level])


def asked(run: RunFiles) -> Asked:
    """What the trials ask for, each with its reason: plain texts, the most urgent first."""
    search = trials.searched(run)
    if not search:
        return
    yield from _on_diverged(search)
    if not run.counts_right:  # What follows is of shares of right answers.
        return
    if len(search.done) < 2:
        return
    yield from _on_depth(search)
    if _has_more(search.best):
        yield from _on_rate(run, search)
        yield from _on_overlap(search)


def _has_more(best: Trial) -> bool:
    """Whether there is so much left to gain that searching on is worth the while."""
    return 1 - best.accuracy >= NOTABLE


def knows_of_depth(run: RunFiles) -> bool:
    """Whether trials of several depths say more of it than the run's own two candidates can."""
    search = trials.searched(run)
    return search is not None and len(trials.by_depth(search)) > 1


def _on_diverged(search: Search) -> Asked:
    lost = [trial for trial in search.others if trial.record.status == DIVERGED]
    if not lost:
        return
    line = f"{count(len(lost))} of {counted(search.size, 'trial')} diverged"
    rates = [trial.rate for trial in lost if trial.rate]
    if not rates:
        yield "Lower fit.learning_rate.", f"{line}."
        return
    line += f", {'the lowest ' if len(rates) > 1 else ''}at a rate of {shortly(min(rates))}"
    held = [trial.rate for trial in search.done if trial.rate and trial.share != 1]
    if held:
        line += f"; the highest rate that came to something is {shortly(max(held))}"
    yield "Lower the upper end of fit.learning_rate in search.space.", f"{line}."


def _on_depth(search: Search) -> Asked:
    best = search.best
    if best.share is None or best.is_head or len(trials.by_depth(search)) < 2:
        return
    found = _compared(search)
    cheapest = _cheapest(best, found)
    # One that diverged was tried too.
    every = [*trials.comparable(search), *trials.comparable(search, others=True)]
    shallowest = min(trial.share for trial in every if trial.share is not None)
    if best.share == shallowest > 0 and found.apart and _has_more(best):
        yield (
            "Search on, unfreezing deeper: let fit.freeze in search.space go under "
            f"{shortly(best.share)}.",
            f"The best depth is the shallowest that was tried. {depth(search)}",
        )
    elif cheapest > best.share and found.level[cheapest].high < figures.DECIDABLE:
        yield (
            f"In later runs, freeze more to train faster: --set fit.freeze={shortly(cheapest)}.",
            f"{depth(search)} It may cost up to {points(found.level[cheapest].high)} all the same.",
        )


def _on_rate(run: RunFiles, search: Search) -> Asked:
    best, ends = search.best, _range(run)
    if not ends or not best.rate or best.is_head:
        return
    low, high = ends
    place = math.log(best.rate / low) / math.log(high / low)
    if EDGE <= place <= 1 - EDGE:
        return
    # Where higher rates diverge there is nothing to be found.
    if place > 0.5 and any(trial.record.status == DIVERGED for trial in search.others):
        return
    how, end = ("raise", "max") if place > 0.5 else ("lower", "min")
    inside = [t for t in search.level if t.rate and _is_inside(t.rate, low, high)]
    chance = " Rates inside it cannot be told from the best: this may be chance." if inside else ""
    yield (
        f"Widen fit.learning_rate in search.space: {how} its {end}.",
        f"The best rate, {shortly(best.rate)}, lies at an end of {shortly(low)} to "
        f"{shortly(high)}: there may be better ones beyond.{chance}",
    )


def _range(run: RunFiles) -> tuple[float, float] | None:
    """The ends of the learning rates that were searched, by the config."""
    tree: Any = run.tree
    for key in ("search", "space", trials.RATE):
        tree = tree.get(key) if isinstance(tree, dict) else None
    tried = [tree.get("min"), tree.get("max")] if isinstance(tree, dict) else tree
    rates = [v for v in tried if is_number(v) and v > 0] if isinstance(tried, list) else []
    return (min(rates), max(rates)) if len(set(rates)) > 1 else None


def _is_inside(rate: float, low: float, high: float) -> bool:
    return EDGE <= math.log(rate / low) / math.log(high / low) <= 1 - EDGE


def _on_overlap(search: Search) -> Asked:
    best = search.best
    # Equal answers are one model under two names, as of two trials that kept the head alone.
    others = [trial for trial in search.level if trial.noted != best.noted]
    if not others or _widest(best, others) < NOTABLE:
        return
    yield (
        "Set more validation examples aside before you search on, as by data.val.",
        f"{count(len(others))} of {counted(search.size, 'trial')} cannot be told from the best on "
        f"{count(best.n)} validation examples (95% intervals, paired): the choice among them is "
        "noise, more examples would tell them apart.",
    )


def _widest(best: Trial, others: Sequence[Trial]) -> float:
    return max(trials.behind(best, trial).high for trial in others)
