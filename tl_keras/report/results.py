"""Sections on what the model can do: a run in, HTML out, empty where there is nothing to show."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from tl_keras.report import advice, charts, figures
from tl_keras.report.markup import bar, escape, items, note, scrolling, table
from tl_keras.report.pictures import thumbnails
from tl_keras.report.read import Run
from tl_keras.report.words import (
    NOTHING,
    count,
    counted,
    interval,
    is_number,
    listed,
    megabytes,
    number,
    percent,
    split_name,
)

CELLS = 20  # Classes up to which the confusion matrix is shown whole; then the worst pairs.
PAIRS = 20
STEEP = 30  # Letters of all class names together, above which they stand upright over the matrix.
CLASSES = 40  # Rows of the table of classes; with more, those of the lowest recall.
MISTAKES = 12


def what_to_do(run: Run) -> str:
    """The advice, as a list."""
    lines = advice.what_to_do(run)
    return items(lines, "advice") if lines else "<p>Nothing in the numbers asks for attention.</p>"


def scores(run: Run) -> str:
    """Scores of test and validation, side by side."""
    splits = [name for name in ("test", "val") if run.result.get(name)]
    if not splits:
        return ""
    found = [run.result[name] for name in splits]
    rows = [
        ["Accuracy", *(percent(s.get("accuracy")) for s in found)],
        ["95% interval", *(interval(s.get("interval")) for s in found)],
        ["Balanced accuracy", *(percent(s.get("balanced_accuracy")) for s in found)],
        ["Macro F1", *(percent(s.get("macro_f1")) for s in found)],
        ["Log loss", *(number(s.get("log_loss")) for s in found)],
        ["Calibration error", *(percent(s.get("calibration_error")) for s in found)],
    ]
    heads = [
        f"{split_name(n)}, n\u00a0=\u00a0{count(s.get('n'))}"
        for n, s in zip(splits, found, strict=True)
    ]
    above = "Calibration error: how far confidence and accuracy lie apart."
    return table(above, ["Score", *heads], rows, numeric=range(1, len(heads) + 1))


def training(run: Run) -> str:
    """What was tried for the head, and the curves of the epochs."""
    lines = [*_head(run), *_epochs(run)]
    if not lines:
        return ""
    sizes = [
        f"{count(size)} {word}"
        for split, word in (("train", "training"), ("val", "validation"))
        if (size := figures.split_size(run, split)) is not None
    ]
    if sizes:
        lines[-1] += f" On {listed(sizes)} examples."
    drawn = "".join(charts.learning_curves(figures.epochs(run)))
    return "".join(map(note, lines)) + (f'<div class="charts">{drawn}</div>' if drawn else "")


def _head(run: Run) -> Iterable[str]:
    tried = figures.strengths(run)
    if not tried:
        return
    line = f"Head: logistic regression, {counted(len(tried), 'strength')} of regularisation tried"
    known = [record for record in tried if is_number(record.get("val_loss"))]
    if known:
        best = min(known, key=lambda record: record["val_loss"])
        line += f"; validation loss {number(best['val_loss'])} at the best "
        line += f"(regularisation {number(best.get('regularisation'))})"
    yield f"{line}."


def _epochs(run: Run) -> Iterable[str]:
    for stage, name in figures.STAGES.items():
        losses = [e.get("val_loss") for e in figures.epochs(run) if e.get("stage") == stage]
        known = [loss for loss in losses if is_number(loss)]
        if losses:
            line = f"{name}: {counted(len(losses), 'epoch')}"
            if known:
                lowest = min(known)
                line += f"; lowest validation loss {number(lowest)}, "
                line += f"in epoch {losses.index(lowest) + 1}"
            yield f"{line}."


def classes(run: Run) -> str:
    """Recall and precision of each class, or of the weakest."""
    split, found = figures.scored(run)
    rated = list((found.get("classes") or {}).items())
    if not rated:
        return ""
    above = (
        f"On {count(found.get('n'))} {split_name(split)} examples. Recall: the share of a class "
        "that was found. Precision: the share of its predictions that are right."
    )
    if len(rated) > CLASSES:
        above += f" The {CLASSES} of {count(len(rated))} classes with the lowest recall."
        rated = sorted(rated, key=lambda item: _or(item[1].get("recall"), 2))[:CLASSES]
    rows = [
        [escape(name), bar(c.get("recall")), bar(c.get("precision")), count(c.get("n"))]
        for name, c in rated
    ]
    return table(above, ["Class", "Recall", "Precision", "n"], rows, numeric=(3,))


def confusion(run: Run) -> str:
    """The confusion matrix, or the most frequent mistakes of many classes."""
    split, _ = figures.predicted(run)
    names, counts = figures.counts(run)
    if not names:
        return ""
    on = f"On {count(sum(counts.values()))} {split_name(split)} examples"
    if len(names) <= CELLS:
        return _matrix(f"{on}. Rows are the true class, columns the prediction.", names, counts)
    pairs = figures.pairs(run)[:PAIRS]
    if not pairs:
        return note(f"{on}: no class was taken for another.")
    above = f"{on}. The most confused pairs of {count(len(names))} classes."
    rows = [[escape(true), escape(taken), count(n)] for true, taken, n in pairs]
    return table(above, ["True class", "Taken for", "Times"], rows, numeric=(2,))


def _matrix(above: str, names: Sequence[str], counts: Counter) -> str:
    rows = []
    for true in names:
        total = sum(counts[true, name] for name in names)
        cells = "".join(_cell(counts[true, name], total, true == name) for name in names)
        rows.append(f'<tr><th scope="row"><span>{escape(true)}</span></th>{cells}</tr>')
    heads = "".join(f'<th scope="col"><span>{escape(name)}</span></th>' for name in names)
    corner = '<td><span class="soft">true \\ predicted</span></td>'
    kind = "matrix steep" if sum(map(len, names)) > STEEP else "matrix"
    body = f"<thead><tr>{corner}{heads}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return note(above) + scrolling(above, f'<table class="{kind}">{body}</table>')


def _cell(n: int, total: int, right: bool) -> str:
    share = n / total if total else 0
    kind = "right" if right else "wrong"
    # A single mistake among hundreds must still be seen.
    shade = 0.12 + 0.88 * share if n else 0
    return f'<td class="{kind}" style="--share:{shade:.3f}">{n if n else "·"}</td>'


def mistakes(run: Run) -> str:
    """The most confident mistakes, with pictures where they can be had."""
    split, predictions = figures.predicted(run)
    wrong = [p for p in predictions if p.prediction != p.label]
    if not predictions:
        return ""
    on = f"{count(len(wrong))} of {count(len(predictions))} {split_name(split)} examples are wrong"
    if not wrong:
        return note(f"{on}.")
    worst = sorted(wrong, key=lambda p: -_or(p.probability, -1))[:MISTAKES]
    pictures = thumbnails(run, [p.file for p in worst])
    rows = [
        [picture, escape(p.label), escape(p.prediction), percent(p.probability), escape(p.file)]
        for p, picture in zip(worst, pictures, strict=True)
    ]
    columns = ["Picture", "Label", "Prediction", "Probability", "File"]
    if not any(pictures):
        columns, rows = columns[1:], [row[1:] for row in rows]
    above = f"{on}; the most confident {len(rows)} are shown. Wrong labels often stand here."
    return table(above, columns, rows, numeric=(columns.index("Probability"),))


def exports(run: Run) -> str:
    """Each exported file: size, how well it agrees, how fast it is."""
    measured = figures.exports(run)
    if not measured:
        return ""
    split, found = figures.scored(run)
    on = _distinct(export.get("n", found.get("n")) for export in measured.values())
    threads = _distinct((e.get("latency_ms") or {}).get("threads") for e in measured.values())
    of_threads = f", {threads} thread{'s' if threads != '1' else ''}" if threads else ""
    above = (
        f"Each file loaded back and measured on {on or NOTHING} {split_name(split)} examples; "
        "agreement and difference are against the model in Keras. Latency is of one example, "
        f"on the machine of this run{of_threads}."
    )
    columns = ["Format", "Status", "Size", "Accuracy", "Agreement", "Largest difference"]
    columns += ["Median, ms", "95%, ms", "File"]
    rows = [[escape(name), *_export(export)] for name, export in measured.items()]
    missed = [f"{k}: {e['status']}." for k, e in measured.items() if not figures.passed(e)]
    return table(above, columns, rows, numeric=range(2, 8)) + "".join(map(note, missed))


def _distinct(values: Iterable[Any]) -> str:
    return listed([count(value) for value in sorted(set(filter(is_number, values)))])


def _export(export: dict) -> list[str]:
    latency = export.get("latency_ms") or {}
    kind = "ok" if figures.passed(export) else "missed"
    word = kind if export.get("status") else NOTHING
    return [
        f'<span class="{kind}">{word}</span>',
        megabytes(export.get("bytes")),
        percent(export.get("accuracy")),
        percent(export.get("agreement")),
        number(export.get("max_abs_diff")),
        number(latency.get("median")),
        number(latency.get("p95")),
        escape(export.get("path") or NOTHING),
    ]


def _or(value: Any, other: Any) -> Any:
    return other if value is None or value != value else value  # NaN differs from itself.
