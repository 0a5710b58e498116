"""The run's result in one line, and whether the model is good enough: plain text."""

from dataclasses import dataclass

from tl_keras import tasks
from tl_keras.report.drawings.words import (
    count,
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
from tl_keras.report.facts import figures
from tl_keras.report.read import RunFiles
from tl_keras.run.result.exports import Exported
from tl_keras.run.result.part import Scores

FLOATS = ("saved_model", "float32", "float16")
HALF = 0.5  # Share of right answers under which none needs to be named: most are wrong.
# Share of right answers, or recall of one of them, under which mistakes are no exception.
MINOR = 0.8


def headline(run: RunFiles) -> str:
    """The run's result as one line."""
    if not run.finished:
        return "This run has not finished: it has no result.json yet"
    line = ", ".join([_score_line(run), *_export_line(figures.exports(run))])
    shipped = _shipped(run)
    return f"{line}; {shipped}" if shipped else line


def _score_line(run: RunFiles) -> str:
    split, scores = figures.scored(run)
    main = run.main
    if not scores or not is_number(scores[main]):
        return f"Finished; no {main.replace('_', ' ')} was recorded"
    on = f"{count(scores.n)} {run.split_name(split)} examples"
    written = percent if run.counts_right else number
    line = tasks.of(run.task, "words").line(written(scores[main]), on)
    pair = scores.interval
    between = interval(pair) if run.counts_right else " to ".join(map(number, pair))
    return f"{line} (95% interval {between})"


def _export_line(exports: dict[str, Exported]) -> list[str]:
    failed = [name for name, export in exports.items() if not figures.passed(export)]
    if failed:
        return [f"{listed(failed)} outside tolerance"]
    return ["float exports agree"] if any(name in exports for name in FLOATS) else []


def _shipped(run: RunFiles) -> str:
    found = figures.to_ship(run)
    if not found:
        return ""
    shipped, export = found
    line = f"to ship: {shipped.format}, {megabytes(export.bytes)}"
    median = figures.median(export)
    return f"{line}, {milliseconds(median)} an example" if median is not None else line


@dataclass(frozen=True)
class Verdict:
    """Whether the model is good enough, in a sentence, and the figures behind it."""

    answer: str
    why: list[str]


def verdict(run: RunFiles) -> Verdict | None:
    """A judgement for who has to decide; None where nothing was measured."""
    scores = figures.scored(run)[1]
    if figures.share_right(run, scores) is None or not all(map(is_number, scores.interval)):
        return None
    why = [_expected(run), *_chance(run), *_weakest(run), *_sure(run)]
    return Verdict(_answer(run, scores), why)


def _answer(run: RunFiles, scores: Scores) -> str:
    right, (low, high) = figures.share_right(run, scores), scores.interval
    many = run.answer_nouns[1]
    stands = figures.against_majority(run)
    if stands == "open" or (stands != "chance" and high - low > figures.WIDE):
        return "Nobody can say yet: too few examples were measured."
    largest = quoted((figures.majority(run) or [""])[0])
    if stands == "chance":
        return f"No: it is not shown to be better than always answering {largest}."
    if stands == "trade":
        return (
            f"It depends: it is not shown to be right more often than always answering {largest}, "
            f"but it finds other {many} too."
        )
    missed = [rate for rate in figures.weak(run) if rate.recall.value < MINOR]
    if missed and right >= HALF:
        return f"Not for all {many}: it finds too few of {quoted(missed[0].name)}."
    if right == 1:
        return f"Yes, as far as {count(scores.n)} examples can tell: none was wrong."
    only = "Yes, where" if right >= MINOR else "Only where"
    return f"{only} {one_in(1 - right)} does no harm."


def _expected(run: RunFiles) -> str:
    split, scores = figures.scored(run)
    low, high = (100 * value for value in scores.interval)
    return (
        f"In the long run it is right on {low:.0f} to {high:.0f} of 100 {run.plain_nouns[1]} like "
        f"these (95% interval, measured on {count(scores.n)} {run.split_name(split)} "
        "examples)."
    )


def _chance(run: RunFiles) -> list[str]:
    largest = figures.majority(run)
    if not largest:
        return []
    name, share = largest
    return [
        f"Always answering {quoted(name)}, the largest {run.answer_nouns[0]}, would "
        f"get {100 * share:.0f} of 100 right, on the same examples."
    ]


def _weakest(run: RunFiles) -> list[str]:
    rate = figures.weakest(run)
    if not rate:
        return []
    found = rate.recall
    return [
        f"The weakest {run.answer_nouns[0]} is {quoted(rate.name)}: {count(found.right)} of "
        f"{count(found.n)} found, {percent(found.value)} (95% interval {interval(found.interval)})."
    ]


def _sure(run: RunFiles) -> list[str]:
    sure, all_of_them = figures.sure(run), len(figures.predicted(run)[1])
    if not sure.n:
        return []
    return [
        f"Where it is at least {figures.SURE:.0%} sure, on {count(sure.n)} of "
        f"{count(all_of_them)} examples, {percent(sure.value)} are right "
        f"(95% interval {interval(sure.interval)})."
    ]
