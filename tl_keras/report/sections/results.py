"""Sections on how good the model is, as HTML; "" if there is nothing to show."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tl_keras import tasks
from tl_keras.report.drawings import charts
from tl_keras.report.drawings.markup import bar, escape, estimate, note, scrolling, table
from tl_keras.report.drawings.words import (
    NOTHING,
    count,
    counted,
    interval,
    is_number,
    listed,
    megabytes,
    number,
    percent,
)
from tl_keras.report.facts import confidence, figures
from tl_keras.report.read import RunFiles
from tl_keras.report.sections import export_notes
from tl_keras.run.result.exports import Exported
from tl_keras.run.result.part import Views
from tl_keras.tasks.shares import wilson

CELLS = 20  # With more classes, the worst pairs are shown instead of the confusion matrix.
PAIRS = 20  # pairs of a label and a wrong prediction that are shown instead
STEEP = 30  # With more letters in all names together, the matrix has vertical column headers.
RECALLS = 40  # With more classes, the table of recalls shows only this many, the lowest.


def scores(run: RunFiles) -> str:
    """Returns the test and validation scores side by side, with their intervals."""
    both = {name: figures.measured(run, name) for name in ("test", "val")}
    measured = {name: record for name, record in both.items() if record}
    if not measured:
        return ""
    bootstrapped = [figures.intervals(run, name) for name in measured]
    rows = []
    for key, (name, written) in named_scores(run.task).items():
        cells = [
            f"{written(record.get(key))}{between(intervals.get(key), written)}"
            for record, intervals in zip(measured.values(), bootstrapped, strict=True)
        ]
        rows.append([name, *cells])
    rows += _rows_of_views([record.views for record in measured.values()], run.task)
    heads = [
        f"{run.split_name(name)}, n\u00a0=\u00a0{count(record.n)}"
        for name, record in measured.items()
    ]
    about = tasks.of(run.task, "words").ABOUT_SCORES
    return table(about, ["Score", *heads], rows)


WRITTEN = {"percent": percent, "number": number}


def named_scores(task: str) -> dict[str, tuple[str, Callable[[Any], str]]]:
    """Returns, for each metric of a task, its title and the function that formats its values."""
    titles = tasks.of(task, "words").SCORES
    return {key: (name, WRITTEN[kind]) for key, (name, kind) in titles.items()}


def _rows_of_views(views: Sequence[Views | None], task: str) -> list[list[str]]:
    """Returns table rows with the scores of answers that are averaged over several views.

    The model's answers to an example and to augmented views of it are averaged first; then the mean
    answer is scored.
    """
    rows = []
    for n in sorted({record.count for record in views if record}):
        shown = [record if record and record.count == n else None for record in views]
        over = f"with answers averaged over {count(n)} views (original and augmented)"
        short, main = tasks.of(task, "metrics").IN_SHORT, tasks.of(task, "names").MAIN
        for key, (name, written) in named_scores(task).items():
            if key in short:
                pairs = [between(v.interval, written) if v and key == main else "" for v in shown]
                values = [written(v.get(key) if v else None) for v in shown]
                cells = [f"{value}{pair}" for value, pair in zip(values, pairs, strict=True)]
                rows.append([f"{name}, {over}", *cells])
    return rows


def between(pair: Any, written: Callable[[Any], str]) -> str:
    """Returns an interval as HTML, its ends formatted by `written`; "" if there is no interval."""
    if not pair or not all(map(is_number, pair)):
        return ""
    text = interval(pair) if written is percent else " to ".join(map(written, pair))
    return f" <small>{text}</small>"


def recalls(run: RunFiles) -> str:
    """Returns a table with the recall and precision of each class.

    If there are more than `RECALLS` classes, it has only the classes with the lowest recall.
    """
    split, _ = figures.scored(run)
    rates = figures.rates(run)
    if not rates:
        return ""
    one, many = run.answer_nouns
    n = sum(rate.recall.n for rate in rates)
    above = (
        f"Measured on {counted(n, f'{run.split_name(split)} example')}; the thin lines are 95% "
        f"intervals. Recall: of the examples of a {one}, the share that was recognised. Precision: "
        f"of the answers that name this {one}, the share that is right."
    )
    if len(rates) > RECALLS:
        above += f" The {RECALLS} of {count(len(rates))} {many} with the lowest recall are shown."
        rates = sorted(rates, key=lambda rate: _or(rate.recall.value, 2))[:RECALLS]
    rows = [[escape(rate.name), _share(rate.recall), _share(rate.precision)] for rate in rates]
    return table(above, [one.capitalize(), "Recall", "Precision"], rows)


def _share(share: figures.Share) -> str:
    return estimate(share.value, share.interval, share.n)


def confusion(run: RunFiles) -> str:
    """Returns the confusion matrix, or the most frequent mistakes if there are many classes."""
    split, _ = figures.predicted(run)
    names, counts = figures.counts(run)
    if not names:
        return ""
    one, many = run.answer_nouns
    on = f"On {counted(sum(counts.values()), f'{run.split_name(split)} example')}"
    if len(names) <= CELLS:
        above = f"{on}: a row for each label, a column for each prediction."
        return _matrix(above, names, counts)
    pairs = figures.pairs(run)[:PAIRS]
    if not pairs:
        return note(f"{on}, no {one} was mistaken for another.")
    above = f"{on}: the most frequent mistakes among {count(len(names))} {many}."
    rows = [[escape(true), escape(taken), count(n)] for true, taken, n in pairs]
    return table(above, ["Label", "Prediction", "Times"], rows, numeric=(2,))


def _matrix(above: str, names: Sequence[str], counts: Counter) -> str:
    rows = []
    for true in names:
        total = sum(counts[true, name] for name in names)
        cells = "".join(_cell(counts[true, name], total, true == name) for name in names)
        rows.append(f'<tr><th scope="row"><span>{escape(true)}</span></th>{cells}</tr>')
    heads = "".join(f'<th scope="col"><span>{escape(name)}</span></th>' for name in names)
    corner = '<td><span class="soft">label \\ predicted</span></td>'
    kind = "matrix steep" if sum(map(len, names)) > STEEP else "matrix"
    body = f"<thead><tr>{corner}{heads}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return note(above) + scrolling(above, f'<table class="{kind}">{body}</table>')


def _cell(n: int, total: int, right: bool) -> str:
    share = n / total if total else 0
    kind = "right" if right else "wrong"
    # A single mistake among hundreds must still be seen.
    shade = 0.12 + 0.88 * share if n else 0
    return f'<td class="{kind}" style="--share:{shade:.3f}">{n or "·"}</td>'


def calibration(run: RunFiles) -> str:
    """Returns the reliability diagram, which shows if the model's probabilities can be trusted."""
    split, predictions = figures.predicted(run)
    bins = confidence.bins(run)
    if not bins:
        return ""
    above = (
        f"{counted(len(predictions), f'{run.split_name(split)} example').capitalize()}, grouped by "
        "how sure the model is of its answer. A point on the dashed line means that the model can "
        "be trusted: of the answers that it is 80% sure of, 80% are right. A point below the line "
        "means that the model is too sure. Vertical lines are 95% intervals."
    )
    above += _about_folds(run, split)
    points = [(b.confidence, b.right.value, *b.right.interval, b.right.n) for b in bins]
    drawn = f'<div class="charts">{charts.reliability(points)}</div>'
    rows = [[percent(b.confidence), _share(b.right)] for b in bins]
    numbers = table("The same in numbers.", ["Sure", "Right"], rows)
    return f'{note(above)}<div class="beside">{drawn}<div>{numbers}</div></div>'


