"""Run folder in, report.html out: one file, no script, nothing fetched, readable in print.

Every piece of text that a user or a file may have written passes through `_text`; functions
here return HTML, and nothing else escapes or unescapes.
"""

import base64
import csv
import html
import io
import json
import math
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from PIL import Image, ImageOps

from tl_keras import files
from tl_keras.report import charts

CELLS = 20  # Classes up to which the confusion matrix is shown whole; then the worst pairs.
PAIRS = 20
CLASSES = 40  # Rows of the table of classes; with more, those of the lowest recall.
MISTAKES = 12
QUARANTINED = 100
THUMBNAIL = 128  # px, longer side
PICTURE = 60_000_000  # Pixels; a larger file is not decoded for the sake of a thumbnail.
# Pillow's readers of other formats start programs (EPS) or are seldom exercised.
PICTURE_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
FEW = 200  # Test examples; below, the 95% interval at 90% is wider than 8 points.
FLOATS = ("saved_model", "float32", "float16")
NOTHING = "–"


class Prediction(NamedTuple):
    """One line of predictions.csv, without the columns of the single classes."""

    file: str
    split: str
    label: str
    prediction: str
    probability: float  # Of the predicted class, 0..1; NaN if it cannot be read.


@dataclass(frozen=True)
class Run:
    """What a run folder holds for the report; what is missing is empty."""

    name: str
    result: dict[str, Any]
    data: dict[str, Any]
    epochs: list[dict]
    predictions: list[Prediction]
    config: str


def write(workdir: Path) -> Path:
    """Returns the path of report.html, written anew from the other files of the run folder.

    Reads config.yaml, data.json, metrics.jsonl, predictions.csv and result.json, each if it is
    there, and the pictures of the worst mistakes under the data's root. Equal files give
    equal bytes. A reader never sees half a report: it is written beside and moved.

    Raises:
        ValueError: the folder holds none of these files, or one is not what its name says.
    """
    workdir = Path(workdir)
    path = workdir / "report.html"
    # File names may hold bytes that are no UTF-8; they must not cost the report.
    text = render(read(workdir)).encode("utf-8", "backslashreplace").decode("utf-8")
    files.write_text(path, text)
    return path


def read(workdir: Path) -> Run:
    """Returns the run folder's files, parsed.

    Raises:
        ValueError: the folder holds none of them, or one is not what its name says.
    """
    names = ("config.yaml", "data.json", "metrics.jsonl", "predictions.csv", "result.json")
    if not any((workdir / name).is_file() for name in names):
        raise ValueError(f"report: {str(workdir)!r} is no run folder: it has none of {names}")
    return Run(
        name=workdir.resolve().name,
        result=_read_json(workdir / "result.json"),
        data=_read_json(workdir / "data.json"),
        epochs=_read_epochs(workdir / "metrics.jsonl"),
        predictions=_read_predictions(workdir / "predictions.csv"),
        config=_read_text(workdir / "config.yaml"),
    )


def render(run: Run) -> str:
    """Returns the whole page as HTML."""
    sections = [
        _section("What to do", _advice(run)),
        _section("Scores", _scores(run)),
        _section("Learning curves", _curves(run)),
        _section("Classes", _classes(run)),
        _section("Confusion", _confusion(run)),
        _section("Worst mistakes", _mistakes(run)),
        _section("Exports", _exports(run)),
        _section("Data", _data(run)),
        _section("Time", _time(run)),
        _section("Cached features", _facts(run.result.get("features"))),
        _section("Model", _facts(run.result.get("model"))),
        _section("Versions and device", _facts(_pick(run.result, "versions", "device"))),
        _section("Config", _config(run)),
    ]
    return PAGE.format(
        title=_text(f"{run.name}: tl_keras report"),
        style=STYLE,
        above=_text(" · ".join(filter(None, [run.result.get("pipeline"), run.name]))),
        headline=_headline(run),
        sections="\n".join(filter(None, sections)),
    )


