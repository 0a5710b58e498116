"""What a run's numbers ask for, each with its reason: plain text, rules of thumb."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from tl_keras.report.advice import on_search
from tl_keras.report.advice.advice import Advice, is_chance
from tl_keras.report.advice.on_exports import on_exports, on_shipping
from tl_keras.report.advice.on_files import on_dropped, on_unread
from tl_keras.report.drawings.words import (
    count,
    counted,
    interval,
    is_number,
    isolated,
    listed,
    percent,
    points,
    quoted,
)
from tl_keras.report.facts import figures
from tl_keras.report.read import RunFiles

FEW = 200  # Test examples; below, the 95% interval at 90% is wider than 8 points.
WEAK = 3  # Weak answers that are named at most.
FILES = 3  # Files that are named at most.
NOTABLE = 0.01  # A share of the examples; less is not worth an advice.


def what_to_do(run: RunFiles) -> list[Advice]:
    """What the numbers ask for, the most urgent first; empty if nothing."""
    if not run.finished:
        again = Advice("Start the same command again.", "It goes on where it was stopped.")
        return [again, *on_quarantined(run)]
    return [advice for rule in RULES for advice in rule(run)]


def _on_chance(run: RunFiles) -> Iterable[Advice]:
    (split, scores), stands = figures.scored(run), figures.against_majority(run)
    if stands not in ("chance", "trade"):
        return
    name, share = figures.majority(run)
    on = f"{percent(share)} of these {count(scores.n)} {run.split_name(split)} examples"
    why = (
        f"Not shown to be right more often than always answering {quoted(name)}, which is right on "
        f"{on}"
    )
    if stands == "chance":
        look = "Check the labels, look at the mistakes below, then add examples."
        yield Advice("Do not ship this model.", f"{why}. {look}")
    else:
        yield Advice(
            f"Ship it only if finding other {run.answer_nouns[1]} is worth mistakes on "
            f"{quoted(name)}.",
            f"{why}; but it finds the others more often than chance would.",
        )


def _on_size(run: RunFiles) -> Iterable[Advice]:
    split, scores = figures.scored(run)
    if split == "val" and not run.holds_out:
        aside = figures.unread_test(run)
        yield Advice(
            "Measure it on the test split." if aside else "Set a test split aside.",
            f"{f'None of its {count(aside)} examples was read' if aside else 'There is none'}: "
            "validation chose this model, so its scores flatter it.",
        )
    right = figures.share_right(run, scores)
    if right is None or not 0 < scores.n < FEW:
        return
    n = scores.n
    # n for a normal interval of +-3 points; at 100% as if one in n + 2 were wrong.
    share = min(right, (n + 1) / (n + 2))
    needed = math.ceil(share * (1 - share) * (1.96 / 0.03) ** 2 / 10) * 10
    if needed > n:
        yield Advice(
            f"Measure on more examples: about {count(needed)}.",
            f"{n} {run.split_name(split)} examples are few: differences inside the interval may be "
            f"chance. {count(needed)} would bring it to ±3 points.",
        )


def _on_gap(run: RunFiles) -> Iterable[Advice]:
    val, test = run.result.val, run.result.test
    chosen, tested = (figures.share_right(run, scores) for scores in (val, test))
    if run.holds_out or chosen is None or tested is None:
        return
    high = test.interval[1]
    if not chosen > high or chosen - tested < NOTABLE:  # Nor where the interval is NaN.
        return
    overlap = val.interval[0] < high
    chance = "; it may also be chance, as the two intervals overlap" if overlap else ""
    yield Advice(
        "Go by the test score, not by validation's.",
        f"Validation ({percent(chosen)} of {count(val.n)}, 95% interval {interval(val.interval)}) "
        f"lies above the test interval ({interval(test.interval)}, of {count(test.n)}). Choices "
        "were made on validation, which flatters it, or the test examples differ from the rest"
        f"{chance}.",
    )


def _on_classes(run: RunFiles) -> Iterable[Advice]:
    split, scores = figures.scored(run)
    empty = [name for name, own in figures.classes(run).items() if not own.n]
    if empty:
        yield Advice(
            f"Add examples of {listed(list(map(quoted, empty)))}.",
            f"No {run.split_name(split)} examples of them: nothing is known about how they do.",
        )
    lowest, right = figures.weakest(run), figures.share_right(run, scores) or 0
    one, _ = run.answer_nouns
    if not lowest or is_chance(run):
        return
    weak = figures.weak(run)
    shown = weak[:WEAK] or [lowest]
    names = listed([quoted(rate.name) for rate in shown])
    if weak:
        yield Advice(f"Add examples of {names}, and look at their mistakes.", _weak(run, shown))
    else:
        yield Advice(
            f"Look at the mistakes of {names}, the weakest {one}.",
            f"{_weak(run, shown)} Of all examples {percent(right)} are right: that this {one} "
            "is weaker may be chance.",
        )


def _weak(run: RunFiles, rates: Sequence[figures.Rate]) -> str:
    parts = []
    for rate in rates:
        taken = [pair for pair in figures.pairs(run) if pair[0] == rate.name]
        partner = f", most often taken for {quoted(taken[0][1])}" if taken else ""
        parts.append(
            f"{quoted(rate.name)}: {percent(rate.recall.value)} of {count(rate.recall.n)} found "
            f"(95% interval {interval(rate.recall.interval)}){partner}."
        )
    return " ".join(parts)


def on_leaks(run: RunFiles) -> Iterable[Advice]:
    """Near-duplicates in two splits."""
    pairs = [p for p in run.findings.get("near_duplicates") or [] if _apart(p.get("splits"))]
    if not pairs:
        return
    why = (
        f"{counted(len(pairs), 'pair')} of nearly equal {run.plain_nouns[1]} "
        f"{'stands' if len(pairs) == 1 else 'stand'} in two splits: {_leak(run, pairs)}."
    )
    without = run.findings.get("without_near_duplicates") or {}
    if (right := figures.share_right(run, without)) is not None:
        why += (
            f" Without them {percent(right)} of {count(without.get('n'))} are right "
            f"(95% interval {interval(without.get('interval'))})."
        )
    yield Advice(
        "Keep near-duplicates in one split.",
        f"{why} A column group in a CSV file does it: data.source csv, one group a pair.",
    )


def _leak(run: RunFiles, pairs: Sequence[dict]) -> str:
    """What near-duplicates across splits do; `splits` of a pair stand in the order of SPLITS."""
    measured = figures.scored(run)[0] or "test"
    where = [p["splits"] for p in pairs]
    if any(splits[0] == "train" and splits[1] == measured for splits in where):
        return f"the model {'has' if run.finished else 'would have'} seen what it is measured on"
    if any(measured in splits for splits in where):
        return "the model was chosen on what it is measured on"
    pictures = run.plain_nouns[1]
    return f"the choice among models favours one that has learned {pictures} by heart"


def _apart(splits: object) -> bool:
    return isinstance(splits, list) and len(set(map(str, splits))) > 1


def on_twins(run: RunFiles) -> Iterable[Advice]:
    """Near-duplicates under two labels."""
    pairs = [p for p in run.findings.get("near_duplicates") or [] if _apart(p.get("labels"))]
    if pairs:
        files = [str(file) for pair in pairs for file in pair.get("files") or []]
        yield Advice(
            f"Check the labels of {counted(len(pairs), 'pair')} of nearly equal "
            f"{run.plain_nouns[1]}: {_files(files)}.",
            "The two of a pair stand under different labels: one may be wrong.",
        )


def on_suspects(run: RunFiles) -> Iterable[Advice]:
    """Labels that the data check doubts."""
    suspects = [str(entry.get("file")) for entry in run.findings.get("suspects") or []]
    if suspects:
        yield Advice(
            f"Check {counted(len(suspects), 'label')} that may be wrong: {_files(suspects)}.",
            "The rest of the data speaks for another label: see Data check.",
        )


def _on_mistakes(run: RunFiles) -> Iterable[Advice]:
    sure = [p for p in figures.wrong(run) if p.probability >= figures.SURE]
    if sure:
        yield Advice(
            f"Look at these files first: {_files([p.file for p in sure])}.",
            f"The model is at least {figures.SURE:.0%} sure and wrong, or their labels are.",
        )


def _files(names: Sequence[str]) -> str:
    more = len(names) - FILES
    return listed([*map(isolated, names[:FILES]), *([f"{more} more"] if more > 0 else [])])


def _on_depth(run: RunFiles) -> Iterable[Advice]:
    model, val = run.result.model, run.result.val
    tuned: Any = (model.candidates or {}).get("finetuned") if model else None
    between = figures.paired(tuned.won, tuned.lost, val.n) if tuned and val else None
    if not between or not run.counts_right or on_search.knows_of_depth(run):
        return
    # Where nothing is frozen there is nothing deeper.
    deeper = bool(model.cut)
    low, high = between
    main = run.main.replace("_", " ")
    gained = (
        f"the layers above the freeze depth changed validation {main} by "
        f"{points((tuned.won - tuned.lost) / val.n)} against the head alone (95% interval of the "
        f"difference {interval(between)}, {count(val.n)} examples)"
    )
    if low > 0 and deeper and not _is_done(run):
        yield Advice(
            f"Unfreeze deeper: {_deeper(model.freeze)}.",
            f"It pays here: training {gained}.",
        )
    elif high < 0:
        yield Advice(
            "Fine-tune less: raise fit.freeze or lower fit.learning_rate.",
            f"It hurts here: training {gained}.",
        )
    elif low <= 0 <= high < figures.DECIDABLE and deeper:
        yield Advice(
            "Do not expect more of unfreezing deeper.",
            f"The difference is noise: training {gained}. More examples would help either way.",
        )


def _on_search(run: RunFiles) -> Iterable[Advice]:
    return (Advice(do, why) for do, why in on_search.asked(run))


def _is_done(run: RunFiles) -> bool:
    """Whether validation has so little left to gain that training on is not worth the while."""
    right = figures.share_right(run, run.result.val)
    return right is not None and 1 - right < NOTABLE


def _deeper(share: float | str | None) -> str:
    if not is_number(share):
        return "lower fit.freeze"
    return f"--set fit.freeze={0 if share <= 0.25 else round(share / 2, 2):g}"


def _on_fit(run: RunFiles) -> Iterable[Advice]:
    losses: list[Any] = [epoch.get("val_loss") for epoch in figures.epochs(run)]
    if len(losses) < 3 or not all(map(is_number, losses)) or _is_done(run):
        return
    # The schedule ends flat; a last step of more than 1% says it ended too early.
    if losses[-1] < 0.99 * min(losses[:-1]):
        yield Advice(
            "Train longer: raise fit.epochs.",
            f"Validation loss was still falling at the last of {len(losses)} epochs.",
        )


def _on_calibration(run: RunFiles) -> Iterable[Advice]:
    split, scores = figures.scored(run)
    known = [p.probability for p in figures.predicted(run)[1] if is_number(p.probability)]
    if not known or not scores or not all(map(is_number, scores.interval)):
        return
    mean, (low, high) = sum(known) / len(known), scores.interval
    if low <= mean <= high:
        return
    yield Advice(
        f"Do not take its probabilities at their word: they are too {LEANS[mean > high]}.",
        f"On {count(len(known))} {run.split_name(split)} examples it is {percent(mean)} sure on "
        f"average and right on {percent(figures.share_right(run, scores))} (95% interval "
        f"{interval([low, high])}).",
    )


LEANS = {True: "high", False: "low"}


def on_quarantined(run: RunFiles) -> Iterable[Advice]:
    """Files left out."""
    n = len(figures.quarantined(run))
    if n:
        yield Advice(
            f"Mend or remove {counted(n, 'file')}.",
            f"{'It was' if n == 1 else 'They were'} left out as unusable: reasons under Data.",
        )


def _on_pretraining(run: RunFiles) -> Iterable[Advice]:
    if run.result.pipeline == "pretrain" and not is_chance(run):
        yield Advice(
            "Start later runs from this backbone: set model.weights to this run's folder.",
            f"Weights that have seen related {run.plain_nouns[1]} need fewer labelled ones.",
        )


RULES = (
    on_unread,
    _on_chance,
    on_leaks,
    on_twins,
    on_suspects,
    _on_mistakes,
    _on_classes,
    _on_size,
    _on_gap,
    _on_calibration,
    _on_depth,
    _on_search,
    _on_fit,
    on_quarantined,
    on_dropped,
    on_exports,
    on_shipping,
    _on_pretraining,
)