def _about_folds(run: RunFiles, split: str) -> str:
    """Returns how the final model of a cross-validation is calibrated; "" for other runs."""
    if not figures.is_of_folds(run, split):
        return ""
    line = " These are the answers of the models of the folds, not of the final model."
    chosen = run.result.chosen
    factor = chosen.correction if chosen else None
    if not is_number(factor):
        return line
    compared = "about as sure as" if 1 / ALIKE < factor < ALIKE else SURER[factor < 1]
    return (
        f"{line} The final model is calibrated on all of these answers together: its temperature "
        f"is {number(chosen.temperature)}, which is {number(factor)} times the mean temperature of "
        f"the folds. So the final model is {compared} the models that this chart shows."
    )


ALIKE = 1.1  # A smaller factor between two temperatures is hardly seen in the chart.
SURER = {True: "surer than", False: "less sure than"}


def exports(run: RunFiles) -> str:
    """Returns a table of the exported files: size, agreement with the Keras model, and latency."""
    measured = figures.exports(run)
    if not measured:
        return ""
    split, _ = figures.scored(run)
    on = _distinct(figures.examples(run, export) for export in measured.values())
    threads = _distinct(e.latency_ms.threads for e in measured.values() if e.latency_ms)
    measured_on = run.split_name(split)
    if run.holds_out and split == "val":
        # The final model was trained on all folds, so these scores do not measure its quality.
        measured_on = "training"
    lengths = _distinct(e.latency_ms.length for e in measured.values() if e.latency_ms)
    of_length = f" of median length ({lengths})" if lengths else ""
    of_threads = f" on {threads} thread{'s' if threads != '1' else ''}" if threads else ""
    above = (
        f"Each file was loaded back and measured on {on or NOTHING} {measured_on} examples. "
        "Agreement and largest difference compare its answers with those of the Keras model. "
        f"Latency is the median time for one example{of_length}{of_threads} over {figures.TIMED} "
        "repetitions on the machine of this run. The small print at the latency is the time that "
        "95% of the repetitions do not exceed. The small print at the size is the memory that "
        "LiteRT's own kernels need for activations and unpacked weights."
    )
    score = run.main
    columns = ["Format", "Status", "Size, memory", named_scores(run.task)[score][0], "Agreement"]
    columns += ["Largest difference", "Latency, ms", "Latency on all cores, ms"]
    largest = max(export.bytes for export in measured.values())
    slowest = max(filter(is_number, map(figures.median, measured.values())), default=0)
    rows = []
    for name, export in measured.items():
        n, latency = figures.examples(run, export), export.latency_ms
        high = latency.p95 if latency else None
        rows.append(
            [
                f'{escape(name)} <small class="file">{escape(export.path)}</small>',
                _status(export),
                _length(export.bytes, largest, megabytes) + _small(export.arena_bytes, megabytes),
                main(run.task, export.get(score), n),
                share_of(export.agreement, n),
                number(export.max_abs_diff),
                _length(figures.median(export), slowest, number) + _small(high, number),
                number(export.latency_all_ms.median if export.latency_all_ms else None),
            ]
        )
    below = "".join(map(note, export_notes.notes(run)))
    return table(above, columns, rows, numeric=(5, 7)) + below