def headline(run: Run) -> str:
    """Returns the run's result as one line of plain text."""
    if not run.result:
        return "This run has not finished: it has no result.json yet"
    parts = [_score_line(run), *_export_line(_measured_exports(run))]
    smallest = _smallest(_measured_exports(run))
    return ", ".join(parts) + (f"; {smallest}" if smallest else "")


# Reading


def _read_text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _read_json(path: Path) -> dict:
    text = _read_text(path)
    if not text:
        return {}
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"report: {path} is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"report: {path} must hold an object; received {type(value).__name__}")
    return value


def _read_epochs(path: Path) -> list[dict]:
    lines = [line for line in _read_text(path).splitlines() if line.strip()]
    epochs = {}
    for i, line in enumerate(lines):
        try:
            epoch = json.loads(line)
        except ValueError as error:
            if i == len(lines) - 1:  # A killed run may leave half a line.
                break
            raise ValueError(f"report: {path}, line {i + 1} is no JSON: {error}") from error
        # A resumed run repeats the epoch that it was killed in: the last one counts.
        epochs[(epoch.get("stage"), epoch.get("epoch", i))] = epoch
    return list(epochs.values())


def _read_predictions(path: Path) -> list[Prediction]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        lines = csv.reader(file)
        header = next(lines, [])
        missing = [name for name in Prediction._fields if name not in header]
        if missing:
            raise ValueError(f"report: {path} lacks the columns {missing}; received {header[:8]}")
        columns = [header.index(name) for name in Prediction._fields]
        rows = ([line[i] for i in columns] for line in lines if len(line) == len(header))
        return [Prediction(*row[:4], _float(row[4])) for row in rows]


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


# What the numbers say


def _scored(run: Run) -> tuple[str, dict]:
    """Returns the split that the report is about and its scores: test if there is one."""
    for split in ("test", "val"):
        if run.result.get(split):
            return split, run.result[split]
    return "", {}


def _predicted(run: Run) -> tuple[str, list[Prediction]]:
    split = _scored(run)[0] or next((p.split for p in run.predictions), "")
    return split, [p for p in run.predictions if p.split == split]


def _word(split: str) -> str:
    return {"val": "validation"}.get(split, split)


def _score_line(run: Run) -> str:
    split, scores = _scored(run)
    if not _is_number(scores.get("accuracy")):
        return "Finished; no accuracy was recorded"
    line = f"{_percent(scores['accuracy'])} of {_count(scores.get('n'))} {_word(split)} examples"
    low, high = scores.get("interval") or (None, None)
    if not _is_number(low):
        return f"{line} right"
    return f"{line} right (95% interval {100 * low:.1f} to {100 * high:.1f})"


def _measured_exports(run: Run) -> dict[str, dict]:
    return {name: export for name, export in (run.result.get("export") or {}).items() if export}


def _passed(export: dict) -> bool:
    return export.get("status") in (None, "ok")


def _export_line(exports: dict[str, dict]) -> list[str]:
    failed = [name for name, export in exports.items() if not _passed(export)]
    if failed:
        return [f"{_listed(failed)} outside tolerance"]
    checked = [name for name in FLOATS if exports.get(name, {}).get("status") == "ok"]
    return ["float exports agree"] if checked else []


def _smallest(exports: dict[str, dict]) -> str:
    sized = [e for e in exports.values() if _is_number(e.get("bytes")) and _passed(e)]
    if not sized:
        return ""
    smallest = min(sized, key=lambda export: export["bytes"])
    name = PurePath(str(smallest.get("path") or "file")).name
    line = f"smallest file {name}, {_bytes(smallest['bytes'])}"
    median = (smallest.get("latency_ms") or {}).get("median")
    return f"{line}, {median:.1f} ms an example" if _is_number(median) else line


