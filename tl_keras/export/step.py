"""The step after measuring: files for devices, which of them to ship, and what that takes."""

import shutil
from pathlib import Path
from typing import Any, TypeVar, get_args

import keras
import numpy as np
import tensorflow as tf

from tl_keras import tasks
from tl_keras.config.export import Format
from tl_keras.config.messages import with_article
from tl_keras.config.whole import RunConfig
from tl_keras.data import run_data
from tl_keras.data.label_names import as_label_lines
from tl_keras.data.prepared import Data
from tl_keras.export import choice, export, proof
from tl_keras.export.description import LABELS, Description, Examples, label_lines
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
    judge: proof.Subject | None = None,
    held_out: tuple[np.ndarray, np.ndarray] | None = None,
) -> dict[str, Any]:
    """`export` and `shipped` of `result.json` for a model that was not exported before; writes the
    files, loads them back, measures them.

    Args:
      data: of which val is what files are judged on, unless there is a judge.
      probabilities: the model's, of splits of `data`; those of val and test that are not among
        them are computed.
      judge: where the model has seen all but test, one that has not.
      held_out: the same, of probabilities and labels, to find the threshold of `abstain` on.

    Raises:
      ValueError: the model needs operators that LiteRT lacks.
    """
    folder = run.workdir / export.FOLDER
    made = _exported(run, model, data, probabilities, judge, held_out)
    # What is left of another model, which was exported before a search went on.
    for name in set(get_args(Format)) - set(made["export"]):
        for rejected in (False, True):
            export.remove(folder / proof.file_name(name, rejected))
    if made["shipped"].format is None:
        _remove_shipped(run)
    return made


def _exported(
    run: Run,
    model: keras.Model,
    data: Data,
    probabilities: Answers,
    judge: proof.Subject | None,
    held_out: tuple[np.ndarray, np.ndarray] | None,
) -> dict[str, Any]:
    missing = [name for name in ("val", "test") if name not in probabilities]
    known = {**evaluation.predict(run, model, data, missing), **probabilities}
    on = "validation" if held_out is None else f"{run.config.nouns[1]} that trained it"
    subject = proof.Subject(model, data.inputs, known, on)
    folder = run.workdir / export.FOLDER
    threshold = _threshold(run, held_out or (known["val"], data.inputs["val"].labels))
    with run.timed("export"), export.unfinished(folder) as new:
        about = _about(run, data)

        def as_in_training(content: tf.Tensor) -> tf.Tensor:
            return part(run.config.modality, "prepare").served(content, run.config.settings)

        how = run.config.export, threshold, new, run.config.task
        writing = proof.Writing(as_in_training, about, *how)
        made = export.export(subject, writing, judge)
        if about.labels:
            write_text(new / LABELS, label_lines(about))
        if held_out is not None and subject.last == "val":
            made = {name: _unmeasured(entry, run.config.task) for name, entry in made.items()}
        shipped = _ship(run, data, made, writing, subject.last)
        beside = [name for name in (LABELS, *BESIDE) if (new / name).exists()]
        export.put_in_place(new, folder, made, beside)
    return {"export": made, "shipped": shipped}


def _unmeasured(entry: Measured, task: str) -> Measured:
    """An entry without the score on examples that trained the model."""
    scores = (tasks.of(task, "names").MAIN, "interval")
    return type(entry)(**{name: entry[name] for name in entry.keys() if name not in scores})


def exported_again(
    run: Run,
    model: keras.Model,
    data: Data,
    judge: proof.Subject | None = None,
    held_out: tuple[np.ndarray, np.ndarray] | None = None,
) -> Result:
    """The result of a finished run to which exports are added.

    What was shipped stays, unless files for devices are made: then one of these is, or none.
    """
    trained, data = run_data.for_model(run, data)
    made = _exported(trained, model, data, {}, judge, held_out)
    earlier, shipped = run.result, made["shipped"]
    if shipped.format is None and shipped.status == proof.OK:
        shipped = earlier.shipped or shipped
    elif shipped.format is None:
        _remove_shipped(run)
    every = {**earlier.export, **made["export"]}
    return earlier.model_copy(update={"export": every, "shipped": shipped})


def _remove_shipped(run: Run) -> None:
    for name in BESIDE:
        export.remove(run.workdir / export.FOLDER / name)


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
    run: Run, data: Data, made: dict[str, Exported], writing: proof.Writing, split: str
) -> Shipped:
    """`shipped` of `result.json`; writes `model.tflite`, and the folder `device/` about it."""
    smaller = part(run.config.modality, "config").SMALLER
    shipped = choice.choose(made, run.config.export, smaller, run.config.task)
    name = shipped.format
    if name is None:
        return shipped
    file = writing.folder / SHIPPED
    shutil.copyfile(writing.folder / Path(made[name].path).name, file)
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
        measured = measured if main in made[name] else _unmeasured(measured, writing.task)
        shipped = shipped.model_copy(update={"device": measured})
    told = _told(made[name], shipped, split, run.config)
    about = {"title": writing.about.name, "about": writing.about.text, "by": _by(writing.about)}
    bundle.write(writing.folder / "device", file, spec, about, examples, told)
    return shipped


def _by(about: Description) -> str:
    told = [f"Version {about.version}", about.author and f"by {about.author}", about.license]
    return f"{', '.join(filter(None, told))}."


def _examples(data: Data, split: str) -> Examples:
    dataset, inputs = data.dataset, data.inputs[split]
    paths = None
    if dataset.root is not None:
        paths = [dataset.root / example.file for example in dataset.splits[split]]
    return Examples(inputs, paths, split)


def _told(entry: Exported, shipped: Shipped, split: str, config: RunConfig) -> str:
    """Markdown: what the shipped file was measured at."""
    lines, main = [], tasks.of(config.task, "names").MAIN
    if main in entry:
        low, high = entry.interval
        name = tasks.of(config.task, "words").SCORES[main][0]
        lines.append(
            f"- {name} {entry[main]:.3f} on {entry.n} {split} {config.nouns[1]} (95% interval "
            f"{low:.3f} to {high:.3f}), as prepared in training."
        )
    lines += [
        f"- {entry.bytes:,} bytes{_memory(entry)}.",
        f"- {entry.latency_ms.median:g} ms {with_article(config.nouns[0])} (median, one "
        "thread, on the machine that made it).",
    ]
    if shipped.device:
        lines.append(f"- {part(config.modality, 'bundle').measured_sentence(shipped.device)}")
    return "\n".join(lines)


def _memory(entry: Exported) -> str:
    if entry.arena_bytes is None:
        return ""
    return f"; {entry.arena_bytes:,} more while it runs on LiteRT's own kernels"
