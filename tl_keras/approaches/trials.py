"""Trials of a search: each a run inside the run, on what trials of its architecture share."""

import json
import logging
import math
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tl_keras import backbones, export, features, freeze, space
from tl_keras import config as configs
from tl_keras import model as models
from tl_keras.approaches import adapt
from tl_keras.approaches.architecture import (
    HEAD_SPLITS,
    Architecture,
    Data,
    architecture,
    cut_of,
    keeps,
    plan_of,
    prepared,
)
from tl_keras.config import BLOCKS, METRICS, Goal, Range, RunConfig
from tl_keras.evaluate import measure
from tl_keras.files import replacing, write_json, write_text
from tl_keras.fold import Inference
from tl_keras.freeze import Freeze
from tl_keras.run import Run

Record = dict[str, Any]  # Of a trial, as `search.trials` of result.json has it.
DONE, DIVERGED, OVER = "done", "diverged", "over the limit"  # What becomes of a trial.
OPEN = 2  # Architectures that are kept in memory.
UNBOUNDED = 20  # Trials that are reckoned with where minutes alone bound them.
OF_THE_HEAD = ("data.balance",)  # What a head alone depends on, beside its architecture.
IMAGES = ("data.image_size", "data.resize", "data.antialias")


@dataclass(frozen=True)
class Bench:
    """Where trials are made.

    Attributes:
      run: the search.
      data: prepared as its config says.
      backbone: pretrained, as its config says.
      entries: `search.space`, blocks counted.
      measured: by architecture, size and latency of the exported file.
      open: architectures in memory, by label.
    """

    run: Run
    data: Data
    backbone: keras.Model
    entries: dict[str, tuple | Range]
    measured: dict[str, dict[str, float]]
    open: dict[str, Architecture] = field(default_factory=dict)


def bench(
    run: Run, data: Data, backbone: keras.Model, measured: dict[str, dict[str, float]]
) -> Bench:
    """Where a search's trials are made."""
    config = run.config
    pattern = backbones.block_pattern(config.model.backbone)
    entries = dict(config.search.space)
    if entries.get("fit.freeze") == BLOCKS:
        count = len(freeze.blocks(backbone, pattern))
        entries["fit.freeze"] = tuple(round(i / count, 6) for i in range(count + 1))
    return Bench(run, data, backbone, entries, measured)


def begin_with_own(bench: Bench, proposal: Any, values: dict[str, Any]) -> None:
    """Gives a proposal the values of the search's own config, where the space has them.

    What `auto` comes to is a rule of the data set's size: a better first guess than chance.
    """
    config = bench.run.config
    plan = plan_of(config, bench.data.dataset, config.model.weights != "none")
    tree = configs.to_tree(config)
    for name, entry in bench.entries.items():
        section, _, field_name = name.partition(".")
        own = tree[section].get(field_name)
        own = getattr(plan, field_name, own) if own == "auto" else own
        given = proposal.hyperparameters.values
        if isinstance(entry, Range) and isinstance(own, int | float):
            given[name] = values[name] = min(max(own, entry.min), entry.max)
        elif not isinstance(entry, Range) and (near := _nearest(entry, own)) is not None:
            given[name], values[name] = near, entry[near]


def _nearest(choices: tuple, own: Any) -> int | None:
    """The position of a value, or of the number that is nearest; None where there is none."""
    if own in choices:
        return choices.index(own)
    kinds = [type(choice) for choice in choices]
    if isinstance(own, int | float) and set(kinds) <= {int, float}:
        return min(range(len(choices)), key=lambda i: abs(choices[i] - own))
    return None


def label_of(config: RunConfig) -> str:
    """An architecture in words, as in `MobileNetV2 alpha 0.5, 160 px`."""
    model = config.model
    parts = [Path(model.backbone).name, *(f"{k} {v}" for k, v in model.options.items())]
    others = [f"{config.data.image_size} px", config.data.resize]
    if config.data.antialias:
        others.append("antialias")
    if model.head_width:
        others.append(f"hidden {model.head_width}")
    if model.weights not in ("imagenet", "own"):
        others.append(Path(model.weights).name)
    return ", ".join([" ".join(parts), *others])