def _advice(run: Run) -> str:
    found = [
        *_advise_on_size(run),
        *_advise_on_gap(run),
        *_advise_on_classes(run),
        *_advise_on_fit(run),
        *_advise_on_data(run),
        *_advise_on_exports(run),
    ]
    if not run.result:
        found.append("Start the same command again: it goes on where it was stopped.")
    if not found:
        return "<p>Nothing in the numbers asks for attention.</p>"
    items = "".join(f"<li>{_text(line)}</li>" for line in found)
    return f'<ul class="advice">{items}</ul>'


def _advise_on_size(run: Run) -> Iterable[str]:
    split, scores = _scored(run)
    n, accuracy = scores.get("n"), scores.get("accuracy")
    if run.result and split == "val":
        yield "There is no test split: validation chose this model, so its scores flatter it."
    if not _is_number(n) or not _is_number(accuracy) or n >= FEW:
        return
    # n for a normal interval of +-3 points; at 100% as if one in n + 2 were wrong.
    share = min(accuracy, (n + 1) / (n + 2))
    needed = math.ceil(share * (1 - share) * (1.96 / 0.03) ** 2 / 10) * 10
    if needed > n:
        yield (
            f"{n} {_word(split)} examples are few: differences inside the interval may be "
            f"chance. About {_count(needed)} would bring it to ±3 points."
        )


def _advise_on_gap(run: Run) -> Iterable[str]:
    val, test = run.result.get("val") or {}, run.result.get("test") or {}
    high = (test.get("interval") or [None, None])[1]
    if _is_number(high) and _is_number(val.get("accuracy")) and val["accuracy"] > high:
        yield (
            f"Validation ({_percent(val['accuracy'])}) lies above the test interval: the search "
            "fitted validation, or the test examples differ from the rest."
        )


def _advise_on_classes(run: Run) -> Iterable[str]:
    split, scores = _scored(run)
    classes = scores.get("classes") or {}
    empty = [name for name, score in classes.items() if not score.get("n")]
    if empty:
        yield f"No {_word(split)} examples of {_listed(empty)}: nothing is known about them."
    known = {k: v for k, v in classes.items() if _is_number(v.get("recall"))}
    if len(known) < 2:
        return
    name, weakest = min(known.items(), key=lambda item: item[1]["recall"])
    if weakest["recall"] >= (scores.get("accuracy") or 0):
        return
    taken = [pair for pair in _pairs(run) if pair[0] == name]
    partner = f", most often taken for {taken[0][1]}" if taken else ""
    yield (
        f"Weakest class: {name}, {_percent(weakest['recall'])} of {_count(weakest['n'])} "
        f"found{partner}. Look at its mistakes below, then add or relabel examples."
    )


def _advise_on_fit(run: Run) -> Iterable[str]:
    last = [epoch for epoch in run.epochs if epoch.get("stage") == run.epochs[-1].get("stage")]
    losses = [epoch.get("val_loss") for epoch in last]
    if len(losses) < 3 or not all(map(_is_number, losses)):
        return
    # The schedule ends flat; a last step of more than 1% says it ended too early.
    if losses[-1] < 0.99 * min(losses[:-1]):
        yield "Validation loss was still falling at the last epoch: try more fit.epochs."


def _advise_on_data(run: Run) -> Iterable[str]:
    count = len(_quarantined(run))
    if count:
        left_out = "1 file was" if count == 1 else f"{_count(count)} files were"
        yield f"{left_out} left out as unusable: reasons under Data."


def _advise_on_exports(run: Run) -> Iterable[str]:
    for name, export in _measured_exports(run).items():
        if _passed(export):
            continue
        line = f"The {name} export misses its tolerance ({export['status']})"
        if _is_number(export.get("agreement")):
            line += f"; it agrees with the model on {_percent(export['agreement'])} of examples"
        yield f"{line}. Ship a format that holds its own."


# Sections


