"""What every approach does before and after it trains: read the data, measure, record."""

import csv
import io
import os
import platform
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from tl_keras import tasks
from tl_keras.data import doctor, record
from tl_keras.data.examples import SPLITS
from tl_keras.data.load import load
from tl_keras.data.wording import left_out
from tl_keras.modalities import part
from tl_keras.run import folder as runs
from tl_keras.run.files import replacing, write_text
from tl_keras.run.run import Run
from tl_keras.training import features
from tl_keras.training.architecture import Data, prepared, reading
from tl_keras.training.network import model as models
from tl_keras.training.network.fold import Inference

Probabilities = dict[str, np.ndarray]  # by split
PACKAGES = ("tl-keras", "tensorflow", "keras", "numpy", "scikit-learn", "ai-edge-litert")


def read(run: Run, strict: bool = True, pooled: bool = False) -> Data:
    """The run's data, audited, split and decoded; `data.json` and `findings.json` are written.

    Args:
      strict: if not, data that cannot be trained on are read too, with warnings.
      pooled: whether train and val are one, to be dealt out to folds.

    Raises:
      ValueError: the data cannot be used, or are not those that the run began with.
    """
    config = run.config
    with run.timed("data"):
        dataset = load(config, strict)
        if pooled:
            dataset = dataset.pooled()
        record.write(run, dataset)
        counts = ", ".join(f"{len(dataset.splits[name])} {name}" for name in SPLITS)
        what = tasks.of(config.task, "words").counted(dataset.classes)
        logging.info("data: %s; %s examples", what, counts)
        # Where not strict, the command itself tells of them.
        for line in [*dataset.warnings, *left_out(dataset.quarantined)] if strict else ():
            logging.warning("data: %s", line)
        if config.export.abstain is not None:
            unseen = dataset.splits["train" if pooled else "val"]
            tasks.of(config.task, "abstain").check(len(unseen), config.export.abstain)
        data = prepared(dataset, config)
        if not run.findings:  # A run that goes on has the same data.
            examine = part(config.modality, "examine").examine
            run.find(**examine(dataset, data.inputs, config.settings))
    return data


OF_ALL_SESSIONS = ("backbones", "features")  # Parts of the record to which a session adds.


def carry(run: Run, parts: Sequence[str]) -> None:
    """Puts parts of an earlier result, and its seconds, into the record of a run that goes on."""
    earlier = run.result
    if not earlier or "seconds" in run.record:  # Killed since, it has them.
        return
    seconds = {name: value for name, value in earlier["seconds"].items() if name != "total"}
    run.add(**{name: earlier[name] for name in parts if name in earlier}, seconds=seconds)


def trained(
    run: Run, data: Data, backbone: keras.Model | None, train: Callable[..., keras.Model | Path]
) -> keras.Model:
    """The model of `model.keras`; `train` makes it of run, data and backbone if there is none.

    Args:
      train: gives a model, or that file, where it has written it.
    """
    file = run.workdir / "model.keras"
    if backbone is not None:
        made = train(run, data, backbone)
        if made != file:
            with replacing(file) as temporary:
                made.save(temporary)
    return models.load(file)


def as_trained(run: Run, data: Data) -> tuple[Run, Data]:
    """The run and its images as its model takes them: a search may have chosen another size."""
    trained = runs.as_trained(run)
    if trained.config.settings == run.config.settings:
        return run, data
    return trained, prepared(data.dataset, trained.config)


def predict(
    run: Run, model: keras.Model, data: Data, splits: Sequence[str] = ("val", "test")
) -> Probabilities:
    """The model's answers on val and, where there is one, test: `(examples, width) float32`."""
    with run.timed("evaluate"):
        infer = Inference(model)
        return {
            split: features.outputs(infer, data.inputs[split])
            for split in splits
            if len(data.inputs[split])
        }


def evaluate(
    run: Run, model: keras.Model, data: Data, probabilities: Probabilities
) -> dict[str, Any]:
    """`val` and `test` of `result.json`; writes `predictions.csv` and `pictures/`."""
    with run.timed("evaluate"):
        measured = _evaluate(run, model, data, probabilities)
    with run.timed("explain"):
        folder = run.workdir / "pictures"
        explain = part(run.config.modality, "explain")
        explain.pictures(model, data.dataset, data.inputs, probabilities, run.config, folder)
    return measured


