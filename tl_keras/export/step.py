"""The export step of a run: writes and checks files, chooses the one to ship, and bundles it."""

import shutil
from pathlib import Path
from typing import Any, TypeVar, get_args

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from tl_keras import tasks
from tl_keras.backbones import table
from tl_keras.config.export import Format
from tl_keras.config.model import WEIGHTS, ModelConfig
from tl_keras.config.whole import RunConfig
from tl_keras.data import run_data
from tl_keras.data.label_names import as_label_lines
from tl_keras.data.prepared import Data
from tl_keras.export import choice, export, proof
from tl_keras.export.description import LABELS, Description, Examples, label_lines
from tl_keras.export.subject import Subject, Writing
from tl_keras.modalities import part
from tl_keras.run.files import write_text
from tl_keras.run.result.exports import Exported, OnFiles, Shipped
from tl_keras.run.result.whole import Result
from tl_keras.run.run import Run
from tl_keras.training import evaluation
from tl_keras.training.evaluation import Answers

SHIPPED = "model.tflite"
BESIDE = (SHIPPED, "device")
Measured = TypeVar("Measured", Exported, OnFiles)


def exported(
    run: Run,
    model: keras.Model,
    data: Data,
    probabilities: Answers,
    judge: Subject | None = None,
    held_out: tuple[np.ndarray, np.ndarray] | None = None,
) -> dict[str, Any]:
    """Exports the model of a new run: writes the files, and compares each with the model.

    Args:
      data: the examples. Each file is compared with the model on the split val of these examples.
        This comparison decides whether the file is accepted, unless `judge` decides.
      probabilities: the model's answers by split. If val or test is missing, its answers are
        computed.
      judge: another model with the same layers, and its own validation examples. It decides about
        quantised files if `model` was trained on val, see `export.export`; None if `model` itself
        decides.
      held_out: answers to examples and the labels of these examples; each answer is from a model
        that was not trained on the example. The threshold of the output `abstain` is computed from
        them. None if `model` was not trained on val; then the threshold is computed from val.

    Returns:
      the fields `export` and `shipped` of result.json.

    Raises:
      ValueError: the model needs operators that LiteRT lacks.
    """
    folder = run.workdir / export.FOLDER
    parts = _exported(run, model, data, probabilities, judge, held_out)
    # A resumed search may have exported another model before; those files are outdated.
    for name in set(get_args(Format)) - set(parts["export"]):
        for rejected in (False, True):
            export.remove(folder / proof.file_name(name, rejected))
    if parts["shipped"].format is None:
        _remove_shipped(run, parts["shipped"])
    return parts


def _exported(
    run: Run,
    model: keras.Model,
    data: Data,
    probabilities: Answers,
    judge: Subject | None,
    held_out: tuple[np.ndarray, np.ndarray] | None,
) -> dict[str, Any]:
    missing = [name for name in ("val", "test") if name not in probabilities]
    known = {**evaluation.predict(run, model, data, missing), **probabilities}
    on = "validation" if held_out is None else f"its training {run.config.nouns[1]}"
    subject = Subject(model, data.inputs, known, on, held_out is not None)
    folder = run.workdir / export.FOLDER
    threshold = _threshold(run, held_out or (known["val"], data.inputs["val"].labels))
    with run.timed("export"), export.unfinished(folder) as new:
        about = _about(run, data)

        prepare = part(run.config.modality, "prepare")

        def decode(contents: tf.Tensor) -> tf.Tensor:
            return prepare.served(contents, run.config.settings)

        settings = run.config.export, threshold, new, run.config.task
        served = decode if prepare.is_served(run.config.settings) else None
        writing = Writing(served, about, *settings)
        entries = export.export(subject, writing, judge)
        if about.labels:
            write_text(new / LABELS, label_lines(about))
        if subject.trained_on_last:
            entries = {name: _unmeasured(entry, run.config.task) for name, entry in entries.items()}
        shipped = _ship(run, data, entries, writing, subject.last)
        beside = [name for name in (LABELS, *BESIDE) if (new / name).exists()]
        export.put_in_place(new, folder, entries, beside)
    return {"export": entries, "shipped": shipped}


def _unmeasured(entry: Measured, task: str) -> Measured:
    """Returns a copy of measurements without the main score and its interval.

    Used if they were measured on examples that the model was trained on.
    """
    scores = (tasks.of(task, "names").MAIN, "interval")
    return type(entry)(**{name: entry[name] for name in entry.keys() if name not in scores})


def exported_again(
    run: Run,
    model: keras.Model,
    data: Data,
    judge: Subject | None = None,
    held_out: tuple[np.ndarray, np.ndarray] | None = None,
) -> Result:
    """Exports the model of a finished run with the current config section `export`.

    If the new files include LiteRT files, the file to ship is chosen among these. If none of these
    is good enough, an earlier file to ship is removed. If the new files include no LiteRT file, an
    earlier file to ship stays.

    Args:
      judge, held_out: see `exported`.

    Returns:
      the content of result.json, with the new exports added.
    """
    trained, data = run_data.for_model(run, data)
    parts = _exported(trained, model, data, {}, judge, held_out)
    earlier, shipped = run.result, parts["shipped"]
    if shipped.format is None and shipped.status == proof.OK:
        shipped = earlier.shipped or shipped
    elif shipped.format is None:
        _remove_shipped(run, shipped)
    entries = {**earlier.export, **parts["export"]}
    return earlier.model_copy(update={"export": entries, "shipped": shipped})