def _scores(run: Run) -> str:
    splits = [name for name in ("test", "val") if run.result.get(name)]
    if not splits:
        return ""
    scores = [run.result[name] for name in splits]
    rows = [
        ["Accuracy", *(_percent(s.get("accuracy")) for s in scores)],
        ["95% interval", *(_interval(s.get("interval")) for s in scores)],
        ["Balanced accuracy", *(_percent(s.get("balanced_accuracy")) for s in scores)],
        ["Macro F1", *(_percent(s.get("macro_f1")) for s in scores)],
        ["Log loss", *(_number(s.get("log_loss")) for s in scores)],
        ["Calibration error", *(_percent(s.get("calibration_error")) for s in scores)],
    ]
    heads = [f"{_word(n)}, n = {_count(s.get('n'))}" for n, s in zip(splits, scores, strict=True)]
    note = "Calibration error: how far confidence and accuracy lie apart."
    return _table(note, ["Score", *heads], rows, numeric=range(1, len(heads) + 1))


def _curves(run: Run) -> str:
    drawn = charts.learning_curves(run.epochs)
    if not drawn:
        return ""
    stages = Counter(str(epoch.get("stage") or "fit") for epoch in run.epochs)
    order = ", then ".join(f"{n} of {stage}" for stage, n in stages.items())
    on = " and ".join(
        f"{_count(_split_size(run, split))} {word}"
        for split, word in (("train", "training"), ("val", "validation"))
    )
    note = f"{len(run.epochs)} epochs: {order}. On {on} examples."
    if len(stages) > 1:
        note += " A dotted line is where a stage begins."
    return f'{_note(note)}<div class="charts">{"".join(drawn)}</div>'


def _classes(run: Run) -> str:
    split, scores = _scored(run)
    classes = list((scores.get("classes") or {}).items())
    if not classes:
        return ""
    note = (
        f"On {_count(scores.get('n'))} {_word(split)} examples. Recall: the share of a class that "
        "was found. Precision: the share of its predictions that are right."
    )
    if len(classes) > CLASSES:
        note += f" The {CLASSES} of {_count(len(classes))} classes with the lowest recall."
        classes = sorted(classes, key=lambda item: _or(item[1].get("recall"), 2))[:CLASSES]
    rows = [
        [_text(name), _bar(c.get("recall")), _bar(c.get("precision")), _count(c.get("n"))]
        for name, c in classes
    ]
    columns = ["Class", "Recall", "Precision", "n"]
    return _table(note, columns, rows, numeric=(3,))


def _confusion(run: Run) -> str:
    split, predictions = _predicted(run)
    names, counts = _counts(run)
    if not names:
        return ""
    on = f"On {_count(sum(counts.values()))} {_word(split)} examples"
    if len(names) <= CELLS:
        return _matrix(f"{on}. Rows are the true class, columns the prediction.", names, counts)
    rows = [[_text(true), _text(taken), _count(n)] for true, taken, n in _pairs(run)[:PAIRS]]
    if not rows:
        return _note(f"{on}: no class was taken for another.")
    note = f"{on}. The most confused pairs of {_count(len(names))} classes."
    return _table(note, ["True class", "Taken for", "Times"], rows, numeric=(2,))


def _matrix(note: str, names: Sequence[str], counts: Counter) -> str:
    rows = []
    for true in names:
        total = sum(counts[true, name] for name in names)
        cells = "".join(_cell(counts[true, name], total, true == name) for name in names)
        rows.append(f'<tr><th scope="row"><span>{_text(true)}</span></th>{cells}</tr>')
    heads = "".join(f'<th scope="col"><span>{_text(name)}</span></th>' for name in names)
    corner = '<td><span class="soft">true \\ predicted</span></td>'
    kind = "matrix" if len(names) <= 6 else "matrix steep"
    body = f"<thead><tr>{corner}{heads}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return _note(note) + _scrolling(note, f'<table class="{kind}">{body}</table>')


def _cell(count: int, total: int, right: bool) -> str:
    share = count / total if total else 0
    kind = "right" if right else "wrong"
    # A single mistake among hundreds must still be seen.
    shade = 0.12 + 0.88 * share if count else 0
    return f'<td class="{kind}" style="--share:{shade:.3f}">{count if count else "·"}</td>'


