"""Sections on how the model was made, as HTML; "" if the run has no record of it."""

from collections.abc import Sequence
from typing import Any

from tl_keras import tasks
from tl_keras.data.wording import place_of
from tl_keras.report.drawings.markup import bar, escape, facts, items, scrolling, table
from tl_keras.report.drawings.words import (
    NOTHING,
    count,
    counted,
    duration,
    is_number,
    megabytes,
    number,
    percent,
    split_name,
)
from tl_keras.report.facts import figures
from tl_keras.report.read import RunFiles
from tl_keras.report.sections.results import named_scores, share_of
from tl_keras.run.result.training import ModelRecord

ANSWERS = 40  # rows at most in the table of examples of each answer, such as a class
QUARANTINED = 100  # files left out that are listed at most


def data(run: RunFiles) -> str:
    """Returns the sizes of the splits, the warnings of the data check and the files left out."""
    if not run.data and not run.result.data:
        return ""
    left_out = figures.quarantined(run)
    splits = ("train", "test") if run.holds_out else ("train", "val", "test")
    rows = [[split_name(s), count(figures.split_size(run, s))] for s in splits]
    rows += [["left out", count(len(left_out))]]
    names = run.data.get("classes") or []
    above = f"{counted(len(names), *run.answer_nouns)}." if names else ""
    parts = [table(above, ["Split", "Examples"], rows, [1]), _answers(run, splits)]
    if run.data.get("warnings"):
        parts.append(f"<h3>Warnings</h3>{items(run.data['warnings'])}")
    if run.data.get("notes"):
        parts.append(items(run.data["notes"]))
    if left_out:
        parts.append(f"<h3>Files left out</h3>{_left_out(left_out)}")
    if run.data.get("fingerprint"):
        fingerprint = escape(run.data["fingerprint"])
        parts.append(f'<p class="fingerprint">Fingerprint <code>{fingerprint}</code></p>')
    return "".join(parts)


def _answers(run: RunFiles, splits: Sequence[str]) -> str:
    """Returns a table: for each answer, such as a class, its number of examples in each split."""
    counts = run.data.get("answers") or {}
    shown = [split for split in splits if any((counts.get(split) or {}).values())]
    names = [name for name in run.data.get("classes") or [] if shown]
    one, many = run.answer_nouns
    above = f"Examples of each {one}."
    if len(names) > ANSWERS:
        above = f"Examples of each {one}; the {ANSWERS} {many} with the fewest examples are shown."
        names = sorted(names, key=lambda name: sum(counts[s].get(name, 0) for s in shown))[:ANSWERS]
    rows = [[escape(name), *(count(counts[s].get(name, 0)) for s in shown)] for name in names]
    heads = [one.capitalize(), *map(split_name, shown)]
    return table(above, heads, rows, range(1, len(heads))) if rows else ""


def _left_out(entries: list[dict]) -> str:
    shown = entries[:QUARANTINED]
    rows = [[escape(entry.get("file")), escape(entry.get("reason"))] for entry in shown]
    place = place_of(str(entry.get("file")) for entry in entries)
    above = f"{counted(len(entries), place)} cannot be read or used"
    if len(entries) > len(shown):
        above += f"; the first {len(shown)} are listed here, all of them in data.json"
    return table(f"{above}.", [place.capitalize(), "Reason"], rows)


def time(run: RunFiles) -> str:
    """Returns a table of how long each phase of the run took."""
    seconds = {phase: s for phase, s in run.result.seconds.items() if is_number(s)}
    total = seconds.pop("total", None) or sum(seconds.values())
    if not total:
        return ""
    rows = [
        [escape(phase), duration(s), bar(s / total, percent(s / total))]
        for phase, s in seconds.items()
    ]
    above = f"{duration(total)} in all. {COVERED}"
    return table(above, ["Phase", "Time", "Share"], rows, numeric=(1,))


# `Run.timed` adds a phase's seconds when the phase ends.
COVERED = (
    "If the run was stopped and resumed, the times of all sessions are added up. If a phase was "
    "interrupted, the time until the interruption is not included."
)


def features(run: RunFiles) -> str:
    """Returns a table of frozen layers: whether their activations were stored on disk, and why."""
    rows = []
    for name, record in (run.result.features or {}).items():
        layer, _, split = name.rpartition("/")
        if record.keep:
            how = "read from the cache" if record.cached else "computed"
            cells = [how, megabytes(record.bytes), duration(record.seconds)]
        else:
            cells = ["not stored", NOTHING, NOTHING]
        row = [layer, split_name(split), *cells, record.why or NOTHING]
        rows.append([escape(cell) for cell in row])
    if not rows:
        return ""
    above = (
        "Activations of frozen layers are computed once and stored, or computed again in each "
        'training step; the column "Why" has the reason. If one pass computed the '
        "activations of several layers, each row shows the time of the whole pass."
    )
    columns = ["After layer", "Split", "Source", "Size", "Time", "Why"]
    return table(above, columns, rows, numeric=(3, 4))


