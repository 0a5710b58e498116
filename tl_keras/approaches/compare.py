"""compare: the approaches on one data set, same splits, one budget, side by side.

Each is an ordinary run in a folder of its own. Before any is trained, backbones are ranked by their
features, and heads are fitted on growing parts of the training examples.
"""

import csv
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from tl_keras.approaches import stages
from tl_keras.config import text as configs
from tl_keras.config.commands import APPROACHES
from tl_keras.config.messages import is_for_user
from tl_keras.config.paths import check_paths
from tl_keras.config.search import TRIALS
from tl_keras.config.whole import RunConfig
from tl_keras.launch import launch
from tl_keras.report.pages import page
from tl_keras.run.folder import Run, opened
from tl_keras.tasks.classification import IN_SHORT, log_loss, paired_interval, softmax
from tl_keras.training import head as heads
from tl_keras.training import model as models
from tl_keras.training import transferability
from tl_keras.training.architecture import Architecture, Data, activations, architecture, reading

SHARES = (0.1, 0.25, 0.5, 1.0)  # Of the training examples, on the learning curve.
DRAWS = 3  # Of a share; their mean is shown.
BOUNDED = {"full": "fit", "scratch": "fit", "search": "search"}  # Sections with `minutes`.


@dataclass(frozen=True)
class Entry:
    """An approach: its name, which is that of its folder, the command that it is, its config."""

    name: str
    command: str
    config: RunConfig


def run(config: RunConfig, workdir: str | Path) -> Run:
    """Ranks the backbones, runs the approaches that the budget allows, and recommends one.

    Raises:
      ValueError: the config, the data or the folder cannot be used.
    """
    every = entries(config)
    for entry in every:
        check_paths(entry.config)
    with opened(config, workdir, "compare") as run:
        data = stages.read(run)
        if "ranking" not in run.record:
            with run.timed("ranking"):
                _rank(run, data, every)
        left_out = _run_all(run, every)
        done = [entry for entry in every if entry.name not in left_out]
        if not done:
            raise ValueError(f"compare: nothing could be run: {next(iter(left_out.values()))}")
        described = {entry.name: _described(run, entry, done) for entry in done}
        answers = {entry.name: _answers(run.workdir / entry.name) for entry in done}
        told = {"left_out": left_out, "recommended": recommended(answers)}
        if {"chain", "finetune"} <= answers.keys():
            told["chain"] = brought(answers)
        run.finish(stages.result(run, approaches=described, **told))
        page.write(run.workdir)
    return run


def entries(config: RunConfig) -> list[Entry]:
    """The approaches that a config asks for, in order.

    Raises:
      ValueError: one of them cannot be built.
    """
    asked, tree = config.compare, configs.to_tree(config)
    if config.model.weights == "none":
        raise ValueError("model.weights: compare needs pretrained ones; received none")
    # One format compares sizes and latencies; `export` makes the others of the one that is chosen.
    tree["export"]["formats"] = ["int8"]
    searched = {**tree["search"], "trials": config.search.trials or TRIALS}
    unlabelled = tree["data"].pop("unlabelled")
    del tree["search"], tree["compare"]
    changes: dict[str, tuple[str, dict[str, dict[str, Any]]]] = {
        "head": ("finetune", {"fit": {"freeze": 1.0}}),
        "finetune": ("finetune", {}),
        "search": ("finetune", {"search": searched}),
        "full": ("finetune", {"fit": {"freeze": 0.0}}),
        "chain": ("finetune", {"model": {"weights": asked.chain}}),
        "cross_validate": ("cross_validate", {}),
        "parallel": ("parallel", {"data": {"unlabelled": unlabelled}}),
        "scratch": ("finetune", {"model": {"weights": "none"}, "fit": FROM_SCRATCH}),
    }
    missing = {"chain": asked.chain is None, "parallel": unlabelled is None}
    names = [name for name in APPROACHES if not missing.get(name)]
    if asked.approaches != "auto":
        if "parallel" in asked.approaches and unlabelled is None:
            raise ValueError(
                "data.unlabelled: expected a folder of images, or rest, for the approach parallel; "
                "received none"
            )
        names = [name for name in APPROACHES if name in asked.approaches]
    for i, own in enumerate(asked.backbones, start=2):
        changes[f"backbone_{i}"] = ("finetune", {"model": {**OTHER_MODEL, **own}})
        names.insert(len(names) - names.count("scratch"), f"backbone_{i}")
    return [_entry(name, *changes[name], tree) for name in names]


FROM_SCRATCH = {"freeze": "auto", "keep": "auto", "epochs": "auto", "learning_rate": "auto"}
OTHER_MODEL = {"options": {}, "preprocessing": None, "weights": "imagenet"}