def _mistakes(run: Run) -> str:
    split, predictions = _predicted(run)
    wrong = [p for p in predictions if p.prediction != p.label]
    if not predictions:
        return ""
    on = f"{_count(len(wrong))} of {_count(len(predictions))} {_word(split)} examples are wrong"
    if not wrong:
        return _note(f"{on}.")
    worst = sorted(wrong, key=lambda p: -_or(p.probability, -1))[:MISTAKES]
    pictures = [_thumbnail(run.data.get("root"), p.file) for p in worst]
    rows = [
        [picture, _text(p.label), _text(p.prediction), _percent(p.probability), _text(p.file)]
        for p, picture in zip(worst, pictures, strict=True)
    ]
    columns = ["Picture", "Label", "Prediction", "Probability", "File"]
    if not any(pictures):
        columns, rows = columns[1:], [row[1:] for row in rows]
    note = f"{on}; the most confident {len(rows)} are shown. Wrong labels often stand here."
    return _table(note, columns, rows, numeric=(columns.index("Probability"),))


def _exports(run: Run) -> str:
    exports = _measured_exports(run)
    if not exports:
        return ""
    rows = [[_text(name), *_export(export)] for name, export in exports.items()]
    split, scores = _scored(run)
    note = (
        f"Each file loaded back and measured on {_count(scores.get('n'))} {_word(split)} examples; "
        "agreement and difference are against the model in Keras. Latency is of one example, "
        f"on the machine of this run{_threads(exports)}."
    )
    columns = ["Format", "Status", "Size", "Accuracy", "Agreement", "Largest difference"]
    columns += ["Median, ms", "95%, ms", "File"]
    return _table(note, columns, rows, numeric=range(2, 8))


def _threads(exports: dict[str, dict]) -> str:
    counts = {(export.get("latency_ms") or {}).get("threads") for export in exports.values()}
    known = sorted(count for count in counts if _is_number(count))
    if not known:
        return ""
    return f", {_listed([str(n) for n in known])} thread{'s' if known != [1] else ''}"


def _export(export: dict) -> list[str]:
    latency = export.get("latency_ms") or {}
    kind = "ok" if _passed(export) else "failed"
    return [
        f'<span class="{kind}">{_text(_or(export.get("status"), NOTHING))}</span>',
        _bytes(export.get("bytes")),
        _percent(export.get("accuracy")),
        _percent(export.get("agreement")),
        _number(export.get("max_abs_diff")),
        _number(latency.get("median")),
        _number(latency.get("p95")),
        _text(_or(export.get("path"), NOTHING)),
    ]


def _data(run: Run) -> str:
    quarantined = _quarantined(run)
    rows = [[_word(s), _count(_split_size(run, s))] for s in ("train", "val", "test")]
    rows += [["left out", _count(len(quarantined))]]
    if not run.data and not run.result.get("data"):
        return ""
    names = run.data.get("classes") or []
    parts = [_table(f"{_count(len(names))} classes.", ["Split", "Examples"], rows, (1,))]
    warned = "".join(f"<li>{_text(line)}</li>" for line in run.data.get("warnings") or [])
    parts.append(f"<h3>Warnings</h3><ul>{warned}</ul>" if warned else "")
    if quarantined:
        parts.append(f"<h3>Files left out</h3>{_left_out(quarantined)}")
    if run.data.get("fingerprint"):
        fingerprint = _text(run.data["fingerprint"])
        parts.append(f'<p class="fingerprint">Fingerprint <code>{fingerprint}</code></p>')
    return "".join(parts)


def _left_out(quarantined: list[dict]) -> str:
    shown = quarantined[:QUARANTINED]
    rows = [[_text(entry.get("file")), _text(entry.get("reason"))] for entry in shown]
    note = f"{_count(len(quarantined))} files that cannot be read or used"
    rest = len(quarantined) - len(shown)
    note += f"; the first {len(shown)}, and {_count(rest)} more in data.json." if rest else "."
    return _table(note, ["File", "Reason"], rows)


