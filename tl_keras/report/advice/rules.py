"""Writes the advice on a run as plain text, by rules of thumb."""

from collections.abc import Iterable, Sequence
from typing import Any

from tl_keras.report.advice import on_improving, on_search
from tl_keras.report.advice.advice import Advice, is_chance
from tl_keras.report.advice.on_exports import on_exports, on_nothing_to_ship, on_shipping
from tl_keras.report.advice.on_files import on_dropped, on_unread
from tl_keras.report.advice.on_findings import (
    named_files,
    on_leaks,
    on_quarantined,
    on_suspects,
    on_twins,
)
from tl_keras.report.advice.on_improving import on_labels
from tl_keras.report.drawings.words import (
    count,
    counted,
    interval,
    is_number,
    listed,
    percent,
    points,
    quoted,
)
from tl_keras.report.facts import confidence, figures, label_doubts, teachers
from tl_keras.report.read import RunFiles

FEW = 200  # test examples; with fewer, the 95% interval at 90% is wider than 8 points
WEAK = 3  # weak classes that are named at most
NOTABLE = 0.01  # share of the examples; less is not worth advice


def what_to_do(run: RunFiles) -> list[Advice]:
    """Returns the advice on a run, the most urgent first; an empty list if there is none."""
    if not run.finished:
        again = Advice("Start the same command again.", "The run resumes where it was stopped.")
        return [again, *on_quarantined(run)]
    return [advice for rule in RULES for advice in rule(run)]


def _on_chance(run: RunFiles) -> Iterable[Advice]:
    (split, scores), compared = figures.scored(run), figures.against_majority(run)
    if compared not in ("chance", "trade"):
        return
    name, share = figures.majority(run)
    on = f"{percent(share)} of the {count(scores.n)} {run.split_name(split)} examples"
    why = (
        "The model is not shown to be right more often than always answering "
        f"{quoted(name)}, which is right on {on}"
    )
    if compared == "chance":
        look = "Check the labels, look at the model's mistakes, then add examples."
        yield Advice("Do not ship this model.", f"{why}. {look}")
    else:
        many = run.answer_nouns[1]
        yield Advice(
            f"Ship this model only if mistakes on {quoted(name)} are a fair price for recognising "
            f"other {many}.",
            f"{why}. But the model recognises the other {many} more often than guessing would.",
        )


def _on_teacher(run: RunFiles) -> Iterable[Advice]:
    if doubt := teachers.doubt(run):
        do = "Label more examples before you train student models on the labels of a teacher model."
        yield Advice(do, doubt)


def _on_size(run: RunFiles) -> Iterable[Advice]:
    split, scores = figures.scored(run)
    if split == "val" and not run.holds_out:
        aside = figures.unread_test(run)
        test = "There is no test split."
        if aside:
            test = f"The search used none of the {counted(aside, 'test example')}."
        yield Advice(
            "Measure the model on the test split." if aside else "Set a test split aside.",
            f"{test} The model was chosen by its validation scores, so these are too good.",
        )
    right = figures.share_right(run, scores)
    if right is None or not 0 < scores.n < FEW:
        return
    if on_improving.cross_validate_line(run) or (
        figures.is_of_folds(run, split) and list(on_labels(run))
    ):
        return  # That advice also says on how many examples to measure.
    n, needed = scores.n, on_improving.needed(right, scores.n)
    if needed > n:
        yield Advice(
            f"Measure on more examples: about {count(needed)} in all.",
            f"With only {counted(n, f'{run.split_name(split)} example')}, the 95% interval of the "
            f"score is wide. {count(needed)} examples would narrow it to ±3 points.",
        )


def _on_gap(run: RunFiles) -> Iterable[Advice]:
    val, test = run.result.val, run.result.test
    chosen, tested = (figures.share_right(run, scores) for scores in (val, test))
    if run.holds_out or chosen is None or tested is None:
        return
    high = test.interval[1]
    if not chosen > high or chosen - tested < NOTABLE:  # `not`: the interval may be NaN.
        return
    overlap = val.interval[0] < high
    chance = ""
    if overlap:
        chance = " The difference may also be chance, because the two 95% intervals overlap."
    yield Advice(
        "Trust the test score, not the validation score.",
        f"The validation score is {percent(chosen)}, measured on {counted(val.n, 'example')} (95% "
        f"interval {interval(val.interval)}). This is above the 95% interval of the test score, "
        f"{interval(test.interval)}, measured on {counted(test.n, 'example')}. Either the "
        "validation score is too good, because the model was chosen by its validation score, or "
        f"the test examples differ from the validation examples.{chance}",
    )


def _on_classes(run: RunFiles) -> Iterable[Advice]:
    split, scores = figures.scored(run)
    one, many = run.answer_nouns
    empty = [name for name, record in figures.classes(run).items() if not record.n]
    if empty:
        these = f"this {one}" if len(empty) == 1 else f"these {many}"
        yield Advice(
            f"Add examples of {listed(list(map(quoted, empty)))}.",
            f"There are no {run.split_name(split)} examples of {these}, so nothing is known about "
            f"how well {these} {'is' if len(empty) == 1 else 'are'} recognised.",
        )
    lowest, right = figures.weakest(run), figures.share_right(run, scores) or 0
    if not lowest or is_chance(run):
        return
    weak = figures.weak(run)
    shown = weak[:WEAK] or [lowest]
    names = listed([quoted(rate.name) for rate in shown])
    if weak:
        do = f"Add examples of {names}, and look at the model's mistakes on them."
        yield Advice(do, _weak(run, shown))
    else:
        yield Advice(
            f"Look at the mistakes on {names}, the {one} with the lowest recall.",
            f"{_weak(run, shown)} Over all {many}, the model is right on {percent(right)}. This "
            "difference may be chance.",
        )