def _entry(name: str, command: str, sections: Mapping[str, Any], tree: Mapping[str, Any]) -> Entry:
    merged = {**tree, **{k: {**tree.get(k, {}), **v} for k, v in sections.items()}}
    try:
        return Entry(name, command, configs.from_tree(merged))
    except ValueError as error:
        field = "compare.backbones" if name.startswith("backbone_") else "compare.approaches"
        raise ValueError(f"{field}: {name}: {str(error).splitlines()[0]}") from None


def _rank(run: Run, data: Data, every: Sequence[Entry]) -> None:
    """Scores the features of each backbone, and fits heads of the first on parts of train."""
    labels, ranking = data.inputs["train"].labels, []
    others = [entry for entry in every if entry.name.startswith("backbone_")]
    wanted = {"finetune": run.config.model} | {e.name: e.config.model for e in others}
    for name, model in wanted.items():
        config = run.config.model_copy(update={"model": model})
        started = time.monotonic()
        backbone = models.pretrained(config.model, config.data.image_size)
        arch = architecture(run, config, data, backbone, [])
        arch = replace(arch, label=f"{name}: ")
        pooled = _pooled(arch, config, "train")
        ranking.append(
            {
                "approach": name,
                "backbone": config.model.backbone,
                "parameters": backbone.count_params(),
                "logme": transferability.logme(pooled, labels),
                "left_out_accuracy": transferability.left_out_accuracy(pooled, labels),
                "seconds": round(time.monotonic() - started, 3),
            }
        )
        if name == "finetune" and run.config.compare.learning_curve:
            curve = learning_curve(
                (pooled, _pooled(arch, config, "val")),
                (labels, data.inputs["val"].labels),
                config,
            )
            run.add(learning_curve=curve)
        logging.info(
            "%s: LogME %.3f, left-out accuracy %.3f",
            *(ranking[-1][key] for key in ("backbone", "logme", "left_out_accuracy")),
        )
    run.add(ranking=sorted(ranking, key=lambda row: -row["logme"]))


def _pooled(arch: Architecture, config: RunConfig, split: str) -> np.ndarray:
    how = reading(config, arch.data.dataset)
    return np.asarray(activations(arch, [arch.output], split, how, None)[arch.output])


def learning_curve(
    pooled: tuple[np.ndarray, np.ndarray], labels: tuple[np.ndarray, np.ndarray], config: RunConfig
) -> list[dict[str, Any]]:
    """Validation accuracy of heads on parts of the training examples, each class in its share.

    Args:
      pooled: features of train and val, `(examples, channels) float32`.
      labels: of train and val, `(examples,) int64`.
    """
    found = []
    for share in SHARES:
        rows = [_drawn(labels[0], share, draw) for draw in range(DRAWS if share < 1 else 1)]
        scores = []
        for own in rows:
            head = heads.fit_head(
                (pooled[0][own], pooled[1]),
                (labels[0][own], labels[1]),
                heads.Recipe(config.data.balance),
            )
            probabilities = softmax(head.logits(pooled[1]))
            right = float((probabilities.argmax(-1) == labels[1]).mean())
            scores.append((right, log_loss(probabilities, labels[1])))
        accuracy, loss = np.mean(scores, axis=0)
        found.append(
            {"share": share, "n": len(rows[0]), "accuracy": float(accuracy), "log_loss": loss}
        )
    return found


def _drawn(labels: np.ndarray, share: float, draw: int) -> np.ndarray:
    generator, rows = np.random.default_rng(draw), []
    for label in np.unique(labels):
        own = generator.permutation(np.flatnonzero(labels == label))
        rows.append(own[: max(1, round(share * len(own)))])
    return np.sort(np.concatenate(rows))


def _run_all(run: Run, every: Sequence[Entry]) -> dict[str, str]:
    """Runs the approaches that are not finished; those that could not be run, and why."""
    left_out = {}
    for i, entry in enumerate(every):
        folder = run.workdir / entry.name
        config = _bounded(run, entry, len(every) - i)
        if config is None:
            left_out[entry.name] = "the budget, compare.minutes, was spent"
            continue
        logging.info("--- %s", entry.name)
        with run.timed(entry.name):
            try:
                launch(entry.command, config, folder, nullcontext)  # TensorFlow runs already.
            except (ValueError, FloatingPointError) as error:
                if not is_for_user(error):
                    raise
                left_out[entry.name] = str(error).splitlines()[0]
                logging.warning("%s is left out: %s", entry.name, left_out[entry.name])
    return left_out


