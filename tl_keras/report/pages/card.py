"""Writes a run's model card: Markdown, with front matter in the format of Hugging Face."""

import json
import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath
from typing import Any

from tl_keras import tasks
from tl_keras.data.paths import printable
from tl_keras.data.wording import place_of
from tl_keras.modalities import part
from tl_keras.report.advice import verdict
from tl_keras.report.advice.on_files import on_unread
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
    quoted,
)
from tl_keras.report.facts import figures, pretrained, teachers, trials
from tl_keras.report.read import RunFiles
from tl_keras.report.sections import export_notes, provenance, results, search
from tl_keras.run import files

FEW = 20  # examples of a class; with fewer, its recall means little


def write(run: RunFiles) -> Path:
    """Writes MODEL_CARD.md into the run folder, beside report.html; returns its path."""
    path = run.folder / "MODEL_CARD.md"
    files.write_text(path, printable(render(run)))
    return path


def render(run: RunFiles) -> str:
    """Returns the whole model card as Markdown."""
    parts = {
        "Data": _data(run),
        "Method": _method(run),
        "Figures": _figures(run),
        f"By {run.answer_nouns[0]}": _recalls(run),
        "Exports": _exports(run),
        "Limits": _limits(run),
        "How to reproduce": _reproduce(run),
    }
    body = "".join(f"\n## {title}\n\n{part}\n" for title, part in parts.items() if part)
    return f"{_front_matter(run)}\n# {plain(run.name)}\n\n{plain(verdict.headline(run))}.\n{body}"


def plain(value: Any) -> str:
    """Returns a value as one line of text that Markdown shows unchanged.

    Characters with a meaning in Markdown are escaped, and web addresses do not become links.
    """
    line = " ".join(str(value).split())
    line = re.sub(r"[\\`*\[\]<>#|~&$@]|(?<!\w)_|_(?!\w)|:(?=//)|(?<=www)\.", r"\\\g<0>", line)
    # At the start of a line, these would begin a list.
    return re.sub(r"^(\d*)([-+=]|(?<=\d)[.)](?=\s|$))", r"\1\\\2", line)


def _front_matter(run: RunFiles) -> str:
    """Returns the front matter of the card as YAML.

    Text from users is written as JSON strings. There is no field `license`, because the licence of
    the model is not known.
    """
    split, scores = figures.scored(run)
    words = tasks.of(run.task, "words")
    kind = "feature-extraction" if pretrained.has_no_head(run) else f"{run.modality}-{words.TAG}"
    metrics = [
        f"          - type: {metric}\n            value: {scores[key]}\n            name: {name}"
        for key, metric, name in words.CARD_METRICS
        if scores and is_number(scores.get(key))
    ]
    lines = ["---", "library_name: keras", f"pipeline_tag: {kind}", "tags:"]
    lines += [f"  - {tag}" for tag in (kind, "transfer-learning", "litert")]
    if metrics:
        lines += [
            "metrics:",
            f"  - {words.CARD_METRICS[0][1]}",
            "model-index:",
            f"  - name: {_json(run.name)}",
        ]
        lines += ["    results:", "      - task:", f"          type: {kind}"]
        lines += ["        dataset:", f"          name: {_json(_dataset(run))}"]
        lines += [
            f"          type: {_json(run.source or 'unknown')}",
            f"          split: {run.split_name(split)}",
        ]
        lines += ["        metrics:", *metrics]
    return "\n".join([*lines, "---", ""])


def _json(text: str) -> str:
    # YAML accepts neither surrogate pairs nor raw control characters, so these are escaped.
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in quoted)


def _dataset(run: RunFiles) -> str:
    data = run.tree.get("data") or {}
    path = data.get("path")
    return str(data.get("name") or (Path(str(path)).name if path else run.source) or "unknown")


