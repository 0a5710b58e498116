"""Writes the headline of a run and the verdict on its model ("Good enough?"), as plain text."""

from dataclasses import dataclass

from tl_keras import tasks
from tl_keras.config.export import EXACT
from tl_keras.report.drawings.words import (
    count,
    counted,
    interval,
    is_number,
    listed,
    megabytes,
    milliseconds,
    number,
    one_in,
    percent,
    quoted,
)
from tl_keras.report.facts import confidence, figures, pretrained
from tl_keras.report.read import RunFiles
from tl_keras.run.result.exports import Exported
from tl_keras.run.result.part import Scores

FLOATS = (*EXACT, "float16")  # Formats whose activations are floats.
HALF = 0.5  # If a smaller share is right, most answers are wrong, and no class is singled out.
MINOR = 0.8  # Below this accuracy, or recall of a class, mistakes are not the exception.


def headline(run: RunFiles) -> str:
    """Returns one line: the main score, whether exports agree with the model, the file to ship."""
    if not run.finished:
        return "This run has not finished: it has no result.json yet"
    parts = [_score(run), _export_checks(figures.exports(run)), _shipped(run)]
    return "; ".join(filter(None, parts))


def _score(run: RunFiles) -> str:
    if learned := pretrained.headline(run):
        return learned
    split, scores = figures.scored(run)
    main = run.main
    if not scores or not is_number(scores[main]):
        return f"This run has finished, but its result.json has no {main.replace('_', ' ')}"
    on = f"{count(scores.n)} {run.split_name(split)} examples"
    written = percent if run.counts_right else number
    line = tasks.of(run.task, "words").line(written(scores[main]), on)
    pair = scores.interval
    between = interval(pair) if run.counts_right else " to ".join(map(number, pair))
    return f"{line} (95% interval {between})"


def _export_checks(exports: dict[str, Exported]) -> str:
    failed = [name for name, export in exports.items() if not figures.passed(export)]
    if failed:
        return f"{listed(failed)} outside tolerance"
    floats = any(name in exports for name in FLOATS)
    return "float exports agree with the model" if floats else ""


def _shipped(run: RunFiles) -> str:
    if run.result.shipped and run.result.shipped.reason:
        return f"nothing to ship: {run.result.shipped.reason}"
    pair = figures.to_ship(run)
    if not pair:
        return ""
    shipped, export = pair
    line = f"file to ship: {shipped.format}, {megabytes(export.bytes)}"
    median = figures.median(export)
    return f"{line}, {milliseconds(median)} per example" if median is not None else line


@dataclass(frozen=True)
class Verdict:
    """The answer to the question "Good enough?", with its reasons."""

    answer: str  # whether the model is good enough, as one sentence
    why: list[str]  # sentences with the figures behind the answer
    refuses: bool  # whether the answer is that the model cannot be called good enough yet


def verdict(run: RunFiles) -> Verdict | None:
    """Returns the verdict on whether the model is good enough; None if nothing was measured."""
    scores = figures.scored(run)[1]
    if figures.share_right(run, scores) is None or not all(map(is_number, scores.interval)):
        return None
    why = [_expected(run), *_chance(run), *_weakest(run), *_sure(run), ABOUT_INTERVALS]
    refused = _refused(run, scores)
    return Verdict(refused or _answer(run, scores), why, bool(refused))


ABOUT_INTERVALS = (
    "A 95% interval is the range in which the true value most likely lies; more examples make it "
    "narrower."
)


def _refused(run: RunFiles, scores: Scores) -> str:
    """Returns the sentence that says why the model cannot be called good enough yet.

    Returns "" if the figures suffice for the user to decide.
    """
    compared, (low, high) = figures.against_majority(run), scores.interval
    name, share = figures.majority(run) or ("", 0)
    if compared == "chance":
        return f"No: the model is not shown to be better than always answering {quoted(name)}."
    if compared != "open" and high - low <= figures.WIDE:
        return ""
    if compared == "trade" or high >= MINOR:  # The interval covers good models and bad ones.
        return "Unknown: the model was measured on too few examples to tell."
    best = f"Not yet: at best, {100 * high:.0f} of 100 answers are right (by the 95% interval)."
    if not name:
        return best
    constant = f"always answering {quoted(name)}, which is right on {100 * share:.0f} of 100"
    if compared == "open":
        return f"{best} The model may be no better than {constant}."
    return f"{best} But the model is better than {constant}."


def _answer(run: RunFiles, scores: Scores) -> str:
    """Returns the sentence that says under which condition the model is good enough."""
    right, many = figures.share_right(run, scores), run.answer_nouns[1]
    compared = figures.against_majority(run)
    largest = quoted((figures.majority(run) or [""])[0])
    if compared == "trade":
        return (
            "It depends: the model is not shown to be right more often than always answering "
            f"{largest}, but it recognises other {many} too."
        )
    missed = [rate for rate in figures.weak(run) if rate.recall.value < MINOR]
    if missed and right >= HALF:
        name = quoted(missed[0].name)
        return f"Not for all {many}: the model recognises too few examples of {name}."
    if right == 1:
        return f"Yes, as far as {count(scores.n)} examples can tell: every answer was right."
    mistakes = one_in(1 - right)
    if right >= MINOR:
        return f"Yes, if {mistakes} does no harm."
    return f"Only if {mistakes} does no harm."


def _expected(run: RunFiles) -> str:
    split, scores = figures.scored(run)
    low, high = (100 * value for value in scores.interval)
    return (
        f"On average, expect right answers on {low:.0f} to {high:.0f} of 100 "
        f"{run.plain_nouns[1]} like the {count(scores.n)} {run.split_name(split)} examples on "
        "which this was measured (95% interval)."
    )


def _chance(run: RunFiles) -> list[str]:
    largest = figures.majority(run)
    if not largest:
        return []
    name, share = largest
    return [
        f"On the same examples, always answering {quoted(name)}, the largest "
        f"{run.answer_nouns[0]}, would be right {100 * share:.0f} times in 100."
    ]


def _weakest(run: RunFiles) -> list[str]:
    rate = figures.weakest(run)
    if not rate:
        return []
    recall = rate.recall
    return [
        f"The weakest {run.answer_nouns[0]} is {quoted(rate.name)}: {count(recall.right)} of its "
        f"{counted(recall.n, 'example')} recognised, {percent(recall.value)} "
        f"(95% interval {interval(recall.interval)})."
    ]


def _sure(run: RunFiles) -> list[str]:
    sure, all_of_them = confidence.sure(run), len(figures.predicted(run)[1])
    if not sure.n:
        return []
    of_folds = figures.is_of_folds(run, figures.scored(run)[0])
    models = "the models of the folds give their" if of_folds else "the model gives its"
    return [
        f"On {count(sure.n)} of {counted(all_of_them, 'example')}, {models} answer a probability "
        f"of at least {confidence.SURE:.0%}; {percent(sure.value)} of these answers are right "
        f"(95% interval {interval(sure.interval)})."
    ]
