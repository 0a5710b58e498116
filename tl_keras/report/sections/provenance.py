"""Sections on what the model came from: a run in, HTML out, empty where that is unknown."""

from typing import Any

from tl_keras import tasks
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

QUARANTINED = 100


def data(run: RunFiles) -> str:
    """Sizes of the splits, warnings of the audit, and what was left out."""
    if not run.data and not run.result.data:
        return ""
    left_out = figures.quarantined(run)
    splits = ("train", "test") if run.holds_out else ("train", "val", "test")
    rows = [[split_name(s), count(figures.split_size(run, s))] for s in splits]
    rows += [["left out", count(len(left_out))]]
    names = run.data.get("classes") or []
    above = f"{counted(len(names), *run.answer_nouns)}." if names else ""
    parts = [table(above, ["Split", "Examples"], rows, [1])]
    if run.data.get("warnings"):
        parts.append(f"<h3>Warnings</h3>{items(run.data['warnings'])}")
    if left_out:
        parts.append(f"<h3>Files left out</h3>{_left_out(left_out)}")
    if run.data.get("fingerprint"):
        fingerprint = escape(run.data["fingerprint"])
        parts.append(f'<p class="fingerprint">Fingerprint <code>{fingerprint}</code></p>')
    return "".join(parts)


def _left_out(entries: list[dict]) -> str:
    shown = entries[:QUARANTINED]
    rows = [[escape(entry.get("file")), escape(entry.get("reason"))] for entry in shown]
    above = f"{counted(len(entries), 'file')} that cannot be read or used"
    rest = len(entries) - len(shown)
    above += f"; the first {len(shown)}, and {count(rest)} more in data.json." if rest else "."
    return table(above, ["File", "Reason"], rows)


def time(run: RunFiles) -> str:
    """How long each phase took."""
    seconds = {phase: s for phase, s in run.result.seconds.items() if is_number(s)}
    total = seconds.pop("total", None) or sum(seconds.values())
    if not total:
        return ""
    rows = [
        [escape(phase), duration(s), bar(s / total, percent(s / total))]
        for phase, s in seconds.items()
    ]
    return table(f"{duration(total)} in all.", ["Phase", "Time", "Share"], rows, numeric=(1,))


def features(run: RunFiles) -> str:
    """Which activations were kept, and why."""
    rows = []
    for name, own in (run.result.features or {}).items():
        cut, _, split = name.rpartition("/")
        if own.keep:
            how = "read from the cache" if own.cached else "computed"
            spent = [how, megabytes(own.bytes), duration(own.seconds)]
        else:
            spent = ["not kept", NOTHING, NOTHING]
        row = [cut, split_name(split), *spent, own.why or NOTHING]
        rows.append([escape(cell) for cell in row])
    if not rows:
        return ""
    above = "Activations of frozen layers, computed once instead of at each step."
    columns = ["Behind layer", "Split", "How", "Size", "Time", "Why"]
    return table(above, columns, rows, numeric=(3, 4))


def model(run: RunFiles) -> str:
    """What was trained from what, and which of the candidates was kept."""
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
    above = f"What stood for choice, on {count(n)} validation examples. Gain: " + tasks.of(
        run.task, "words"
    ).ABOUT_GAIN.format(views=counted(views, "view"))
    columns = ["Candidate", *titles, "Gain", "Temperature"]
    size = len(titles)
    numeric = (1, size + 1, size + 2)
    return f"{named}<h3>Candidates</h3>{table(above, columns, rows, numeric=numeric)}"


def _words(key: str) -> str:
    return key.replace("_", " ").capitalize()


def _score(run: RunFiles, key: str, value: float | None, n: int | None) -> str:
    """A score that candidates are chosen by, as HTML."""
    if run.counts_right and key == run.main:
        return share_of(value, n)
    return named_scores(run.task).get(key, ("", number))[1](value)


def described(run: RunFiles) -> dict[str, Any]:
    """What the model is, by name, in words."""
    model = run.result.model
    if not model:
        return {}
    values = model.model_dump(exclude_none=True, exclude={"candidates"})
    if model.freeze is not None:
        values = {name: own for name, own in values.items() if name not in ("block", "cut")}
        values["freeze"] = _frozen(model)
    if model.kept:
        values["kept"] = KEPT.get(model.kept, model.kept)
    if model.weights == "none":
        values["weights"] = "none: random"
    return {name: _plain(value) for name, value in values.items()}


KEPT = {
    "head": "the head alone, on the backbone as it was",
    "mix": "the mean of the weights before and after fine-tuning",
    "finetuned": "the fine-tuned weights",
    "scratch": "the weights trained from scratch",
    "average": "the average of the weights of all folds or students",
    "ensemble": "the models of all folds or students, whose probabilities are averaged",
    "teacher": "the teacher, since no student was better",
}


def _frozen(model: ModelRecord) -> str:
    if not model.cut:
        return "nothing"
    share = f", {model.freeze:.0%} of the blocks" if is_number(model.freeze) else ""
    return f"up to {model.block or model.cut}{share}"


def versions(run: RunFiles) -> str:
    """What it ran on."""
    named = {**(run.result.versions or {}), "device": run.result.device}
    return facts([(name, value) for name, value in named.items() if value is not None])


def config(run: RunFiles) -> str:
    """config.yaml as it stands."""
    if not run.config.strip():
        return ""
    return scrolling("config.yaml", f"<pre><code>{escape(run.config.rstrip())}</code></pre>")


def _plain(value: Any) -> Any:
    return count(value) if type(value) is int else number(value) if is_number(value) else value
