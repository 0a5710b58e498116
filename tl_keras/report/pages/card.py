"""A run in, its model card out: Markdown, with front matter as Hugging Face's cards have it."""

import json
import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath
from typing import Any

from tl_keras import tasks
from tl_keras.data.paths import printable
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
from tl_keras.report.facts import figures, trials
from tl_keras.report.read import RunFiles
from tl_keras.report.sections import provenance, results, search
from tl_keras.run import files

FEW = 20  # Examples of an answer, under which its recall says little.


def write(run: RunFiles) -> Path:
    """The path of MODEL_CARD.md, written anew beside the report."""
    path = run.folder / "MODEL_CARD.md"
    files.write_text(path, printable(render(run)))
    return path


def render(run: RunFiles) -> str:
    """The whole card."""
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
    """Text that Markdown shows as it is: on one line, its marks escaped, no links made of it."""
    line = " ".join(str(value).split())
    line = re.sub(r"[\\`*\[\]<>#|~&$@]|(?<!\w)_|_(?!\w)|:(?=//)|(?<=www)\.", r"\\\g<0>", line)
    return re.sub(r"^(\d*)([-+=]|(?<=\d)[.)](?=\s|$))", r"\1\\\2", line)  # Would begin a list.


def _front_matter(run: RunFiles) -> str:
    """YAML in JSON's notation where text is a user's. The license is unknown, and left out."""
    split, scores = figures.scored(run)
    words = tasks.of(run.task, "words")
    kind = f"{run.modality}-{words.TAG}"
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
        lines += [f"          type: {_json(run.source or 'unknown')}", f"          split: {split}"]
        lines += ["        metrics:", *metrics]
    return "\n".join([*lines, "---", ""])


def _json(text: str) -> str:
    # As YAML reads it, which knows no pairs of surrogates, and no control characters as they are.
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
    splits = [(run.split_name(s), figures.split_size(run, s)) for s in ("train", "val", "test")]
    names = run.data.get("classes") or []
    source = dict.fromkeys(filter(None, (run.source, _dataset(run))))
    lines = [f"Source: {plain(', '.join(source))}"]
    many = run.answer_nouns[1]
    lines += [f"{count(len(names))} {many}: {', '.join(map(plain, names))}"] if names else []
    lines += [
        f"{count(size)} {split} {run.example_nouns[1]}"
        for split, size in splits
        if size is not None
    ]
    if left_out := figures.quarantined(run):
        lines.append(f"{count(len(left_out))} files were left out as unusable")
    return _items([*lines, *map(plain, run.data.get("warnings") or [])])


def _method(run: RunFiles) -> str:
    described = provenance.described(run)
    for name in {"weights", "backbone"} & set(described):
        # A card is passed on: not where somebody keeps his files.
        described[name] = PurePath(str(described[name])).name
    lines = [f"{plain(name)}: {plain(value)}" for name, value in described.items()]
    if searched := trials.searched(run):
        how = f"search: {search.summary(searched).rstrip('.')}; validation chose among them"
        lines.append(plain(how))
    settings = run.tree.get(run.modality) or {}
    if how := part(run.modality, "show").prepared(settings):
        lines.append(plain(how))
    epochs = figures.epochs(run)
    kept = epochs and not (run.result.model and run.result.model.kept == "head")
    if kept and settings.get("augment"):  # A head alone is fitted on the examples as they are.
        lines.append(f"augmentation: {plain(json.dumps(settings['augment']))}")
    if epochs:
        how = _kept(run, epochs) if kept else "tried and given up for the head alone"
        lines.append(f"{counted(len(epochs), 'epoch')}, {how}")
    return _items(lines)


def _kept(run: RunFiles, epochs: Sequence[dict]) -> str:
    """Which of the epochs' weights are in the model."""
    keep = (run.tree.get("fit") or {}).get("keep", "auto")
    if keep == "auto":
        keep = "best" if epochs[-1].get("stage") == "scratch" else "average"
    return {
        "best": "the best by validation loss kept",
        "average": "the average of the weights over the last half of them kept",
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
    return _table(["Split", "n", "Score", "Value", "95% interval"], rows) if rows else ""


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
    heads = [noun.capitalize(), "Recall", "95% interval", "n", "Precision", "95% interval", "n"]
    return _table(heads, rows) if rows else ""


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
    heads = ["Format", "File", "Size", title, "95% interval", "n", "Median ms", "Status"]
    if not rows:
        return ""
    shipped, _ = figures.to_ship(run) or (None, None)
    below = f"\n\n{plain(shipped.path)} is the {plain(shipped.format)} file." if shipped else ""
    return _table(heads, rows) + below


def _limits(run: RunFiles) -> str:
    found = verdict.verdict(run)
    lines = [found.answer, *found.why] if found else []
    lines += [f"{own.do} {own.why}" for own in on_unread(run)]
    split, scores = figures.scored(run)
    if split == "val" and not run.holds_out:
        what = (
            "The test split was not read" if figures.unread_test(run) else "There was no test split"
        )
        lines.append(f"{what}: validation chose this model and flatters it.")
    small = [r for r in figures.rates(run) if r.recall.n < FEW]
    if small:
        names = listed([f"{quoted(rate.name)} ({count(rate.recall.n)})" for rate in small])
        lines.append(
            f"Fewer than {FEW} {run.split_name(split)} examples, too few to judge: {names}."
        )
    if scores and run.counts_right:
        lines.append(
            f"Calibration error {percent(scores['calibration_error'])} on {count(scores.n)} "
            "examples: probabilities are no certainties."
        )
    one, many = run.plain_nouns
    shifts = part(run.modality, "show").SHIFTS
    lines.append(
        f"The figures hold for {many} like those of the data set: {shifts} need to be measured "
        f"again. A {one} {tasks.of(run.task, 'words').STRANGER}"
    )
    return _items(map(plain, lines))


def _reproduce(run: RunFiles) -> str:
    command = run.result.pipeline or "finetune"
    line = f"tl-keras {command} --config=config.yaml --workdir={shlex.quote(f'runs/{run.name}')}"
    facts = [("seed", run.result.seed), ("data fingerprint", run.data.get("fingerprint"))]
    facts += [*(run.result.versions or {}).items(), ("device", run.result.device)]
    lines = [f"{plain(name)}: {plain(value)}" for name, value in facts if value is not None]
    # Indented, not fenced: a name cannot end it.
    return f"    {' '.join(line.split())}\n\n{_items(lines)}"