def _bounded(run: Run, entry: Entry, left: int) -> RunConfig | None:
    """The config of an approach with its share of what is left of the budget, or with the share
    that it was begun with; None of nothing."""
    config, minutes = entry.config, run.config.compare.minutes
    name, begun = BOUNDED.get(entry.name), run.workdir / entry.name / "config.yaml"
    if minutes is None or (begun.is_file() and not name):
        return config
    if begun.is_file():
        share = getattr(configs.load(begun), name).minutes
    else:
        rest = minutes - sum(run.record.get("seconds", {}).values()) / 60
        if rest <= 0:
            return None
        share = rest / left
    if not name:
        return config
    section = getattr(config, name).model_copy(update={"minutes": share})
    return config.model_copy(update={name: section})


def _described(run: Run, entry: Entry, done: Sequence[Entry]) -> dict[str, Any]:
    """What `approaches` of `result.json` has of a run."""
    result = json.loads((run.workdir / entry.name / "result.json").read_text(encoding="utf-8"))
    exported = result.get("export", {}).get("int8", {})
    measured = {
        split: {name: result[split][name] for name in IN_SHORT}
        for split in ("val", "test")
        if result.get(split)
    }
    return {
        "command": entry.command,
        "backbone": result["model"]["backbone"],
        "parameters": result["model"]["parameters"],
        "kept": result["model"]["kept"],
        "freeze": result["model"].get("freeze"),
        **measured,
        "seconds": result["seconds"]["total"],
        "training": _training(result),
        "to_scratch": _to_scratch(run, entry, done),
        "bytes": exported.get("bytes"),
        "latency_ms": (exported.get("latency_ms") or {}).get("median"),
    }


NOT_TRAINING = ("total", "data", "evaluate", "explain", "export")


def _training(result: Mapping[str, Any]) -> float:
    return round(sum(s for name, s in result["seconds"].items() if name not in NOT_TRAINING), 3)


def _to_scratch(run: Run, entry: Entry, done: Sequence[Entry]) -> float | None:
    """Seconds of training after which an approach is as good on validation as the one from scratch
    ever becomes; None where it never is, or nobody can say."""
    known = any(other.name == "scratch" for other in done)
    if not known or entry.command != "finetune" or entry.config.search.wanted:
        return None
    bar = max(right for _, right in training_curve(run.workdir / "scratch"))
    curve = training_curve(run.workdir / entry.name)
    return next((s for s, right in curve if right >= bar), None)


def training_curve(folder: Path) -> list[tuple[float, float]]:
    """Of a run seconds since its first feature or step, and validation accuracy, in order."""
    spent = json.loads((folder / "result.json").read_text(encoding="utf-8"))["seconds"]
    before = {"head": spent.get("features", 0.0), "scratch": 0.0}
    before["finetune"] = before["head"] + spent.get("head", 0.0)
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    return [(round(before[r["stage"]] + r["seconds"], 3), r["val_accuracy"]) for r in records]


Answers = dict[str, dict[str, bool]]  # By split and file, whether a run is right.


def recommended(answers: Mapping[str, Answers]) -> dict[str, Any]:
    """The approach that is right most often on the validation examples that all answered, of equals
    the first in order; how the others stand against it there, and on test, which decides nothing.
    Nothing where they share no validation example."""
    found: dict[str, Any] = {}
    for split, right in _shared(answers).items():
        count = len(next(iter(right.values())))
        if split == "val":
            found["best"] = max(right, key=lambda name: right[name].mean())
        elif "best" not in found:
            break
        found[split] = {"n": count, "against": _against(found["best"], right)}
    return found


def brought(answers: Mapping[str, Answers]) -> dict[str, Any]:
    """By split, how a chain stands against its last step alone, example by example."""
    both = {name: answers[name] for name in ("chain", "finetune")}
    return {
        split: {"n": len(right["chain"]), **_against("chain", right)["finetune"]}
        for split, right in _shared(both).items()
    }


def _shared(answers: Mapping[str, Answers]) -> dict[str, dict[str, np.ndarray]]:
    """By split that all have answered examples of, and by run, whether it is right on each."""
    found = {}
    for split in ("val", "test"):
        own = {name: by.get(split, {}) for name, by in answers.items()}
        files = sorted(set.intersection(*(set(right) for right in own.values())))
        if files:
            found[split] = {name: np.array([by[f] for f in files]) for name, by in own.items()}
    return found


def _answers(folder: Path) -> Answers:
    found: Answers = {}
    with (folder / "predictions.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            found.setdefault(row["split"], {})[row["file"]] = row["prediction"] == row["label"]
    return found


def _against(best: str, right: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    found = {}
    for name, own in right.items():
        if name == best:
            continue
        won, lost = int((right[best] & ~own).sum()), int((own & ~right[best]).sum())
        low, high = paired_interval(won, lost, len(own))
        difference = (won - lost) / len(own)
        found[name] = {"won": won, "lost": lost, "difference": difference, "interval": [low, high]}
    return found