def _time(run: Run) -> str:
    seconds = {k: v for k, v in (run.result.get("seconds") or {}).items() if _is_number(v)}
    total = seconds.pop("total", None) or sum(seconds.values())
    if not total:
        return ""
    rows = [
        [_text(phase), _seconds(value), _bar(value / total)] for phase, value in seconds.items()
    ]
    note = f"{_seconds(total)} in all."
    return _table(note, ["Phase", "Time", "Share"], rows, numeric=(1,))


def _config(run: Run) -> str:
    if not run.config.strip():
        return ""
    return _scrolling("config.yaml", f"<pre><code>{_text(run.config.rstrip())}</code></pre>")


def _facts(value: dict | None) -> str:
    rows = [f"<dt>{_text(k)}</dt><dd>{_text(v)}</dd>" for k, v in _flat(value or {})]
    return f"<dl>{''.join(rows)}</dl>" if rows else ""


def _flat(value: dict, above: str = "") -> Iterable[tuple[str, Any]]:
    for key, inner in value.items():
        name = f"{above} {key}".strip()
        if isinstance(inner, dict):
            yield from _flat(inner, name)
        elif inner is not None:
            yield name, f"{inner:,}" if type(inner) is int else inner


# What several sections share


def _pick(values: dict, *keys: str) -> dict:
    return {key: values[key] for key in keys if values.get(key)}


def _quarantined(run: Run) -> list[dict]:
    return run.data.get("quarantined") or []


def _split_size(run: Run, split: str) -> int | None:
    size = (run.result.get("data") or {}).get(split)
    if size is None and run.data.get("splits"):
        size = len(run.data["splits"].get(split) or [])
    return size


def _counts(run: Run) -> tuple[list[str], Counter]:
    """Returns the class names in their order and how often (true, predicted) occurred."""
    scores = _scored(run)[1]
    names = list(scores.get("classes") or run.data.get("classes") or [])
    confusion = scores.get("confusion")
    if confusion and len(confusion) == len(names):
        cells = zip(names, confusion, strict=True)
        return names, Counter(
            {(t, p): n for t, row in cells for p, n in zip(names, row, strict=True) if n}
        )
    counts = Counter((p.label, p.prediction) for p in _predicted(run)[1])
    seen = dict.fromkeys(name for pair in sorted(counts) for name in pair)
    return (list(dict.fromkeys([*names, *seen])) if counts else []), counts


def _pairs(run: Run) -> list[tuple[str, str, int]]:
    """Returns (true, taken for, times), the most frequent first."""
    wrong = [(true, taken, n) for (true, taken), n in _counts(run)[1].items() if true != taken]
    return sorted(wrong, key=lambda pair: (-pair[2], pair[0], pair[1]))


def _thumbnail(root: str | None, file: str) -> str:
    """Returns an `<img>`, or nothing where the picture cannot be found or read."""
    # A report is passed on: a file name must not draw in what lies outside the data.
    if not root or PurePath(file).is_absolute() or ".." in PurePath(file).parts or "\0" in file:
        return ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Odd EXIF, large pictures: judged here.
            data = _shrunk(Path(root) / file)
    # What Pillow raises on broken files; SyntaxError is its PNG reader's.
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError):
        return ""
    encoded = base64.b64encode(data).decode()
    return f'<img src="data:image/jpeg;base64,{encoded}" alt="{_text(file)}">'


def _shrunk(path: Path) -> bytes:
    with Image.open(path, formats=PICTURE_FORMATS) as picture:
        if picture.width * picture.height > PICTURE:
            raise ValueError(f"{path}: {picture.size} is too large for a thumbnail")
        picture.draft("RGB", (THUMBNAIL, THUMBNAIL))  # JPEG decodes at a fraction of its size.
        upright = ImageOps.exif_transpose(picture).convert("RGB")
        upright.thumbnail((THUMBNAIL, THUMBNAIL))
        buffer = io.BytesIO()
        upright.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


# HTML and numbers


def _headline(run: Run) -> str:
    first, bracket, rest = headline(run).partition(" (")
    return f"{_text(first)}<small>{_text(bracket + rest)}</small>" if rest else _text(first)


