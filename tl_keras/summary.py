"""What a command prints of a finished run. Imports no TensorFlow."""

import json
from typing import Any

from tl_keras import modalities, tasks
from tl_keras.config.export import WHOLE
from tl_keras.config.messages import with_article
from tl_keras.data.examples import Quarantined
from tl_keras.data.wording import left_out
from tl_keras.modalities import part
from tl_keras.report.advice.on_approaches import what_to_do
from tl_keras.report.read import read
from tl_keras.run.result.exports import Shipped
from tl_keras.run.result.whole import Result
from tl_keras.run.run import Run


def lines(run: Run) -> list[str]:
    """What was done, what came of it, where the report is."""
    result = run.result
    told = _compared(run) if run.pipeline == "compare" else _of_a_model(run)
    found = [f"{run.pipeline} finished, {result.seconds['total']:.0f} s of work", *told]
    found.append(f"{'report':13} {run.report}")
    if run.pipeline == "search":
        found.append(f"{'next':13} tl-keras finetune, with the same flags: test and exports")
    return found


def lines_of_export(run: Run, made: Result) -> list[str]:
    """What came of the formats that a finished run was exported to again, see `of_formats`."""
    return [f"{len(made.export)} exported", *_exports(run, made), f"{'report':13} {run.report}"]


def lines_of_audit(run: Run) -> list[str]:
    """What an audit found in the data, a line a kind."""
    found = run.findings
    data = json.loads((run.workdir / "data.json").read_text(encoding="utf-8"))
    readable = sum(map(len, data["splits"].values()))
    modality = run.config.modality
    nouns, answers = modalities.nouns(modality)[1], tasks.of(run.config.task, "words")
    classes = f" in {answers.counted(data['classes'])}" if data["classes"] else ""
    return [
        f"{readable} {nouns}{classes}, {len(data['quarantined'])} files left out",
        *(f"  {line}" for line in left_out([Quarantined(**e) for e in data["quarantined"]])),
        *(f"  {warning}" for warning in data["warnings"]),
        _pairs(found, nouns),
        _doubted(found),
        *([f"  {answers.counted(found['rare'])} with few {nouns}"] if data["classes"] else []),
        *(f"  {line}" for line in part(modality, "examine").lines(found)),
    ]


def _pairs(found: dict[str, Any], nouns: str) -> str:
    if "near_duplicates" not in found:
        return f"  near-duplicates: not compared, too many {nouns} for the memory"
    return f"  {len(found['near_duplicates'])} pairs of near-duplicates across splits or labels"


def _doubted(found: dict[str, Any]) -> str:
    if note := found.get("suspects_note"):
        return f"  {note}"
    return f"  {len(found['suspects'])} labels worth a look"


def of_formats(run: Run) -> Result:
    """The result with those exports alone that the run's config asks for now.

    Nor is what an earlier export shipped among them, where none of these is a LiteRT file.
    """
    asked, result = run.config.export.formats, run.result
    made = {name: own for name, own in result.export.items() if name in asked}
    shipped = None if set(made) <= set(WHOLE) else result.shipped
    return result.model_copy(update={"export": made, "shipped": shipped})


def missed(result: Result) -> list[str]:
    """Exports that miss a tolerance, and by how much."""
    made = {**(result.export or {}), "model.tflite": result.shipped}
    return [f"{name}: {own.status}" for name, own in made.items() if own and own.status != "ok"]


def _compared(run: Run) -> list[str]:
    """A line for each approach, and what is recommended."""
    lines, main = [], tasks.of(run.config.task, "names").MAIN
    for name, own in run.result.approaches.items():
        scores = {"val": own.val, "test": own.test}
        told = [f"{split} {found[main]:.3f}" for split, found in scores.items() if found]
        told.append(f"{own.training:.0f} s of training")
        if own.bytes and own.latency_ms is not None:
            told.append(f"int8 {own.bytes / 1e6:.2f} MB, {own.latency_ms:.1f} ms")
        lines.append(f"{name:15}{', '.join(told)}")
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
                lines.append(f"{'':13} {views[main]:.3f} on {views.count} views of each")
    model = result.model
    if search := result.search:
        level = len(search.level or ())
        told = f"; {level} cannot be told from it" if level else ""
        best = next(trial for trial in search.trials if trial.trial == search.best)
        values = ", ".join(f"{name} {value}" for name, value in best.values.items())
        count = len(search.trials)
        trials = f"{count} trial{'s' if count > 1 else ''}"
        if model.kept == "head":
            values = f"{best.trial}, which keeps the head alone"
        lines.append(f"{'search':13} {trials}, best: {values}{told}")
    frozen = f"frozen up to {model.block or model.cut}" if model.cut else "nothing frozen"
    frozen = "all frozen" if model.kept == "head" else frozen
    lines.append(f"{'model':13} {model.backbone}, {frozen}, kept: {model.kept}")
    return [*lines, *_exports(run, result)]


def _exports(run: Run, result: Result) -> list[str]:
    lines, main = [], tasks.of(run.config.task, "names").MAIN
    marks, noun = {main: "", "agreement": " agree"}, modalities.nouns(run.config.modality)[0]
    for name, entry in (result.export or {}).items():
        latency = entry.latency_ms
        speed = f", {latency.median:.1f} ms {with_article(noun)} on one thread" if latency else ""
        # Without a test split folds have measured the score, and no file has one of its own.
        measured = next((key for key in marks if entry.get(key) is not None), None)
        right = f"{entry[measured]:.3f}{marks[measured]}" if measured else "not measured"
        kept = len(entry.repair.kept) if entry.repair else 0
        mended = f", {kept} operator{'s' if kept > 1 else ''} kept float" if kept else ""
        lines.append(f"{name:13} {entry.bytes / 1e6:.2f} MB, {right}{speed}{mended}")
    return [*lines, *_shipped(result.shipped, main)]


def _shipped(shipped: Shipped | None, main: str) -> list[str]:
    if not shipped or not shipped.path:
        return []
    device = shipped.device
    measured = device and device.get(main) is not None
    proved = f"; {device[main]:.3f} from files, as a device reads them" if measured else ""
    return [f"{'to ship':13} {shipped.path}, which is {shipped.format}{proved}"]
