"""Trials of a search: each a run inside the run, on what trials of its architecture share."""

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from tl_keras import tasks
from tl_keras.config import space
from tl_keras.config import text as configs
from tl_keras.config.search import LIMITS
from tl_keras.config.whole import RunConfig
from tl_keras.export import export
from tl_keras.run.files import replacing, write_text
from tl_keras.run.folder import DIVERGED, DONE, OVER, Run
from tl_keras.run.quiet import only_warnings
from tl_keras.search.session import (
    Bench,
    Record,
    architecture_of,
    check_backbone,
    data_of,
    frozen_at,
    is_over,
    key_of,
)
from tl_keras.training import adapt, features
from tl_keras.training import model as models
from tl_keras.training.architecture import (
    HEAD_SPLITS,
    Architecture,
    Data,
    add_head,
    cut_of,
    keeps,
    plan_of,
)
from tl_keras.training.fold import Inference
from tl_keras.training.freeze import Freeze


def run_trial(
    bench: Bench, number: int, values: Mapping[str, Any], records: list[Record]
) -> Record:
    """The record of a trial, which is run unless it was.

    Its folder holds what it needs to be repeated by hand, and its model where that is among the
    `search.keep` best so far.
    """
    config = space.with_values(bench.run.config, values)
    name = f"trial_{number:03d}"
    trial = Run(bench.run.workdir / "search" / name, config, "trial")
    if trial.result:  # Killed before the search took note of it.
        shutil.rmtree(trial.checkpoint, ignore_errors=True)
        record = trial.result["trial"]
        figures = {name: record[name] for name in LIMITS if name in record}
        if figures:
            bench.measured.setdefault(key_of(config), figures)
        return record
    trial.begin_inside()
    write_text(trial.workdir / "config.yaml", configs.to_yaml(config))
    with only_warnings(), bench.run.timed("search"):
        started, passed = time.monotonic(), _passes(bench.run)
        outcome = _outcome(bench, trial)
        record = {
            "trial": name,
            "values": dict(values),
            "seconds": round(time.monotonic() - started, 3),
            "passes": round(_passes(bench.run) - passed, 3),
            **outcome.record,
        }
        among = ranked([*records, record])[: bench.run.config.search.keep]
        if outcome.model is not None and record in among:
            with replacing(trial.workdir / "model.keras") as temporary:
                outcome.model.save(temporary)
        _finish(trial, record, outcome.val)
    return record


def _passes(run: Run) -> float:
    """Seconds of a search that went into activations, so far."""
    return run.record.get("seconds", {}).get("features", 0.0)


@dataclass(frozen=True)
class Outcome:
    """What a trial came to.

    Attributes:
      record: status, score, depth, and what else the search says of a trial.
      val: as `measure` gives it.
    """

    record: Record
    model: keras.Model | None = None
    val: dict[str, Any] | None = None


def _outcome(bench: Bench, trial: Run) -> Outcome:
    config, goal = trial.config, bench.run.config.search.goal
    # As of a model that guesses, or nearly: finite, for those who learn from it.
    guess = tasks.of(config.task, "metrics").score_of_guessing
    score = guess(goal.metric, bench.data.dataset.classes)
    lost = {"score": score, "label": bench.label_of(config)}
    if not config.model.is_pretrained:
        return _from_scratch(bench, trial, lost)
    arch = architecture_of(bench, config)
    figures = _figures(bench, config, arch.data, lambda: arch.model)
    depth = _described(frozen_at(arch, config))
    shared = {"label": lost["label"], "depth": depth, **figures}
    if is_over(figures, goal):
        return Outcome({**lost, **shared, "status": OVER})
    try:
        adapted = adapt.head_then_suffix(trial, arch)
    except FloatingPointError as error:
        return Outcome({**lost, **shared, "status": DIVERGED, "why": _why(error)})
    found, main = _measured(bench, adapted.probabilities), tasks.of(config.task, "names").MAIN
    saved = _saved(arch, trial, adapted.depth)
    candidates = trial.record["model"]["candidates"]
    others = {"kept": trial.record["model"]["kept"], "saved": saved, "finetuned": None}
    others["head"] = candidates["head"][main]
    if adapted.tuned is not None:
        tuned = _measured(bench, adapted.tuned).record
        others |= {"finetuned": tuned[main], "tuned_score": tuned["score"]}
    others["left_out"] = "fine_tuning" in trial.record["model"]
    return Outcome({**shared, **found.record, **others}, adapted.model, found.val)