def architecture_of(bench: Bench, config: RunConfig) -> Architecture:
    """The architecture of a trial, opened if it is not."""
    label = label_of(config)
    if label in bench.open:
        return bench.open[label]
    while len(bench.open) >= OPEN:
        del bench.open[next(iter(bench.open))]
    data, base = bench.data, bench.run.config
    if any(getattr(config.data, n[5:]) != getattr(base.data, n[5:]) for n in IMAGES):
        data = prepared(data.dataset, config, HEAD_SPLITS)
    same = config.model.model_copy(update={"dropout": base.model.dropout}) == base.model
    backbone = bench.backbone
    if not same or config.data.image_size != base.data.image_size:
        backbone = models.pretrained(config.model, config.data.image_size)
    pattern = backbones.block_pattern(config.model.backbone)
    depths = bench.entries.get("fit.freeze", (config.fit.freeze,))
    if isinstance(depths, Range):
        count = len(freeze.blocks(backbone, pattern))
        depths = [i / count for i in range(count + 1) if depths.min <= i / count <= depths.max]
    plan = plan_of(base, data.dataset, pretrained=True)
    depths = [plan.freeze if depth == "auto" else depth for depth in depths]
    several = len(space.architectures(base)) > 1
    bench.open[label] = architecture(
        *(bench.run, config, data, backbone, depths),
        trainings=_trainings(bench, len(set(depths))),
        label=f"{label}: " if several else "",
    )
    return bench.open[label]


def _trainings(bench: Bench, depths: int) -> float:
    """How many trials will read the same activations, if chance spreads them evenly."""
    count = bench.run.config.search.trials or UNBOUNDED
    for name, entry in bench.entries.items():
        if name.startswith("data.") or space.of_architecture(name):
            count /= UNBOUNDED if isinstance(entry, Range) else len(entry)
    return max(1.0, count / depths)


def equivalent(bench: Bench, values: Mapping[str, Any], records: list[Record]) -> Record | None:
    """A trial that came to the same training: the same layers frozen, all else that matters equal.

    Where all layers are frozen, neither rate nor epochs matter.
    """
    wanted = _essence(bench, values)
    return next((r for r in records if _essence(bench, r["values"]) == wanted), None)


def _essence(bench: Bench, values: Mapping[str, Any]) -> str:
    config = space.with_values(bench.run.config, values)
    if config.model.weights == "none":
        return json.dumps(values)
    others = {name: value for name, value in values.items() if name != "fit.freeze"}
    arch = architecture_of(bench, config)
    depth = _depth(arch, config)
    if depth.cut == arch.output:
        others = {
            name: value
            for name, value in others.items()
            if name in OF_THE_HEAD or space.of_architecture(name)
        }
    return json.dumps([depth.cut, others])


def _depth(arch: Architecture, config: RunConfig) -> Freeze:
    plan = plan_of(config, arch.data.dataset, pretrained=True)
    return adapt.depth_of(config, arch.backbone, plan)


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
        return trial.result["trial"]
    write_text(trial.workdir / "config.yaml", configs.to_yaml(config))
    with _silence(), _searching(bench.run):
        started = time.monotonic()
        outcome = _outcome(bench, trial)
        record = {
            "trial": name,
            "values": dict(values),
            "seconds": round(time.monotonic() - started, 3),
            **outcome.record,
        }
        among = ranked(bench.run.config, [*records, record])[: bench.run.config.search.keep]
        if outcome.model is not None and record in among:
            with replacing(trial.workdir / "model.keras") as temporary:
                outcome.model.save(temporary)
        _finish(trial, record, outcome.val)
    return record


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
    guessing = 1 / len(bench.data.dataset.classes)
    # What a model that guesses would come to: finite, for those who learn from it.
    lost = {"score": guessing if goal.rises else math.log(guessing), "label": label_of(config)}
    if config.model.weights == "none":
        return _from_scratch(bench, trial, lost)
    arch = architecture_of(bench, config)
    figures = _figures(bench, arch, config)
    depth = _described(_depth(arch, config))
    shared = {"label": label_of(config), "depth": depth, **figures}
    if any(figures[name] > limit for name, limit in goal.limits.items()):
        return Outcome({**lost, **shared, "status": OVER})
    try:
        adapted = adapt.head_then_suffix(trial, arch)
    except FloatingPointError as error:
        return Outcome({**lost, **shared, "status": DIVERGED, "why": str(error)})
    found = _measured(bench, adapted.probabilities, goal)
    saved = _saved(arch, trial, adapted.depth)
    candidates = trial.record["model"]["candidates"]
    tuned = candidates.get("finetuned", {}).get("accuracy")
    others = {"kept": trial.record["model"]["kept"], "finetuned": tuned, "saved": saved}
    others["head"] = candidates["head"]["accuracy"]
    return Outcome({**shared, **found.record, **others}, adapted.model, found.val)


