"""parallel: a teacher of few labelled examples labels many; students train on segments of them side
by side, are merged, and may teach the next round. The test split decides nothing."""

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
from absl import logging

from tl_keras import tasks
from tl_keras.approaches import cross_validate, folds
from tl_keras.approaches.teaching import labelling, students
from tl_keras.approaches.teaching.labelling import Label
from tl_keras.approaches.teaching.merging import TEACHER, merge_round
from tl_keras.config.whole import RunConfig
from tl_keras.data import record, run_data
from tl_keras.data.examples import Example
from tl_keras.data.prepared import Data, prepared
from tl_keras.data.sources import unlabelled
from tl_keras.data.wording import left_out
from tl_keras.export import step as exports
from tl_keras.report.pages import page
from tl_keras.run import machine
from tl_keras.run.files import replacing, write_json
from tl_keras.run.folder import opened
from tl_keras.run.result.teaching import LabelCounts, Labels, Round, Teacher, UnlabelledCounts
from tl_keras.run.result.whole import to_json
from tl_keras.run.run import Run, read_json
from tl_keras.training import backbone as backbones
from tl_keras.training import evaluation, features
from tl_keras.training.evaluation import Answers
from tl_keras.training.network import model as models
from tl_keras.training.network.fold_batch_norm import Inference


def run(config: RunConfig, workdir: str | Path) -> Run:
    """Teaches, trains the students, merges them, and exports what came of it.

    Raises:
      ValueError: the config, the data or the folder cannot be used, or a student failed for a
        reason that the user can mend.
    """
    _check(config)
    with opened(config, workdir, "parallel") as run:
        backbone = backbones.begin(run)
        data = run_data.read(run)
        model = backbones.trained(
            run, data, backbone, lambda *_: _teach(run, data, backbone, _unlabelled(run, data))
        )
        rounds, seen = _rounds(run), None
        if rounds[0].merged == TEACHER:  # The first one was trained on validation, too.
            seen = _held_out(run, data), data.inputs["val"].labels
        if run.result:
            run.finish(exports.exported_again(run, model, data, held_out=seen))
        else:
            probabilities = evaluation.predict(run, model, data)
            exported = exports.exported(run, model, data, probabilities, held_out=seen)
            if seen:
                probabilities["val"] = seen[0]
            measured = evaluation.evaluate(run, model, data, probabilities)
            told = {"rounds": rounds, "teacher": _against_teacher(run, data, probabilities)}
            run.finish(run.outcome(**told, **measured, **exported, **machine.described()))
        page.write(run.workdir)
    return run


def _check(config: RunConfig) -> None:
    if tasks.maybe(config.task, "labels") is None:
        raise ValueError(
            f"task: {config.task} has no labels that a teacher could give; expected classification "
            "for parallel"
        )
    if config.data.unlabelled is None:
        raise ValueError(
            f"data.unlabelled: expected a folder of {config.nouns[1]} without labels, or rest: "
            "those that data.examples_per_class leaves out; received none"
        )
    if not config.model.is_pretrained:
        raise ValueError(
            "model.weights: students start from the same pretrained weights; received none"
        )
    if config.search.wanted:
        raise ValueError(
            "search: parallel does not search; expected neither search.trials nor search.minutes: "
            "search with the command search, and write what it finds into the config"
        )


def _unlabelled(run: Run, data: Data) -> list[Example]:
    with run.timed("data"):
        found = unlabelled.load(run.config, data.dataset)
    for warning in found.warnings:
        logging.warning("data: %s", warning)
    for line in left_out(found.quarantined):
        logging.warning("data: %s", line)
    counts = UnlabelledCounts(n=len(found.examples), quarantined=len(found.quarantined))
    run.add(unlabelled=counts)
    record.add_digests(run, "unlabelled", found.examples, found.listed)
    logging.info("data: %d examples to be labelled", len(found.examples))
    return found.examples


def _teach(run: Run, data: Data, backbone: keras.Model, examples: Sequence[Example]) -> keras.Model:
    """All rounds; the model that the last one comes to."""
    teacher = _teacher(run, data, backbone)
    counts = _counts(data, data.dataset.labels("train"), data.dataset.labels("val"))
    held_out: np.ndarray | None = _held_out(run, data)
    for number in range(run.config.parallel.rounds):
        folder = run.workdir / f"round_{number}"
        labels = _labels(run, folder, teacher, data, examples, counts)
        students.prepare(run, folder, data.dataset, examples, labels)
        students.train_students(run, folder, number)
        teacher, name = merge_round(run, folder, data, teacher, held_out)
        if name == TEACHER:
            logging.info("%s: no student was better than the teacher: it stays", folder.name)
            break
        held_out = None
        taught = np.array([own.label for own in labels if own.kept])
        counts = _counts(data, data.dataset.labels("train"), taught)
    return teacher