def _remove_shipped(run: Run, shipped: Shipped) -> None:
    """Removes `model.tflite` and `device/` if an earlier export left them, and logs why."""
    folder = run.workdir / export.FOLDER
    if (folder / SHIPPED).exists():
        why = shipped.reason or "the formats of this export include no LiteRT file"
        logging.info(
            "export: removed %s and device/ of an earlier export, because %s", SHIPPED, why
        )
    for name in BESIDE:
        export.remove(folder / name)


def _threshold(run: Run, held_out: tuple[np.ndarray, np.ndarray]) -> float | None:
    level = run.config.export.abstain
    return (
        None if level is None else tasks.of(run.config.task, "abstain").threshold(*held_out, level)
    )


def _about(run: Run, data: Data) -> Description:
    config, classes = run.config, as_label_lines(data.dataset.classes)
    title, text = tasks.of(config.task, "words").about(classes, config.nouns[1])
    backbone = Path(config.model.backbone).stem
    return Description(
        name=config.export.title or f"{title} ({backbone})",
        text=text,
        settings=config.settings,
        labels=classes,
        version=config.export.version,
        author=config.export.author,
        license=config.export.license,
        task=config.task,
    )


def _ship(
    run: Run, data: Data, entries: dict[str, Exported], writing: Writing, split: str
) -> Shipped:
    """Copies the file to ship to `model.tflite` and writes the folder `device/`.

    Returns:
      the field `shipped` of result.json.
    """
    faster = part(run.config.modality, "config").SMALLER  # It has no effect on the file's size.
    smaller = _smaller(run.config.model)
    shipped = choice.choose(entries, run.config.export, smaller, (faster,), run.config.task)
    name = shipped.format
    if name is None:
        return shipped
    file = writing.folder / SHIPPED
    shutil.copyfile(writing.folder / Path(entries[name].path).name, file)
    shipped = shipped.model_copy(update={"path": f"{export.FOLDER}/{SHIPPED}"})
    bundle = part(run.config.modality, "bundle")
    if run.config.task not in bundle.TASKS:
        return shipped
    examples = _examples(data, split)
    labels, batch = writing.about.labels, writing.config.batch
    spec = bundle.spec_of(run.config.settings, labels, name, writing.threshold, batch)
    if examples.paths is not None:
        measured = bundle.measure(file, spec, examples)
        main = tasks.of(writing.task, "names").MAIN
        measured = measured if main in entries[name] else _unmeasured(measured, writing.task)
        shipped = shipped.model_copy(update={"device": measured})
    figures = _figures(entries[name], shipped, split, run.config)
    about = {"title": writing.about.name, "about": writing.about.text, "by": _by(writing.about)}
    bundle.write(writing.folder / "device", file, spec, about, examples, figures)
    return shipped


def _smaller(model: ModelConfig) -> tuple[str, ...]:
    """Returns phrases for a message: which config fields to change for a smaller file."""
    if model.weights in WEIGHTS and model.weights != "glyphs":
        has_alpha = "alpha" in table.options_of(model.backbone)
        lower = ("a lower model.options.alpha",) if has_alpha else ()
        return (*lower, "another model.backbone")
    return ("another model.backbone and weights for it (model.weights)",)  # These fit no other.


def _by(about: Description) -> str:
    parts = [f"Version {about.version}", about.author and f"by {about.author}", about.license]
    return f"{', '.join(filter(None, parts))}."


def _examples(data: Data, split: str) -> Examples:
    dataset, inputs = data.dataset, data.inputs[split]
    paths = None
    if dataset.root is not None:
        paths = [dataset.root / example.file for example in dataset.splits[split]]
    return Examples(inputs, paths, split)


def _figures(entry: Exported, shipped: Shipped, split: str, config: RunConfig) -> str:
    """Returns a Markdown list of the shipped file's measured score, size and latency."""
    lines, main = [], tasks.of(config.task, "names").MAIN
    if main in entry:
        low, high = entry.interval
        name = tasks.of(config.task, "words").SCORES[main][0]
        lines.append(
            f"- {name} {entry[main]:.3f} on {entry.n} {split} {config.nouns[1]} (95% interval "
            f"{low:.3f} to {high:.3f}). These {config.nouns[1]} were prepared as in training."
        )
    lines += [
        f"- {entry.bytes:,} bytes{_memory(entry)}.",
        f"- {entry.latency_ms.median:g} ms per {config.nouns[0]}{_of_length(entry)} (median, one "
        "thread, on the machine that exported the file).",
    ]
    if shipped.device:
        lines.append(f"- {part(config.modality, 'bundle').measured_sentence(shipped.device)}")
    return "\n".join(lines)


def _of_length(entry: Exported) -> str:
    length = entry.latency_ms.length
    return "" if length is None else f" of {length} input values, the median length"


def _memory(entry: Exported) -> str:
    if entry.arena_bytes is None:
        return ""
    return (
        f", and {entry.arena_bytes:,} bytes of memory while it runs on LiteRT's built-in kernels "
        "(without a delegate such as XNNPACK)"
    )