def _weak(run: RunFiles, rates: Sequence[figures.Rate]) -> str:
    parts = []
    for rate in rates:
        mistaken = [pair for pair in figures.pairs(run) if pair[0] == rate.name]
        partner = f", most often mistaken for {quoted(mistaken[0][1])}" if mistaken else ""
        parts.append(
            f"{quoted(rate.name)}: {percent(rate.recall.value)} of "
            f"{counted(rate.recall.n, 'example')} recognised "
            f"(95% interval {interval(rate.recall.interval)}){partner}."
        )
    return " ".join(parts)


def _on_mistakes(run: RunFiles) -> Iterable[Advice]:
    doubted = {str(entry.get("file")) for entry in label_doubts.listed(run.findings)}
    every = [p for p in confidence.wrong(run) if p.probability >= confidence.SURE]
    sure = [p for p in every if p.file not in doubted]  # `on_suspects` names the others.
    if sure:
        yield Advice(
            f"Look at the most confident mistakes: {named_files([p.file for p in sure])}.",
            "The model gives each of these wrong answers a probability of at least "
            f"{confidence.SURE:.0%}, so some of the labels may be wrong.",
        )


def _on_depth(run: RunFiles) -> Iterable[Advice]:
    model, val = run.result.model, run.result.val
    tuned: Any = (model.candidates or {}).get("finetuned") if model else None
    between = figures.paired(tuned.won, tuned.lost, val.n) if tuned and val else None
    if not between or not run.counts_right or on_search.knows_of_depth(run):
        return
    deeper = bool(model.cut)  # Without a cut nothing is frozen, and nothing is left to unfreeze.
    low, high = between
    main = run.main.replace("_", " ")
    gained = (
        f"changed validation {main} by {points((tuned.won - tuned.lost) / val.n)} compared with "
        f"the head-only model (95% interval {interval(between)}, {count(val.n)} examples)"
    )
    if low > 0 and deeper and not _is_done(run):
        yield Advice(
            f"Unfreeze more layers: {_deeper(model.freeze)}.",
            f"Fine-tuning helps here: it {gained}.",
        )
    elif high < 0:
        yield Advice(
            "Fine-tune less: raise fit.freeze or lower fit.learning_rate.",
            f"Fine-tuning hurts here: it {gained}.",
        )
    elif low <= 0 <= high < figures.DECIDABLE and deeper:
        yield Advice(
            "Do not expect a gain from unfreezing more layers.",
            f"Fine-tuning makes no clear difference here: it {gained}. More labelled examples help "
            "whether you fine-tune or not.",
        )


def _on_search(run: RunFiles) -> Iterable[Advice]:
    return (Advice(do, why) for do, why in on_search.advice(run))


def _is_done(run: RunFiles) -> bool:
    """Returns True if so few validation answers are wrong that more training is not worth it."""
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
    # The schedule ends flat; a drop of more than 1% in the last epoch means it ended too early.
    if losses[-1] < 0.99 * min(losses[:-1]):
        yield Advice(
            "Train longer: raise fit.epochs.",
            f"Validation loss was still falling in the last of {len(losses)} epochs.",
        )


def _on_calibration(run: RunFiles) -> Iterable[Advice]:
    split, scores = figures.scored(run)
    known = [p.probability for p in figures.predicted(run)[1] if is_number(p.probability)]
    if not known or not scores or not all(map(is_number, scores.interval)):
        return
    # The final model of folds is calibrated once more, on these examples.
    if figures.is_of_folds(run, split) and run.result.chosen and run.result.chosen.correction:
        return
    mean, (low, high) = sum(known) / len(known), scores.interval
    if low <= mean <= high:
        return
    yield Advice(
        f"Do not take the model's probabilities literally: they are too {LEANS[mean > high]}.",
        f"On {counted(len(known), f'{run.split_name(split)} example')}, the model gives its answer "
        f"a probability of {percent(mean)} on average, but is right on "
        f"{percent(figures.share_right(run, scores))} (95% interval {interval([low, high])}).",
    )


LEANS = {True: "high", False: "low"}


def _on_pretraining(run: RunFiles) -> Iterable[Advice]:
    if run.result.pipeline == "pretrain" and not is_chance(run):
        pictures = run.plain_nouns[1]
        yield Advice(
            "Start later runs from this backbone: set model.weights to this run's folder.",
            f"Weights pretrained on related {pictures} need fewer labelled {pictures}.",
        )


RULES = (
    on_unread,
    _on_chance,
    on_nothing_to_ship,
    _on_teacher,
    on_leaks,
    on_twins,
    on_improving.on_guessing,
    on_improving.on_fine_tuning,
    on_improving.on_measuring,
    on_labels,
    on_suspects,
    _on_mistakes,
    _on_classes,
    _on_size,
    _on_gap,
    _on_calibration,
    _on_depth,
    _on_search,
    _on_fit,
    on_improving.on_models,
    on_quarantined,
    on_dropped,
    on_exports,
    on_shipping,
    _on_pretraining,
)
