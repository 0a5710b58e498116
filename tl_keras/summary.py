"""Builds the lines that a command prints at the end of a run. Does not import TensorFlow."""

import json
import re
from typing import Any

from tl_keras import modalities, tasks
from tl_keras.config.export import NOT_LITERT
from tl_keras.config.messages import with_article
from tl_keras.data.examples import Quarantined
from tl_keras.data.wording import left_out, place_of
from tl_keras.modalities import part
from tl_keras.report.advice import on_data
from tl_keras.report.advice.on_approaches import what_to_do
from tl_keras.report.drawings.words import counted, milliseconds
from tl_keras.report.facts import fold_strengths, label_doubts, pretrained
from tl_keras.report.read import read
from tl_keras.report.sections.provenance import kept_words
from tl_keras.run.result.exports import Shipped
from tl_keras.run.result.search import SearchRecord
from tl_keras.run.result.training import ModelRecord
from tl_keras.run.result.whole import Result
from tl_keras.run.run import Run

LINE = 250  # Characters. Longer notes are printed without advice, which is in the report.


def lines(run: Run) -> list[str]:
    """Returns the summary of a finished run: duration, scores, model, exports, report."""
    seconds = run.result.seconds["total"]
    body = _compared(run) if run.pipeline == "compare" else _of_a_model(run)
    summary = [f"{run.pipeline} finished, {seconds:.0f} s of work", *body]
    summary.append(f"{'report':13} {run.report}")
    if run.pipeline == "search":
        summary.append(
            f"{'next':13} run tl-keras finetune with the same flags, to measure the model on test "
            "and export it"
        )
    return summary


def lines_of_export(run: Run, made: Result) -> list[str]:
    """Returns the summary of `tl-keras export`.

    Args:
      made: the run's result with only the exports that this command made, see `of_formats`.
    """
    return [
        f"exported {counted(len(made.export), 'format')}",
        *_exports(run, made),
        f"{'report':13} {run.report}",
    ]


def lines_of_audit(run: Run) -> list[str]:
    """Returns the findings of an audit, one line for each kind of finding."""
    findings, modality = run.findings, run.config.modality
    data = json.loads((run.workdir / "data.json").read_text(encoding="utf-8"))
    quarantined = [Quarantined(**entry) for entry in data["quarantined"]]
    examples = [name for names in data["splits"].values() for name in names]
    place = place_of([*examples, *(entry.file for entry in quarantined)])
    noun, nouns = modalities.nouns(modality)
    words = tasks.of(run.config.task, "words")
    classes = f" in {words.counted(data['classes'])}" if data["classes"] else ""
    rare = [f"  {words.counted(findings['rare'])} with few {nouns}"] if data["classes"] else []
    return [
        f"{counted(len(examples), noun, nouns)}{classes}, "
        f"{counted(len(quarantined), place)} left out",
        *(f"  {line}" for line in left_out(quarantined)),
        *(f"  {line}" for line in (*data["warnings"], *data["notes"])),
        _near_duplicates(findings, nouns),
        _suspects(findings),
        *rare,
        *(f"  {line}" for line in part(modality, "examine").lines(findings)),
        *_next(run),
    ]


def _next(run: Run) -> list[str]:
    """Returns lines with the command to run after an audit; empty if training refuses the data."""
    last = on_data.what_to_do(read(run.workdir))[-1]
    do = last.do.removeprefix("Then ").lower()
    return [f"next: {do} {last.why}", f"  {last.command}"] if last.command else []


def _near_duplicates(findings: dict[str, Any], nouns: str) -> str:
    if "near_duplicates" not in findings:
        return f"  near-duplicates were not searched for: too many {nouns} for the memory"
    pairs = counted(len(findings["near_duplicates"]), "pair")
    return f"  {pairs} of near-duplicates in two splits or with two labels"


def _suspects(findings: dict[str, Any]) -> str:
    if note := findings.get("suspects_note"):
        return f"  {_shortened(note)}"
    if withheld := label_doubts.withheld(findings):
        return f"  {withheld}"
    line = f"  {counted(len(findings['suspects']), 'label')} that may be wrong"
    judged = label_doubts.judge(findings)
    if not judged or not findings["suspects"]:
        return line
    return f"{line}; the model that checked the labels {label_doubts.agreement(judged)}"


def _shortened(note: str) -> str:
    """Returns the reason in a long note, without the advice and the address of a download."""
    if len(note) <= LINE:
        return note
    reason = re.split(r"; |\. ", re.sub(r" on https?://\S+(?=:)", "", note), maxsplit=1)[0]
    return f"{reason}; the report says what to do"


def of_formats(run: Run) -> Result:
    """Returns the run's result with only the exports in the formats that its config now names.

    If none of these exports is a LiteRT file, the returned result has `shipped=None`, because the
    file that the run ships was made by an earlier command.
    """
    formats, result = run.config.export.formats, run.result
    exports = {name: entry for name, entry in result.export.items() if name in formats}
    shipped = None if set(exports) <= set(NOT_LITERT) else result.shipped
    return result.model_copy(update={"export": exports, "shipped": shipped})


def missed(result: Result) -> list[str]:
    """Returns a line for each export that misses a tolerance or limit, with the reason."""
    files = {**(result.export or {}), "model.tflite": result.shipped}
    return [
        f"{name}: {entry.status}" for name, entry in files.items() if entry and entry.status != "ok"
    ]