def _distinct(values: Iterable[Any]) -> str:
    return listed([count(value) for value in sorted(set(filter(is_number, values)))])


def _status(export: Exported) -> str:
    kind = "ok" if figures.passed(export) else "missed"
    return f'<span class="{kind}">{kind}</span>'


def _small(value: float | None, written: Callable[[Any], str]) -> str:
    return f" <small>{escape(written(value))}</small>" if is_number(value) else ""


def _length(value: Any, largest: float, written: Callable[[Any], str]) -> str:
    return bar(value / largest if is_number(value) and largest else None, written(value))


def main(task: str, value: Any, n: Any) -> str:
    """Returns a value of the task's main metric as HTML.

    If the metric is a share, such as accuracy, its 95% interval on n examples is added.
    """
    words = tasks.of(task, "words")
    if words.COUNTS_RIGHT:
        return share_of(value, n)
    return named_scores(task)[tasks.of(task, "names").MAIN][1](value)


def share_of(share: float | None, n: int | None) -> str:
    """Returns a share of n examples as HTML, with its 95% interval if n is known."""
    if not is_number(share) or not 0 <= share <= 1 or not n or n < 0:
        return percent(share)
    return estimate(share, wilson(round(share * n), n), n)


def _or(value: Any, other: Any) -> Any:
    return other if value is None or value != value else value  # NaN is not equal to itself.
