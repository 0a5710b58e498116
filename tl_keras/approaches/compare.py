"""compare: runs several approaches on the same splits in a given time, and recommends one.

Each approach is an ordinary run in its own folder. Before the first approach trains, the backbones
are ranked by their features, and heads are fitted on growing parts of the training examples.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from absl import logging

from tl_keras import tasks
from tl_keras.approaches.ranking import rank
from tl_keras.approaches.recommending import gain_of_chain, recommended, scores_of
from tl_keras.backbones import table
from tl_keras.config import text as configs
from tl_keras.config.commands import APPROACHES
from tl_keras.config.messages import is_for_user
from tl_keras.config.model import ModelConfig
from tl_keras.config.paths import check_paths
from tl_keras.config.search import TRIALS
from tl_keras.config.whole import RunConfig
from tl_keras.data import run_data
from tl_keras.jobs import job
from tl_keras.launch import launch
from tl_keras.report.pages import page
from tl_keras.run import machine, marks
from tl_keras.run.folder import opened
from tl_keras.run.result.comparison import ApproachRecord
from tl_keras.run.result.part import MainScores
from tl_keras.run.result.whole import Result
from tl_keras.run.run import Run, read_result

BOUNDED = {
    "full": "fit",
    "scratch": "fit",
    "search": "search",
}  # The section whose `minutes` limits an approach.


@dataclass(frozen=True)
class Planned:
    """An approach that compare is going to run.

    Attributes:
      name: the name of the approach and of its folder.
      command: the command that the approach runs, such as `finetune`.
      config: the config of the approach.
    """

    name: str
    command: str
    config: RunConfig


def run(config: RunConfig, workdir: str | Path) -> Run:
    """Ranks the backbones, runs the approaches in the given time, and recommends one of them.

    Raises:
      ValueError: the config, the data or the folder cannot be used.
    """
    approaches = planned(config)
    for approach in approaches:
        check_paths(approach.config)
    with opened(config, workdir, "compare") as run:
        data = run_data.read(run)
        if "ranking" not in run.record:
            with run.timed("ranking"):
                rank(run, data, _models(run.config, approaches))
        left_out = _run_all(run, approaches)
        done = [approach for approach in approaches if approach.name not in left_out]
        if not done:
            name, why = next(iter(left_out.items()))
            raise ValueError(f"compare: none of the approaches could be run; {name}: {why}")
        described = {approach.name: _described(run, approach, done) for approach in done}
        scores = {
            approach.name: scores_of(run.workdir / approach.name, config.task) for approach in done
        }
        parts = {"left_out": left_out, "recommended": recommended(scores, config.task)}
        if {"chain", "finetune"} <= scores.keys():
            parts["chain"] = gain_of_chain(scores, config.task)
        run.finish(run.outcome(approaches=described, **parts, **machine.described()))
        page.write(run.workdir)
    return run


def planned(config: RunConfig) -> list[Planned]:
    """Returns the approaches that a config asks for, in the order in which they run.

    Raises:
      ValueError: the config cannot be used for at least one of the approaches.
    """
    wanted, tree = config.compare, configs.to_tree(config)
    if not config.model.is_pretrained:
        raise ValueError(
            "model.weights: compare needs pretrained weights; expected one of the words of "
            "model.weights except 'none', a weights file or the folder of an earlier run; "
            "received 'none'"
        )
    # One format is enough to compare sizes and latencies. `tl-keras export` makes the others
    # for the approach that is chosen.
    tree["export"]["formats"] = [config.search.format]
    searched = {**tree["search"], "trials": config.search.trials or TRIALS}
    unlabelled = tree["data"].pop("unlabelled")
    del tree["search"], tree["compare"]
    changes: dict[str, tuple[str, dict[str, dict[str, Any]]]] = {
        "head": ("finetune", {"fit": {"freeze": 1.0}}),
        "finetune": ("finetune", {}),
        "search": ("finetune", {"search": searched}),
        "full": ("finetune", {"fit": {"freeze": 0.0}}),
        "chain": ("finetune", {"model": {"weights": wanted.chain}}),
        "cross_validate": ("cross_validate", {}),
        "parallel": ("parallel", {"data": {"unlabelled": unlabelled}}),
        "scratch": ("finetune", {"model": {"weights": "none"}, "fit": FROM_SCRATCH}),
    }
    missing = {
        "chain": wanted.chain is None,
        "parallel": unlabelled is None,
        "full": _freezes_nothing(config),
    }
    names: list[str] = [name for name in APPROACHES if not missing.get(name)]
    if wanted.approaches != "auto":
        if "parallel" in wanted.approaches and unlabelled is None:
            raise ValueError(
                f"data.unlabelled: the approach 'parallel' needs {config.nouns[1]} without labels; "
                f"expected a folder, or 'rest' for the {config.nouns[1]} that "
                "data.examples_per_class leaves out; received null"
            )
        names = [name for name in APPROACHES if name in wanted.approaches]
    for i, model in enumerate(wanted.backbones, start=2):
        changes[f"backbone_{i}"] = ("finetune", {"model": _other(model, config.model.backbone)})
        names.insert(len(names) - names.count("scratch"), f"backbone_{i}")
    return [_approach(name, *changes[name], tree) for name in names]


def _freezes_nothing(config: RunConfig) -> bool:
    """Returns whether fine-tuning trains all layers, so that `full` would be the same again."""
    freeze: Any = config.fit.freeze
    if freeze == "auto":
        freeze = table.auto_values(config.model.backbone, num_train=1).get("freeze")
    return bool(freeze == 0)


FROM_SCRATCH = {"freeze": "auto", "keep": "auto", "epochs": "auto", "learning_rate": "auto"}


def _other(model: Mapping[str, Any], first: str) -> dict[str, Any]:
    """Returns the section `model` of another backbone, with the defaults of that backbone.

    Args:
      model: the fields that the config sets.
      first: the backbone of the config's own section `model`, the default.
    """
    weights = table.default_weights(str(model.get("backbone", first)))
    return {"options": {}, "preprocessing": None, "weights": weights, **model}


def _approach(
    name: str, command: str, sections: Mapping[str, Any], tree: Mapping[str, Any]
) -> Planned:
    merged = {**tree, **{k: {**tree.get(k, {}), **v} for k, v in sections.items()}}
    try:
        return Planned(name, command, configs.from_tree(merged))
    except ValueError as error:
        field = "compare.backbones" if name.startswith("backbone_") else "compare.approaches"
        raise ValueError(f"{field}: {name}: {str(error).splitlines()[0]}") from None


def _models(config: RunConfig, approaches: Sequence[Planned]) -> dict[str, ModelConfig]:
    """Returns `{approach: section "model" of its config}`, one entry for each backbone to rank."""
    others = [approach for approach in approaches if approach.name.startswith("backbone_")]
    return {"finetune": config.model} | {
        approach.name: approach.config.model for approach in others
    }


def _run_all(run: Run, approaches: Sequence[Planned]) -> dict[str, str]:
    """Runs the approaches; returns `{name: reason}` for those that could not be run.

    If an approach is finished, only its data are checked for changes.
    """
    left_out = {}
    for i, approach in enumerate(approaches):
        folder = run.workdir / approach.name
        config = _bounded(run, approach, len(approaches) - i)
        if config is None:
            left_out[approach.name] = "the time in compare.minutes is used up"
            continue
        logging.info("--- %s", approach.name)
        with run.timed(approach.name):
            try:
                _run_one(Run(folder, config, approach.command))
            except (ValueError, FloatingPointError) as error:
                if not is_for_user(error):
                    raise
                left_out[approach.name] = str(error).splitlines()[0]
                logging.warning("%s is left out: %s", approach.name, left_out[approach.name])
    return left_out


def _run_one(approach: Run) -> None:
    """Runs an approach; if the approach is finished, only checks its data for changes."""

    def work(run: Run) -> None:
        launch(run.pipeline, run.config, run.workdir, nullcontext)  # TensorFlow is started already.

    if approach.result is not None:
        work(approach)
        return
    if not job.needs(approach):
        marks.check(approach.workdir, "run", "--workdir")
        job.prepare(approach)
    job.do(approach, work)


def _bounded(run: Run, approach: Planned, num_sharing: int) -> RunConfig | None:
    """Returns an approach's config, which limits the minutes of approaches in `BOUNDED`.

    An approach that was started before keeps its earlier limit. Returns None if the approach was
    not started before and no time is left.

    Args:
      num_sharing: how many approaches share the rest of `compare.minutes`, this one included.
    """
    config, minutes = approach.config, run.config.compare.minutes
    section: Any = BOUNDED.get(approach.name)
    saved = run.workdir / approach.name / "config.yaml"
    if minutes is None or (saved.is_file() and not section):
        return config
    if saved.is_file():
        share = getattr(configs.load(saved), section).minutes
    else:
        rest = minutes - sum(run.record.get("seconds", {}).values()) / 60
        if rest <= 0:
            return None
        share = rest / num_sharing
    if not section:
        return config
    bounded = getattr(config, section).model_copy(update={"minutes": share})
    return config.model_copy(update={section: bounded})


def _described(run: Run, approach: Planned, done: Sequence[Planned]) -> ApproachRecord:
    """Builds the entry of an approach in the field `approaches` of `result.json`."""
    result = read_result(run.workdir / approach.name, run.config.task)
    size_format = run.config.search.format
    exported = (result.export or {}).get(size_format)
    short = tasks.of(run.config.task, "metrics").IN_SHORT
    measured = {
        split: MainScores(**{name: scores[name] for name in short})
        for split, scores in (("val", result.val), ("test", result.test))
        if scores
    }
    latency = exported.latency_ms if exported else None
    return ApproachRecord(
        command=approach.command,
        backbone=result.model.backbone,
        parameters=result.model.parameters,
        kept=result.model.kept,
        freeze=result.model.freeze,
        **measured,
        seconds=result.seconds["total"],
        training=_training(result),
        to_scratch=_seconds_to_scratch(run, approach, done),
        format=size_format,
        bytes=exported.bytes if exported else None,
        latency_ms=latency.median if latency else None,
    )


NOT_TRAINING = ("total", "data", "evaluate", "explain", "export")


def _training(result: Result) -> float:
    return round(sum(s for name, s in result.seconds.items() if name not in NOT_TRAINING), 3)


def _seconds_to_scratch(run: Run, approach: Planned, done: Sequence[Planned]) -> float | None:
    """Returns the seconds of training after which an approach reaches the best score of `scratch`.

    `scratch` is the approach without pretrained weights. Its best score is that of its best epoch
    on the validation split. Returns None if the approach never reaches that score, if `scratch` did
    not run, or if the approach has no single training curve, as with a search.
    """
    has_scratch = any(other.name == "scratch" for other in done)
    if not has_scratch or approach.command != "finetune" or approach.config.search.wanted:
        return None
    task = run.config.task
    bar = max(score for _, score in training_curve(run.workdir / "scratch", task))
    curve = training_curve(run.workdir / approach.name, task)
    return next((s for s, score in curve if score >= bar), None)


def training_curve(folder: Path, task: str = tasks.DEFAULT) -> list[tuple[float, float]]:
    """Returns pairs (seconds, validation score), one for each line of a run's `metrics.jsonl`.

    Second 0 is the time when the run starts to compute features. The approach `scratch` computes no
    features; its second 0 is its first training step. A higher score is better.
    """
    main, score = tasks.of(task, "names").MAIN, tasks.of(task, "metrics").score
    seconds = read_result(folder, task).seconds
    before = {"head": seconds.get("features", 0.0), "scratch": 0.0}
    before["finetune"] = before["head"] + seconds.get("head", 0.0)
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    return [
        (round(before[r["stage"]] + r["seconds"], 3), score({main: r[f"val_{main}"]}, main))
        for r in records
    ]