def _held_out(run: Run, data: Data) -> np.ndarray:
    """What the first teacher's folds said of the validation examples that they held out."""
    answers = folds.held_out(_teacher_run(run, data))
    return np.stack([answers[example.file] for example in data.dataset.splits["val"]])


def _counts(data: Data, *labels: np.ndarray) -> np.ndarray:
    counts = tasks.of(data.dataset.task, "labels").counts
    return counts(np.concatenate(labels), data.dataset.classes)


def _teacher(run: Run, data: Data, backbone: keras.Model) -> keras.Model:
    """The first teacher, cross-validated on all that is labelled: what each fold holds out tells
    how sure its answers are, where a validation split of a few dozen examples would not."""
    teacher = _teacher_run(run, data)
    file = teacher.workdir / "model.keras"
    if teacher.result:
        shutil.rmtree(teacher.checkpoint, ignore_errors=True)  # Of a kill after the result.
        return models.load(file)
    pooled = data.dataset.pooled()
    dataset = replace(pooled, splits={**pooled.splits, "test": []})
    teacher.begin_inside()
    with run.timed("teacher"):
        to_deal = prepared(dataset, run.config, ("train",))
        model = cross_validate.train(teacher, to_deal, backbone)
        with replacing(file) as temporary:
            model.save(temporary)
        teacher.finish(teacher.outcome())
    return models.load(file)


def _teacher_run(run: Run, data: Data) -> Run:
    """Of as many folds as the smallest class allows, up to those of the config."""
    config = run.config
    units = {(e.label, e.unit) for split in ("train", "val") for e in data.dataset.splits[split]}
    smallest = min(Counter(label for label, _ in units).values())
    count = max(2, min(config.cross_validate.folds, smallest))
    asked = config.cross_validate.model_copy(update={"folds": count, "final": "refit"})
    config = config.model_copy(update={"cross_validate": asked})
    return Run(run.workdir / "teacher", config, "teacher")


def _labels(
    run: Run,
    folder: Path,
    teacher: keras.Model,
    data: Data,
    examples: Sequence[Example],
    counts: np.ndarray,
) -> list[Label]:
    """What the teacher makes of the unlabelled examples, in `labels.csv`."""
    file, classes = folder / "labels.csv", data.dataset.classes
    if file.exists():
        return labelling.read(file, examples, classes)
    with run.timed("label"):
        how: dict[str, list[float]] = {}
        if run.config.parallel.labels == "own":
            labels = labelling.own_labels(examples, run.config)
        else:
            dataset = replace(data.dataset, splits={"train": list(examples)}, whole=True)
            shown = prepared(dataset, run.config, ("train",))
            # Of the examples as they are: on views of them it is less sure than it is right.
            probabilities = features.outputs(Inference(teacher), shown.inputs["train"])
            prior = counts / counts.sum()
            labels, how = labelling.label(examples, probabilities, prior, run.config)
        told = Labels(**how, classes=_by_class(examples, labels, data))
        write_json(folder / "labels.json", to_json(told))
        labelling.write(file, examples, labels, classes)  # Last: its presence means done.
    kept = sum(own.kept for own in labels)
    logging.info("%s: %d of %d labels are kept", folder.name, kept, len(labels))
    return labels


def _by_class(
    examples: Sequence[Example], labels: Sequence[Label], data: Data
) -> dict[str, LabelCounts]:
    """By class, how many labels there are, how many are kept; where the truth is known, how many of
    those are right: it is told, and nothing is chosen by it."""
    found = {}
    for k, name in enumerate(data.dataset.classes):
        own = [(e, a) for e, a in zip(examples, labels, strict=True) if a.label == k]
        kept = [e.label for e, a in own if a.kept]
        known = [label for label in kept if label != unlabelled.UNKNOWN]
        right = {"known": len(known), "right": sum(label == k for label in known)} if known else {}
        found[name] = LabelCounts(n=len(own), kept=len(kept), **right)
    return found


def _rounds(run: Run) -> list[Round]:
    """`rounds` of `result.json`."""
    files = [run.workdir / f"round_{i}" / "round.json" for i in range(run.config.parallel.rounds)]
    return [Round.model_validate(read_json(file)) for file in files if file.is_file()]


def _against_teacher(run: Run, data: Data, probabilities: Answers) -> Teacher:
    """`teacher` of `result.json`: the first one, measured beside the model."""
    teacher = models.load(run.workdir / "teacher" / "model.keras")
    last = list(probabilities)[-1]
    if last == "val":
        answers = _held_out(run, data)
    else:
        answers = evaluation.predict(run, teacher, data, (last,))[last]
    labels = data.inputs[last].labels
    metrics = tasks.of(run.config.task, "metrics")
    before, now = (metrics.scores(own, labels) for own in (answers, probabilities[last]))
    measured = metrics.measure(answers, labels, data.dataset.classes)
    scores = {name: measured[name] for name in metrics.IN_SHORT}
    paired = tasks.of(run.config.task, "choice").paired(now, before)
    return Teacher(split=last, **scores, **paired)
