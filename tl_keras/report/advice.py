"""The run's result in one line, and what its numbers ask for: plain text, rules of thumb."""

import math
from collections.abc import Iterable
from pathlib import PurePath

from tl_keras.report import figures
from tl_keras.report.read import Run
from tl_keras.report.words import (
    count,
    counted,
    interval,
    is_number,
    listed,
    megabytes,
    percent,
    split_name,
)

FEW = 200  # Test examples; below, the 95% interval at 90% is wider than 8 points.
FLOATS = ("saved_model", "float32", "float16")


def headline(run: Run) -> str:
    """The run's result as one line."""
    if not run.result:
        return "This run has not finished: it has no result.json yet"
    exports = figures.exports(run)
    line = ", ".join([_score_line(run), *_export_line(exports)])
    smallest = _smallest(exports)
    return f"{line}; {smallest}" if smallest else line


def _score_line(run: Run) -> str:
    split, scores = figures.scored(run)
    if not is_number(scores.get("accuracy")):
        return "Finished; no accuracy was recorded"
    on = f"{count(scores.get('n'))} {split_name(split)} examples"
    line = f"{percent(scores['accuracy'])} of {on} right"
    if not scores.get("interval"):
        return line
    return f"{line} (95% interval {interval(scores['interval'])})"


def _export_line(exports: dict[str, dict]) -> list[str]:
    failed = [name for name, export in exports.items() if not figures.passed(export)]
    if failed:
        return [f"{listed(failed)} outside tolerance"]
    checked = [name for name in FLOATS if exports.get(name, {}).get("status") == "ok"]
    return ["float exports agree"] if checked else []


def _smallest(exports: dict[str, dict]) -> str:
    sized = [e for e in exports.values() if is_number(e.get("bytes")) and figures.passed(e)]
    if not sized:
        return ""
    smallest = min(sized, key=lambda export: export["bytes"])
    name = PurePath(str(smallest.get("path") or "file")).name
    line = f"smallest file {name}, {megabytes(smallest['bytes'])}"
    median = (smallest.get("latency_ms") or {}).get("median")
    return f"{line}, {median:.1f} ms an example" if is_number(median) else line


def what_to_do(run: Run) -> list[str]:
    """What the numbers ask for, the most urgent first; empty if nothing."""
    if not run.result:
        return [*_on_data(run), "Start the same command again: it goes on where it was stopped."]
    rules = (
        _on_chance,
        _on_size,
        _on_gap,
        _on_classes,
        _on_fit,
        _on_data,
        _on_exports,
        _on_pretraining,
    )
    return [line for rule in rules for line in rule(run)]


def _on_chance(run: Run) -> Iterable[str]:
    split, scores = figures.scored(run)
    sizes = {k: v["n"] for k, v in (scores.get("classes") or {}).items() if is_number(v.get("n"))}
    low = (scores.get("interval") or [None])[0]
    if not is_number(low) or not sum(sizes.values()):
        return
    name = max(sizes, key=sizes.get)
    share = sizes[name] / sum(sizes.values())
    if low <= share:
        yield (
            f"Not shown to be better than always answering {name}, which is right on "
            f"{percent(share)} of these {split_name(split)} examples: do not ship this model."
        )


def _on_size(run: Run) -> Iterable[str]:
    split, scores = figures.scored(run)
    n, accuracy = scores.get("n"), scores.get("accuracy")
    if split == "val":
        yield "There is no test split: validation chose this model, so its scores flatter it."
    if not is_number(n) or not is_number(accuracy) or n >= FEW:
        return
    # n for a normal interval of +-3 points; at 100% as if one in n + 2 were wrong.
    share = min(accuracy, (n + 1) / (n + 2))
    needed = math.ceil(share * (1 - share) * (1.96 / 0.03) ** 2 / 10) * 10
    if needed > n:
        yield (
            f"{n} {split_name(split)} examples are few: differences inside the interval may be "
            f"chance. About {count(needed)} would bring it to ±3 points."
        )


def _on_gap(run: Run) -> Iterable[str]:
    val, test = run.result.get("val") or {}, run.result.get("test") or {}
    high = (test.get("interval") or [None, None])[1]
    if not is_number(high) or not is_number(val.get("accuracy")) or val["accuracy"] <= high:
        return
    line = (
        f"Validation ({percent(val['accuracy'])}) lies above the test interval "
        f"({interval(test['interval'])}), so go by the test score. Choices were made on "
        "validation, which flatters it, or the test examples differ from the rest"
    )
    low = (val.get("interval") or [None, None])[0]
    overlap = is_number(low) and low < high
    yield f"{line}; it may also be chance, as the two intervals overlap." if overlap else f"{line}."


def _on_classes(run: Run) -> Iterable[str]:
    split, scores = figures.scored(run)
    classes = scores.get("classes") or {}
    empty = [name for name, score in classes.items() if not score.get("n")]
    if empty:
        yield f"No {split_name(split)} examples of {listed(empty)}: nothing is known about them."
    known = {k: v for k, v in classes.items() if is_number(v.get("recall"))}
    if len(known) < 2:
        return
    name, weakest = min(known.items(), key=lambda item: item[1]["recall"])
    if weakest["recall"] >= (scores.get("accuracy") or 0):
        return
    taken = [pair for pair in figures.pairs(run) if pair[0] == name]
    partner = f", most often taken for {taken[0][1]}" if taken else ""
    yield (
        f"Weakest class: {name}, {percent(weakest['recall'])} of {count(weakest['n'])} "
        f"found{partner}. Look at its mistakes below, then add or relabel examples."
    )


def _on_fit(run: Run) -> Iterable[str]:
    losses = [epoch.get("val_loss") for epoch in figures.epochs(run)]
    if len(losses) < 3 or not all(map(is_number, losses)):
        return
    # The schedule ends flat; a last step of more than 1% says it ended too early.
    if losses[-1] < 0.99 * min(losses[:-1]):
        yield "Validation loss was still falling at the last epoch: try more fit.epochs."


def _on_data(run: Run) -> Iterable[str]:
    n = len(figures.quarantined(run))
    if n:
        yield f"{counted(n, 'file was', 'files were')} left out as unusable: reasons under Data."


def _on_exports(run: Run) -> Iterable[str]:
    for name, export in figures.exports(run).items():
        if figures.passed(export):
            continue
        line = f"The {name} export misses its tolerance ({export['status']})"
        if is_number(export.get("agreement")):
            line += f"; it agrees with the model on {percent(export['agreement'])} of examples"
        yield f"{line}. Ship a format that holds its own."


def _on_pretraining(run: Run) -> Iterable[str]:
    if run.result.get("pipeline") == "pretrain":
        yield "Later runs can start from this backbone: set model.weights to this run's folder."