def _items(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _data(run: RunFiles) -> str:
    splits = [
        ("training" if s == "train" else run.split_name(s), figures.split_size(run, s))
        for s in (("train", "test") if run.holds_out else ("train", "val", "test"))
    ]
    names = run.data.get("classes") or []
    source = dict.fromkeys(filter(None, (run.source, _dataset(run))))
    lines = [f"Source: {plain(', '.join(source))}"]
    if names:
        lines.append(f"{counted(len(names), *run.answer_nouns)}: {', '.join(map(plain, names))}")
    lines += [
        counted(size, *(f"{split} {noun}" for noun in run.example_nouns))
        for split, size in splits
        if size is not None
    ]
    if left_out := figures.quarantined(run):
        was = "was" if len(left_out) == 1 else "were"
        place = place_of(str(entry.get("file")) for entry in left_out)
        lines.append(f"{counted(len(left_out), place)} {was} left out as unusable")
    said = [*(run.data.get("warnings") or []), *(run.data.get("notes") or [])]
    return _items([*lines, *map(plain, said)])


def _method(run: RunFiles) -> str:
    described = provenance.described(run)
    for name in {"weights", "backbone"} & set(described):
        # A card is published, so it must not show local paths.
        described[name] = PurePath(str(described[name])).name
    lines = [f"{plain(name)}: {plain(value)}" for name, value in described.items()]
    if searched := trials.searched(run):
        how = search.summary(searched).rstrip(".")
        lines.append(plain(f"search: {how}; the trial with the best validation score was kept"))
    settings = run.tree.get(run.modality) or {}
    if how := part(run.modality, "show").prepared(settings):
        lines.append(plain(how))
    epochs = figures.epochs(run)
    kept = epochs and not (run.result.model and run.result.model.kept == "head")
    if kept and settings.get("augment"):  # If only the head is trained, nothing is augmented.
        lines.append(f"augmentation: {plain(json.dumps(settings['augment']))}")
    if epochs:
        how = _kept_epochs(run, epochs) if kept else HEAD_KEPT
        name = "training" if epochs[-1].get("stage") in WHOLE else "fine-tuning"
        lines.append(f"{name}: {counted(len(epochs), 'epoch')}, {how}")
    return _items(lines)


WHOLE = ("scratch", "pretrain")  # Stages that train all layers.
HEAD_KEPT = "not kept, because it was not clearly better on validation than the head-only model"


def _kept_epochs(run: RunFiles, epochs: Sequence[dict]) -> str:
    """Returns a phrase that says from which epochs the weights of the model come."""
    keep = (run.tree.get("fit") or {}).get("keep", "auto")
    if keep == "auto":
        keep = "best" if epochs[-1].get("stage") in WHOLE else "average"
    return {
        "best": "weights of the epoch with the lowest validation loss",
        "average": "weights averaged over the second half of the epochs",
    }[keep]


def _figures(run: RunFiles) -> str:
    rows = []
    for split in ("test", "val"):
        scores, between = figures.measured(run, split), figures.intervals(run, split)
        for key, (name, written) in results.named_scores(run.task).items():
            if scores and is_number(scores.get(key)):
                low_high = " to ".join(map(written, between[key])) if key in between else NOTHING
                row = [run.split_name(split), count(scores.n), name]
                rows.append([*row, written(scores[key]), low_high])
    return _table(["Split", "Examples", "Score", "Value", "95% interval"], rows) if rows else ""


def _recalls(run: RunFiles) -> str:
    rows = [
        [
            plain(rate.name),
            *(percent(rate.recall.value), interval(rate.recall.interval), count(rate.recall.n)),
            *(percent(rate.precision.value), interval(rate.precision.interval)),
            count(rate.precision.n),
        ]
        for rate in figures.rates(run)
    ]
    noun = run.answer_nouns[0]
    heads = [noun.capitalize(), "Recall", "95% interval", "Examples"]
    heads += ["Precision", "95% interval", "Answers"]
    above = (
        f"Recall: of the examples of a {noun}, the share that was recognised. Precision: of the "
        f"answers that name this {noun}, the share that is right."
    )
    return f"{plain(above)}\n\n{_table(heads, rows)}" if rows else ""


def _exports(run: RunFiles) -> str:
    title, written = results.named_scores(run.task)[run.main]
    rows = []
    for name, export in figures.exports(run).items():
        share = figures.right(run, export)
        rows.append(
            [
                *(plain(name), plain(export.path), megabytes(export.bytes)),
                written(export.get(run.main)),
                interval(share.interval) if share else NOTHING,
                count(figures.examples(run, export)),
                *(number(figures.median(export)), plain(export.status)),
            ]
        )
    heads = ["Format", "File", "Size", title, "95% interval", "Examples", "Latency, ms", "Status"]
    if not rows:
        return ""
    shipped, _ = figures.to_ship(run) or (None, None)
    below = (
        "\n\nLatency is the median time for one example on one thread of the device that the "
        'section "How to reproduce" names.'
    )
    if shipped:
        below += f" {plain(shipped.path)} is the {plain(shipped.format)} file."
    elif run.result.shipped and run.result.shipped.reason:
        below += f" No model.tflite can be shipped: {plain(run.result.shipped.reason)}."
    return _table(heads, rows) + below


NO_HEAD = (
    "This is a backbone that was pretrained without labels. It turns an example into features, and "
    "answers nothing before a model is trained from it."
)


def _limits(run: RunFiles) -> str:
    if pretrained.has_no_head(run):
        return _items([plain(NO_HEAD)])
    judged = verdict.verdict(run)
    lines = [f"Good enough? {judged.answer}", *judged.why] if judged else []
    lines += [f"{line.do} {line.why}" for line in on_unread(run)]
    split, scores = figures.scored(run)
    if split == "val" and not run.holds_out:
        unread = figures.unread_test(run)
        what = "The search did not read the test split" if unread else "The run has no test split"
        lines.append(
            f"{what}. The validation scores are too good, because they were used to choose the "
            "model."
        )
    small = [r for r in figures.rates(run) if r.recall.n < FEW]
    if small:
        names = listed([f"{quoted(rate.name)} ({count(rate.recall.n)})" for rate in small])
        lines.append(
            f"{run.answer_nouns[1].capitalize()} with fewer than {FEW} {run.split_name(split)} "
            f"examples, too few to judge their recall: {names}."
        )
    if scores and run.counts_right:
        lines.append(
            f"Calibration error {percent(scores['calibration_error'])} on "
            f"{counted(scores.n, 'example')}: the mean distance between the model's confidence "
            "and the share of right answers."
        )
    lines += export_notes.abstaining(run)
    if doubt := teachers.doubt(run):
        lines.append(doubt)
    one, many = run.plain_nouns
    shifts = part(run.modality, "show").SHIFTS
    lines.append(
        f"The scores hold for {many} like those of the data set. For {shifts}, measure again. "
        f"A {one} {tasks.of(run.task, 'words').STRANGER}"
    )
    return _items(map(plain, lines))


def _reproduce(run: RunFiles) -> str:
    command = run.result.pipeline or "finetune"
    again = shlex.quote(f"../{run.name}_again")
    line = f"tl-keras {command} --config=config.yaml --workdir={again}"
    facts = [("seed", run.result.seed), ("data fingerprint", run.data.get("fingerprint"))]
    facts += [*(run.result.versions or {}).items(), ("device", run.result.device)]
    lines = [f"{plain(name)}: {plain(value)}" for name, value in facts if value is not None]
    above = "Run this command in the folder that contains config.yaml:"
    # Indented instead of fenced: a name could contain the end of a fence.
    return f"{above}\n\n    {' '.join(line.split())}\n\n{_items(lines)}"