def _evaluate(
    run: Run, model: keras.Model, data: Data, probabilities: Probabilities
) -> dict[str, Any]:
    names, rows, task = data.dataset.classes, [], run.config.task
    measured: dict[str, Any] = {"val": None, "test": None}
    for split, found in probabilities.items():
        labels = data.inputs[split].labels
        measured[split] = tasks.of(task, "metrics").measure(found, labels, names)
        files = [example.file for example in data.dataset.splits[split]]
        # Of folds each has its own model, and val is of all of them.
        if run.config.evaluate.views > 1 and not (split == "val" and data.dataset.whole):
            measured[split]["views"] = _of_views(run, model, data, split)
        if split == list(probabilities)[-1]:
            _measure_without_copies(run, split, files, found, labels, names)
        rows += rows_of(task, split, files, labels, found, names)
    write_predictions(run, names, rows)
    return measured


def write_predictions(run: Run, names: tuple[str, ...], rows: list[list[str]]) -> None:
    """Writes `predictions.csv`, see `rows_of`."""
    header = ["file", "split", *tasks.of(run.config.task, "predictions").header(names)]
    write_text(run.workdir / "predictions.csv", to_csv([header, *rows]))


def read_probabilities(run: Run) -> dict[str, np.ndarray]:
    """By file, in the order of `predictions.csv`, the answer on it, `(width,) float64`."""
    with (run.workdir / "predictions.csv").open(encoding="utf-8", newline="") as stream:
        _, *rows = csv.reader(stream)
    read = tasks.of(run.config.task, "predictions").read
    return {row[0]: read(row[2:]) for row in rows}


def _of_views(run: Run, model: keras.Model, data: Data, split: str) -> dict[str, Any]:
    """Scores of answers that are the mean over `evaluate.views` views of each image."""
    how, views = reading(run.config, data.dataset), run.config.evaluate.views
    probabilities = features.outputs_of_views(Inference(model), data.inputs[split], how, views)
    metrics = tasks.of(run.config.task, "metrics")
    found = metrics.measure(probabilities, data.inputs[split].labels, data.dataset.classes)
    return {"count": views, **{name: found[name] for name in metrics.IN_SHORT if name != "n"}}


def _measure_without_copies(
    run: Run,
    split: str,
    files: list[str],
    probabilities: np.ndarray,
    labels: np.ndarray,
    names: tuple[str, ...],
) -> None:
    """What is left of the score without images whose near-duplicates were trained on, or
    chosen by."""
    copies = doctor.copied(run.findings.get("near_duplicates", []), split)
    kept = np.array([file not in copies for file in files])
    if kept.all() or not kept.any():
        return
    task = run.config.task
    found = tasks.of(task, "metrics").measure(probabilities[kept], labels[kept], names)
    named = {name: found[name] for name in (tasks.of(task, "names").MAIN, "interval", "n")}
    run.find(without_near_duplicates={"split": split, **named, "removed": int((~kept).sum())})


def rows_of(
    task: str,
    split: str,
    files: list[str],
    labels: np.ndarray,
    probabilities: np.ndarray,
    names: tuple[str, ...],
) -> list[list[str]]:
    """Lines of `predictions.csv`, one an example."""
    row = tasks.of(task, "predictions").row
    examples = zip(files, labels, probabilities, strict=True)
    return [[file, split, *row(answer, label, names)] for file, label, answer in examples]


def to_csv(rows: list[list[str]]) -> str:
    """Rows as CSV text."""
    return "".join(map(_csv_line, rows))


def _csv_line(row: list[str]) -> str:
    # Until Python 3.13 only what is in the line's end is quoted, and a lone \r ends a line too.
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\r\n").writerow(row)
    return stream.getvalue().removesuffix("\r\n") + "\n"


def result(run: Run, **parts: Any) -> dict[str, Any]:
    """The whole of `result.json`: the record, and what only some pipelines have."""
    return {
        **run.outcome(**parts),
        "versions": {"python": platform.python_version(), **{n: version(n) for n in PACKAGES}},
        "device": _device(),
    }


def _device() -> str:
    accelerators = [device.name for device in tf.config.list_physical_devices("GPU")]
    return f"{platform.machine()}, {os.cpu_count()} CPU cores, {len(accelerators)} GPUs"