def _text(value: Any) -> str:
    return html.escape(str(value))


def _section(title: str, body: str) -> str:
    return f"<section><h2>{title}</h2>{body}</section>" if body else ""


def _note(text: str) -> str:
    return f'<p class="note">{_text(text)}</p>'


def _scrolling(label: str, body: str) -> str:
    # Focusable, so that the keyboard can scroll it too.
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{_text(label)}">{body}</div>'
    )


def _table(
    note: str, columns: Sequence[str], rows: list[list[str]], numeric: Iterable[int] = ()
) -> str:
    """Cells are HTML, the note and the columns' names plain text."""
    numeric = set(numeric)
    kinds = [' class="num"' if i in numeric else "" for i in range(len(columns))]
    heads = zip(kinds, columns, strict=True)
    head = "".join(f'<th scope="col"{kind}>{_text(name)}</th>' for kind, name in heads)
    body = "".join(
        "<tr>" + "".join(f"<td{k}>{c}</td>" for k, c in zip(kinds, row, strict=True)) + "</tr>"
        for row in rows
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return _note(note) + _scrolling(note, table)


def _bar(share: Any) -> str:
    if not _is_number(share):
        return NOTHING
    width = min(max(share, 0), 1)
    return f'<span class="bar" style="--share:{width:.3f}">{_percent(share)}</span>'


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _or(value: Any, other: Any) -> Any:
    return other if value is None or value != value else value  # NaN differs from itself.


def _percent(share: Any) -> str:
    return f"{100 * share:.1f}%" if _is_number(share) else NOTHING


def _interval(pair: Any) -> str:
    if not pair or not all(map(_is_number, pair)):
        return NOTHING
    return f"{100 * pair[0]:.1f} to {100 * pair[1]:.1f}"


def _number(value: Any) -> str:
    return f"{value:.3g}" if _is_number(value) else NOTHING


def _count(value: Any) -> str:
    if isinstance(value, list):
        value = len(value)
    return f"{value:,}" if _is_number(value) else NOTHING


def _bytes(value: Any) -> str:
    if not _is_number(value):
        return NOTHING
    return f"{value / 1e6:.1f} MB" if value >= 1e5 else f"{value / 1e3:.1f} kB"


def _seconds(value: float) -> str:
    if value < 60:
        return f"{value:.1f} s"
    minutes, seconds = divmod(round(value), 60)
    return (
        f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {seconds} s"
    )


def _listed(names: Sequence[str]) -> str:
    shown = list(names[:5]) + ([f"{len(names) - 5} more"] if len(names) > 5 else [])
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))


PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" \
content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
<header>
<p class="above">{above}</p>
<h1>{headline}</h1>
</header>
{sections}
</main>
</body>
</html>
"""

STYLE = """
:root {
  color-scheme: light dark;
  --ground: #fcfbf9; --sheet: #f4f2ee; --ink: #1e2126; --soft: #626873; --line: #e2dfd8;
  --series: #2563a8; --other: #b0762a; --good: #2f8a63; --bad: #c2542d;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --ground: #15171b; --sheet: #1d2025; --ink: #e8e6e1; --soft: #9aa1ac; --line: #30343b;
    --series: #74aeea; --other: #d9a55c; --good: #58b98c; --bad: #ec8a62;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--ground); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
  font-variant-numeric: tabular-nums; -webkit-text-size-adjust: 100%;
}
main { max-width: 62rem; margin: 0 auto; padding: clamp(1.5rem, 5vw, 4rem) 1.1rem 5rem; }
h1, h2, h3, p, li, dd, td, th { overflow-wrap: anywhere; }
h1 {
  font-size: clamp(1.5rem, 1.2rem + 1.8vw, 2.25rem); line-height: 1.28; font-weight: 620;
  letter-spacing: -0.012em; margin: 0; text-wrap: pretty;
}
h1 small {
  display: block; max-width: 42rem; margin-top: .4rem; color: var(--soft);
  font-size: clamp(1rem, .95rem + .3vw, 1.15rem); line-height: 1.45; font-weight: 420;
  letter-spacing: 0;
}
h2 { font-size: 1.15rem; line-height: 1.3; font-weight: 640; margin: 0 0 .5rem; }
h3 { font-size: 1rem; font-weight: 620; margin: 1.75rem 0 .4rem; }
p { margin: 0 0 .75rem; max-width: 42rem; }
.above { color: var(--soft); font-size: .9rem; margin-bottom: .6rem; }
.note, .soft, .fingerprint { color: var(--soft); font-size: .9rem; }
.fingerprint { margin-top: 1rem; }
section { margin-top: 3.25rem; }
ul { margin: 0; padding-left: 1.15rem; max-width: 42rem; }
li + li { margin-top: .45rem; }
.advice { list-style: none; padding: 0; }
.advice li { border-left: 3px solid var(--other); padding: .1rem 0 .1rem .9rem; }
.advice li + li { margin-top: .8rem; }
.scroll { overflow-x: auto; }
.scroll:focus-visible { outline: 2px solid var(--series); outline-offset: 3px; }
table { border-collapse: collapse; font-size: .93rem; min-width: min(100%, 26rem); }
th, td {
  text-align: left; vertical-align: top; padding: .45rem 1.25rem .45rem 0; min-width: 3.5rem;
  border-bottom: 1px solid var(--line); overflow-wrap: break-word; max-width: 20rem;
}
th:last-child, td:last-child { padding-right: 0; }
thead th { color: var(--soft); font-weight: 500; font-size: .85rem; vertical-align: bottom; }
.num { text-align: right; white-space: nowrap; }
thead .num { white-space: normal; }
tr:has(img) td { vertical-align: middle; }
td img { display: block; width: 4rem; height: 4rem; object-fit: cover; border-radius: 6px; }
.bar { display: block; min-width: 6.5rem; }
.bar::after {
  content: ""; display: block; height: 4px; margin-top: .15rem; border-radius: 2px;
  width: calc(var(--share) * 100%); min-width: 2px; background: var(--series);
}
.matrix { min-width: 0; border-collapse: separate; border-spacing: 2px; }
.matrix th, .matrix td { border: 0; padding: .4rem .55rem; }
.matrix tbody td { text-align: center; min-width: 2.75rem; border-radius: 4px; }
.matrix thead th { text-align: center; }
.matrix tbody th {
  font-weight: 500; text-align: right; position: sticky; left: 0; background: var(--ground);
}
.matrix thead td { vertical-align: bottom; }
.matrix th span {
  display: inline-block; max-width: min(9rem, 28vw); overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; vertical-align: bottom;
}
.steep thead th span { writing-mode: vertical-rl; rotate: 180deg; max-height: 9rem; }
.right { background: color-mix(in srgb, var(--good) calc(var(--share) * 50%), transparent); }
.wrong { background: color-mix(in srgb, var(--bad) calc(var(--share) * 75%), transparent); }
.ok { color: var(--good); }
.failed { color: var(--bad); font-weight: 600; display: block; min-width: 8rem; }
.charts {
  display: grid; gap: 1.5rem 2rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr));
}
.charts svg { display: block; width: 100%; max-width: 34rem; height: auto; font-family: inherit; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.5rem; margin: 0; }
dt { color: var(--soft); }
dd { margin: 0; min-width: 0; }
pre, code { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; font-size: .85rem; }
pre {
  margin: 0; padding: 1rem 1.1rem; background: var(--sheet); border-radius: 8px;
  width: max-content; min-width: 100%; line-height: 1.5;
}
@media print {
  :root { --ground: #fff; }
  html { font-size: 10pt; }
  main { max-width: none; padding: 0; }
  section { margin-top: 1.5rem; }
  h2, h3, .note { break-after: avoid; }
  tr, svg, p, li { break-inside: avoid; }
  .scroll { overflow: visible; }
  pre { white-space: pre-wrap; width: auto; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