def model(run: RunFiles) -> str:
    """Returns the model's properties and a table of candidate models; the kept one is marked."""
    candidates = (run.result.model.candidates if run.result.model else None) or {}
    chosen_by = tasks.of(run.task, "names").CHOOSE_BY
    named, n = facts(list(described(run).items())), run.result.val.n if run.result.val else None
    rows = [
        [
            escape(name + (" (kept)" if name == run.result.model.kept else "")),
            *(_score(run, key, candidate.get(key), n) for key in chosen_by),
            number(candidate.gain),
            number(candidate.temperature),
        ]
        for name, candidate in candidates.items()
    ]
    if not rows:
        return named
    titles = [named_scores(run.task).get(key, (_words(key),))[0] for key in chosen_by]
    views = next(iter(candidates.values())).views
    above = (
        'The candidate "head" is the head-only model; "finetuned" has the fine-tuned weights; '
        '"mix" has the mean of the weights before and after fine-tuning. All candidates are '
        f"measured on {count(n)} validation examples. Gain: "
    ) + tasks.of(run.task, "words").ABOUT_GAIN.format(views=counted(views, "view"))
    columns = ["Candidate", *titles, "Gain", "Temperature"]
    size = len(titles)
    numeric = (1, size + 1, size + 2)
    return f"{named}<h3>Candidates</h3>{table(above, columns, rows, numeric=numeric)}"


def _words(key: str) -> str:
    return key.replace("_", " ").capitalize()


def _score(run: RunFiles, key: str, value: float | None, n: int | None) -> str:
    """Returns a candidate model's score on a metric that decides which one is kept, as HTML."""
    if run.counts_right and key == run.main:
        return share_of(value, n)
    return named_scores(run.task).get(key, ("", number))[1](value)


def described(run: RunFiles) -> dict[str, Any]:
    """Returns a dict from each property of the model, such as `freeze`, to its value in words."""
    model = run.result.model
    if not model:
        return {}
    values = model.model_dump(exclude_none=True, exclude={"candidates"})
    if model.freeze is not None:
        values = {name: value for name, value in values.items() if name not in ("block", "cut")}
        values["freeze"] = _frozen(model)
    if model.kept:
        values["kept"] = kept_words(model.kept, run.result.pipeline)
    if model.weights == "none":
        values["weights"] = "none (random initial weights)"
    return {name: _plain(value) for name, value in values.items()}


KEPT = {
    "head": "the head-only model (only the head was trained, on the pretrained backbone)",
    "mix": "the mean of the weights before and after fine-tuning",
    "finetuned": "the fine-tuned weights",
    "scratch": "the weights trained from scratch",
    "average": "the average of the weights of all {models}",
    "ensemble": "all {models}, whose probabilities are averaged",
    "teacher": "the teacher model, because no student model was better",
}


def kept_words(kept: str, pipeline: str | None) -> str:
    """Returns in words which weights a model has.

    Args:
      kept: the field `kept` of the model's record.
      pipeline: the command that made the model.
    """
    if kept.startswith("segment_"):
        return f"the student model of segment {kept.removeprefix('segment_')}"
    models = "student models" if pipeline == "parallel" else "fold models"
    return KEPT.get(kept, kept).replace("{models}", models)


def _frozen(model: ModelRecord) -> str:
    """Returns which layers of the kept model were frozen.

    If only the head was trained, also says which layers were frozen when fine-tuning was tried.
    """
    if model.kept != "head":
        return _depth(model)
    if not set(model.candidates or ()) - {"head"}:
        return "all layers of the backbone"
    depth = _depth(model)
    return (
        f"all layers of the backbone; fine-tuning froze {depth}, but the fine-tuned weights were "
        "not kept"
    )


def _depth(model: ModelRecord) -> str:
    if not model.cut:
        return "nothing"
    # The share from the config; tables of a search show the share of whole blocks.
    place = f"up to {model.block or model.cut}"
    if not is_number(model.freeze):
        return place
    return f"{place} ({model.freeze:g} of the blocks, rounded to whole blocks)"


def versions(run: RunFiles) -> str:
    """Returns the software versions and the device that the run used."""
    named = {**(run.result.versions or {}), "device": run.result.device}
    return facts([(name, value) for name, value in named.items() if value is not None])


def config(run: RunFiles) -> str:
    """Returns the text of config.yaml."""
    if not run.config.strip():
        return ""
    return scrolling("config.yaml", f"<pre><code>{escape(run.config.rstrip())}</code></pre>")


def _plain(value: Any) -> Any:
    return count(value) if type(value) is int else number(value) if is_number(value) else value