def _compared(run: Run) -> list[str]:
    """Returns a line for each approach of `compare`, then the recommendation."""
    lines, main = [], tasks.of(run.config.task, "names").MAIN
    for name, approach in run.result.approaches.items():
        scores = {"val": approach.val, "test": approach.test}
        figures = [f"{split} {score[main]:.3f}" for split, score in scores.items() if score]
        figures.append(f"{approach.training:.0f} s of training")
        if approach.bytes and approach.latency_ms is not None:
            size = f"{approach.format} {approach.bytes / 1e6:.2f} MB"
            figures.append(f"{size}, {milliseconds(approach.latency_ms)}")
        lines.append(f"{name:15}{', '.join(figures)}")
    lines += [f"{name:15}not run: {why}" for name, why in run.result.left_out.items()]
    advice = what_to_do(read(run.workdir))
    return [*lines, *(f"{line.do} {line.why}" for line in advice)]


def _of_a_model(run: Run) -> list[str]:
    result, main = run.result, tasks.of(run.config.task, "names").MAIN
    lines, name = [], main.replace("_", " ")
    for split, measured in (("val", result.val), ("test", result.test)):
        if measured:
            low, high = measured.interval
            lines.append(
                f"{f'{split} {name}':13} {measured[main]:.3f} on {measured.n} examples "
                f"(95% interval {low:.3f} to {high:.3f})"
            )
            if views := measured.views:
                lines.append(
                    f"{'':13} {views[main]:.3f} with predictions averaged over {views.count} "
                    "versions (original and augmented) of each example"
                )
    if warning := fold_strengths.far_apart(result.folds or [], result.chosen):
        lines.append(f"{'warning':13} {warning}")
    if result.search:
        lines.append(_search(result.search, result.model))
    if result.pretraining:
        lines += pretrained.lines(run.config, result.pretraining, run.workdir)
    lines.append(_model(result.model, run.pipeline))
    return [*lines, *_exports(run, result)]


def _search(search: SearchRecord, model: ModelRecord) -> str:
    best = next(trial for trial in search.trials if trial.trial == search.best)
    values = ", ".join(f"{name} {value}" for name, value in best.values.items())
    if model.kept == "head":
        values = f"{best.trial}, whose head-only model was kept"
    num_level = len(search.level or ())
    tied = f"; {counted(num_level, 'other trial')} not clearly worse" if num_level else ""
    return f"{'search':13} {counted(len(search.trials), 'trial')}, best: {values}{tied}"


def _model(model: ModelRecord, pipeline: str) -> str:
    frozen = f"frozen up to {model.block or model.cut}" if model.cut else "nothing frozen"
    kept = kept_words(str(model.kept), pipeline)
    if model.kept == "mix":
        kept = "the mean of initial and fine-tuned weights"
    if model.kept == "head":
        frozen = "all frozen"
        tuned = set(model.candidates or ()) - {"head"}
        why = "fine-tuning was not clearly better on validation" if tuned else ""
        kept = f"the head-only model ({why})" if why else "the head-only model"
    return f"{'model':13} {model.backbone}, {frozen}, kept: {kept}"


def _exports(run: Run, result: Result) -> list[str]:
    lines, main = [], tasks.of(run.config.task, "names").MAIN
    units = {main: "", "agreement": " agreement with the model"}
    noun = with_article(modalities.nouns(run.config.modality)[0])
    for name, entry in (result.export or {}).items():
        latency = entry.latency_ms
        speed = f", {milliseconds(latency.median)} {noun} on one thread" if latency else ""
        # cross_validate without a test split measures the score by its folds, not by each file.
        measured = next((key for key in units if entry.get(key) is not None), None)
        score = f"{entry[measured]:.3f}{units[measured]}" if measured else "not measured"
        kept = entry.repair.kept if entry.repair else []
        repaired = f", {counted(len(kept), 'operator')} kept float" if kept else ""
        rejected = "" if entry.status == "ok" else f"; REJECTED: {entry.status}"
        lines.append(f"{name:13} {entry.bytes / 1e6:.2f} MB, {score}{speed}{repaired}{rejected}")
    shipped = _shipped(result.shipped, main, run.config.modality)
    return [*lines, *shipped, *_abstaining(result, main)]


def _abstaining(result: Result, main: str) -> list[str]:
    """Returns a line with the share of examples on which a model decides, and its score on these.

    On the other examples the model abstains. The line is about the shipped file on the test split,
    or, without a test split, about the folds' models on the examples that the folds held out.
    Returns an empty list if abstaining was not measured.
    """
    shipped, summary = result.shipped, result.cross_validation
    entry = (result.export or {}).get(shipped.format) if shipped and shipped.format else None
    if not entry:
        return []
    measured, split = entry.abstain, "test"
    if not measured and summary:
        measured, split = summary.abstain, "held-out"
    if not measured:
        return []
    right = f", {main} {measured[main]:.3f} on these" if measured.get(main) is not None else ""
    answers, abstains = "the file answers", "abstains"
    if split == "held-out":
        answers, abstains = "the models of the folds answer", "abstain"
    share = f"{measured.answered:.1%} of {measured.n} {split} examples"
    return [f"{'abstain':13} {answers} on {share}{right}, and {abstains} on the others"]


def _shipped(shipped: Shipped | None, main: str, modality: str) -> list[str]:
    if shipped and shipped.reason:
        return [f"{'to ship':13} nothing: {shipped.reason}"]
    if not shipped or not shipped.path:
        return []
    device = shipped.device
    measured = device and device.get(main) is not None
    score = ""
    if measured:
        name = main.replace("_", " ")
        how = part(modality, "show").AS_ON_DEVICE
        score = f"; test {name} {device[main]:.3f} if {how}"
    return [f"{'to ship':13} {shipped.path}, the {shipped.format} file{score}"]