def _from_scratch(bench: Bench, trial: Run, lost: Record) -> Outcome:
    """A trial without pretrained weights: nothing is frozen, and nothing can be shared."""
    config, goal = trial.config, bench.run.config.search.goal
    data = data_of(bench, config)
    keras.utils.set_random_seed(config.seed)
    backbone = models.pretrained(config.model, config.settings)
    check_backbone(bench, config, backbone)
    # Neither size nor latency depends on the weights.
    figures = _figures(bench, config, data, lambda: add_head(backbone, config, data.dataset))
    if is_over(figures, goal):
        return Outcome({**lost, **figures, "status": OVER})
    try:
        model = adapt.from_scratch(trial, data, backbone)
    except FloatingPointError as error:
        return Outcome({**lost, **figures, "status": DIVERGED, "why": _why(error)})
    found = _measured(bench, features.outputs(Inference(model), data.inputs["val"]))
    shared = {"label": lost["label"], "kept": "scratch", **figures}
    return Outcome({**shared, **found.record}, model, found.val)


def _why(error: FloatingPointError) -> str:
    return str(error).partition(";")[0]  # What follows is for those who train without a search.


def _measured(bench: Bench, answers: np.ndarray) -> Outcome:
    config, labels = bench.run.config, bench.data.inputs["val"].labels
    metrics, names = tasks.of(config.task, "metrics"), tasks.of(config.task, "names")
    val = metrics.measure(answers, labels, bench.data.dataset.classes)
    score = metrics.score(val, config.search.goal.metric)
    named = {name: val[name] for name in (*names.METRICS, "interval", "n") if name in val}
    noted = tasks.of(config.task, "choice").noted(metrics.scores(answers, labels))
    return Outcome({"status": DONE, "score": score, **named, **noted}, None, val)


def _figures(
    bench: Bench, config: RunConfig, data: Data, model: Callable[[], keras.Model]
) -> dict[str, float]:
    """Size and latency of the exported file, where they matter: once an architecture."""
    base, key = bench.run.config, key_of(config)
    if not base.search.goal.limits and not bench.has_several:
        return {}
    if key not in bench.measured:
        bench.measured[key] = export.size_and_latency(
            model(), data.inputs, base.search.format, config.task
        )
    return bench.measured[key]


def _described(depth: Freeze) -> dict[str, Any]:
    share = round(depth.index / depth.count, 4) if depth.count else 0.0
    return {"share": share, "block": depth.block, "cut": depth.cut}


def _saved(arch: Architecture, trial: Run, depth: Freeze) -> float:
    """Seconds that the prefix would have taken at each step and look, had nothing been kept."""
    if depth.cut in (None, arch.output) or "finetuned" not in trial.record["model"]["candidates"]:
        return 0.0
    epochs = plan_of(trial.config, arch.data.dataset, pretrained=True).epochs
    kept = keeps(arch, trial.config, depth.cut)
    images = sum(len(arch.data.inputs[split]) for split in HEAD_SPLITS if kept[split])
    return round(epochs * images * cut_of(arch, depth.cut).seconds, 3)


def _finish(trial: Run, record: Record, val: dict[str, Any] | None) -> None:
    seconds = {"total": record["seconds"], **trial.record.get("seconds", {})}
    trial.finish(trial.outcome(val=val, trial=record, seconds=seconds))


def ranked(records: list[Record]) -> list[Record]:
    """The trials that came to something, the best first; of equals the one frozen deeper."""
    done = [record for record in records if record["status"] == DONE]
    share = {r["trial"]: r.get("depth", {}).get("share", 0.0) for r in done}
    return sorted(done, key=lambda r: (-r["score"], -share[r["trial"]], r["trial"]))