def _from_scratch(bench: Bench, trial: Run, lost: Record) -> Outcome:
    """A trial without pretrained weights: nothing is frozen, and nothing can be shared."""
    config, goal = trial.config, bench.run.config.search.goal
    data = bench.data
    if any(getattr(config.data, n[5:]) != getattr(bench.run.config.data, n[5:]) for n in IMAGES):
        data = prepared(data.dataset, config, HEAD_SPLITS)
    backbone = models.pretrained(config.model, config.data.image_size)
    try:
        model = adapt.from_scratch(trial, data, backbone)
    except FloatingPointError as error:
        return Outcome({**lost, "status": DIVERGED, "why": str(error)})
    found = _measured(bench, features.outputs(Inference(model), data.inputs["val"]), goal)
    return Outcome({"label": lost["label"], "kept": "scratch", **found.record}, model, found.val)


def _measured(bench: Bench, probabilities: np.ndarray, goal: Goal) -> Outcome:
    labels = bench.data.inputs["val"].labels
    val = measure(probabilities, labels, bench.data.dataset.classes)
    score = val[goal.metric] if goal.rises else -val[goal.metric]
    named = {name: val[name] for name in (*METRICS, "interval", "n")}
    wrong = np.flatnonzero(probabilities.argmax(-1) != labels).tolist()
    return Outcome({"status": DONE, "score": score, **named, "wrong": wrong}, None, val)


def _figures(bench: Bench, arch: Architecture, config: RunConfig) -> dict[str, float]:
    """Size and latency of the exported file, where they matter: once an architecture."""
    search, label = bench.run.config.search, label_of(config)
    if not search.goal.limits and not arch.label:
        return {}
    if label not in bench.measured:
        bench.measured[label] = export.size_and_latency(arch.model, arch.data.inputs, search.format)
    return bench.measured[label]


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
    found = trial.record
    result = {
        "schema": 1,
        "pipeline": "trial",
        "seed": trial.config.seed,
        "seconds": {"total": record["seconds"], **found.get("seconds", {})},
        "model": found.get("model", {}),
        "val": val,
        "trial": record,
    }
    write_json(trial.workdir / "result.json", result)
    shutil.rmtree(trial.checkpoint, ignore_errors=True)


def ranked(config: RunConfig, records: list[Record]) -> list[Record]:
    """The trials that came to something, the best first; of equals the one frozen deeper."""
    done = [record for record in records if record["status"] == DONE]
    share = {r["trial"]: r.get("depth", {}).get("share", 0.0) for r in done}
    return sorted(done, key=lambda r: (-r["score"], -share[r["trial"]], r["trial"]))


@contextmanager
def _silence() -> Iterator[None]:
    """Leaves out what a trial says of its plan and epochs: the table has a line of it."""
    logger = logging.getLogger("absl")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _searching(run: Run) -> Iterator[None]:
    """Adds the body's seconds to those of the search, without those of features and heads."""

    def others() -> float:
        seconds = run.record.get("seconds", {})
        return seconds.get("features", 0.0) + seconds.get("head", 0.0)

    before, started = others(), time.monotonic()
    yield
    taken = time.monotonic() - started - (others() - before)
    run.add(seconds={"search": round(run.record["seconds"].get("search", 0.0) + taken, 3)})
