"""parallel: a teacher model, trained on few labelled examples, labels many unlabelled ones.

Each student model trains on one segment (part) of the examples that the teacher labelled. The
students are merged into one model, which may be the teacher of the next round. No decision depends
on the test split.
"""

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
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
from tl_keras.data import contents, record, run_data
from tl_keras.data.examples import Example
from tl_keras.data.prepared import Data, prepared
from tl_keras.data.sources import unlabelled
from tl_keras.data.wording import left_out
from tl_keras.export import step as exports
from tl_keras.modalities import part
from tl_keras.report.pages import page
from tl_keras.run import machine
from tl_keras.run.files import replacing, write_json
from tl_keras.run.folder import opened
from tl_keras.run.result.teaching import LabelCounts, Labels, Round, Teacher, UnlabelledCounts
from tl_keras.run.result.whole import to_json
from tl_keras.run.run import Run, read_json
from tl_keras.run.trained import of_students
from tl_keras.training import backbone as backbones
from tl_keras.training import evaluation, features
from tl_keras.training.evaluation import Answers
from tl_keras.training.network import model as models
from tl_keras.training.network.fold_batch_norm import Inference


def run(config: RunConfig, workdir: str | Path) -> Run:
    """Trains the teacher and the students, merges the students, and exports the final model.

    Raises:
      ValueError: the config, the data or the folder cannot be used, or a student failed for a
        reason that the user can correct.
    """
    _check(config)
    with opened(config, workdir, "parallel") as run:
        backbone = backbones.begin(run)
        data = run_data.read(run)
        model = backbones.trained(
            run, data, backbone, lambda *_: _teach(run, data, backbone, _unlabelled(run, data))
        )
        rounds, held_out = _rounds(run), None
        if rounds[0].merged == TEACHER:  # The first teacher was trained on validation, too.
            held_out = _held_out(run, data), data.inputs["val"].labels
        if run.result:
            run.finish(exports.exported_again(run, model, data, held_out=held_out))
        else:
            # Students may have a backbone of their own, which takes examples prepared otherwise.
            of_model, prepared_for_it = run_data.for_model(run, data)
            probabilities = evaluation.predict(run, model, prepared_for_it)
            exported = exports.exported(
                of_model, model, prepared_for_it, probabilities, held_out=held_out
            )
            if held_out:
                probabilities["val"] = held_out[0]
            measured = evaluation.evaluate(of_model, model, prepared_for_it, probabilities)
            if config.parallel.student is not None:
                run.add(model=run.record["backbones"][STUDENTS])
            parts = {"rounds": rounds, "teacher": _against_teacher(run, data, probabilities)}
            run.finish(run.outcome(**parts, **measured, **exported, **machine.described()))
        page.write(run.workdir)
    return run


def _check(config: RunConfig) -> None:
    if tasks.maybe(config.task, "labels") is None:
        raise ValueError(
            f"task: a teacher cannot label examples for the task {config.task!r}; the command "
            "'parallel' expects 'classification'"
        )
    if config.data.unlabelled is None:
        raise ValueError(
            f"data.unlabelled: expected a folder of {config.nouns[1]} without labels, or 'rest' "
            f"for the {config.nouns[1]} that data.examples_per_class leaves out; received null"
        )
    if not config.model.is_pretrained:
        raise ValueError(
            "model.weights: the command 'parallel' needs pretrained weights, from which each "
            "student model starts; expected one of the words of model.weights except 'none', a "
            "weights file or the folder of an earlier run; received 'none'"
        )
    if config.search.wanted:
        raise ValueError(
            "search: the command 'parallel' does not search; remove search.trials and "
            "search.minutes, run tl-keras search first, and write the values of its best trial "
            "into the config"
        )


def _unlabelled(run: Run, data: Data) -> list[Example]:
    with run.timed("data"):
        loaded = unlabelled.load(run.config, data.dataset)
    for warning in loaded.warnings:
        logging.warning("data: %s", warning)
    for line in left_out(loaded.quarantined):
        logging.warning("data: %s", line)
    counts = UnlabelledCounts(n=len(loaded.examples), quarantined=len(loaded.quarantined))
    run.add(unlabelled=counts)
    record.add_digests(run, "unlabelled", loaded.examples, loaded.listed)
    logging.info("data: %d unlabelled examples for the teacher to label", len(loaded.examples))
    return loaded.examples


def _teach(run: Run, data: Data, backbone: keras.Model, examples: Sequence[Example]) -> keras.Model:
    """Trains the teacher and the students of all rounds; returns the model of the last round."""
    digests = _students_begin(run, data, examples)  # First, so that its errors show at once.
    teacher = _teacher(run, data, backbone)
    counts = _counts(data, data.dataset.labels("train"), data.dataset.labels("val"))
    held_out: np.ndarray | None = _held_out(run, data)
    config, for_students = run.config, run_data.for_model(run, data)[1]
    for number in range(run.config.parallel.rounds):
        folder = run.workdir / f"round_{number}"
        labels = _labels(run, folder, teacher, config, data, examples, counts)
        students.prepare(run, folder, data.dataset, examples, labels, digests)
        students.train_students(run, folder, number)
        teacher, name = merge_round(run, folder, for_students, teacher, held_out)
        config = of_students(run.config, run.workdir)  # The next teacher is a student.
        if name == TEACHER:
            logging.info(
                "%s: no merged or single student model is better than the teacher model, so the "
                "teacher is kept",
                folder.name,
            )
            break
        held_out = None
        kept = np.array([label.label for label in labels if label.kept])
        counts = _counts(data, data.dataset.labels("train"), kept)
    return teacher


STUDENTS = "students"  # The entry of their backbone in the record.


def _students_begin(run: Run, data: Data, examples: Sequence[Example]) -> Mapping[str, str]:
    """Writes what the preparation for students needs; returns the digests of their backbone."""
    if run.config.parallel.student is None:
        return backbones.digests_of(run.record.get("model", {}))
    dataset, config = data.dataset, run.config.of_students
    every = [*dataset.splits["train"], *examples]
    prepare = part(config.modality, "prepare")
    prepare.for_students(config.settings, contents.of_examples(dataset, every), run.workdir)
    config = of_students(run.config, run.workdir)
    keras.utils.set_random_seed(config.seed)
    backbone = models.pretrained(config.model, config.settings)
    backbones.check_same(run, config.model, backbone, STUDENTS)
    return run.record["backbones"][STUDENTS]


def _held_out(run: Run, data: Data) -> np.ndarray:
    """Returns the predictions of the first round's teacher for validation, `(val, classes)`.

    The prediction for an example is made by the model of the fold that held the example out.
    """
    predictions = folds.held_out(_teacher_run(run, data))
    return np.stack([predictions[example.file] for example in data.dataset.splits["val"]])


def _counts(data: Data, *labels: np.ndarray) -> np.ndarray:
    """Returns the number of labels of each class, `(classes,)`."""
    counts = tasks.of(data.dataset.task, "labels").counts
    return counts(np.concatenate(labels), data.dataset.classes)


def _teacher(run: Run, data: Data, backbone: keras.Model) -> keras.Model:
    """Returns the teacher of the first round, cross-validated on all labelled examples.

    The held-out examples of all folds calibrate the teacher's probabilities. A validation split of
    a few dozen examples would be too small for that.
    """
    teacher = _teacher_run(run, data)
    file = teacher.workdir / "model.keras"
    if teacher.result:
        # A process that was killed after the result left the checkpoint.
        shutil.rmtree(teacher.checkpoint, ignore_errors=True)
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
    """Returns the run that trains the teacher of the first round.

    It has `cross_validate.folds` folds, but no more than the smallest class has examples, and at
    least two. Equal files, near-duplicates and the files of a group count as one example here.
    """
    config = run.config
    units = {(e.label, e.unit) for split in ("train", "val") for e in data.dataset.splits[split]}
    smallest = min(Counter(label for label, _ in units).values())
    count = max(2, min(config.cross_validate.folds, smallest))
    section = config.cross_validate.model_copy(update={"folds": count, "final": "refit"})
    config = config.model_copy(update={"cross_validate": section})
    return Run(run.workdir / "teacher", config, "teacher")


def _labels(
    run: Run,
    folder: Path,
    teacher: keras.Model,
    config: RunConfig,
    data: Data,
    examples: Sequence[Example],
    counts: np.ndarray,
) -> list[Label]:
    """Returns the teacher's labels of the unlabelled examples, and writes them to `labels.csv`.

    Args:
      config: the config with the teacher's backbone.
    """
    file, classes = folder / "labels.csv", data.dataset.classes
    if file.exists():
        return labelling.read(file, examples, classes)
    with run.timed("label"):
        parameters: dict[str, list[float]] = {}
        if run.config.parallel.labels == "own":
            labels = labelling.own_labels(examples, run.config)
        else:
            dataset = replace(data.dataset, splits={"train": list(examples)}, whole=True)
            data_to_label = prepared(dataset, config, ("train",))
            # Without augmented views: on these, the teacher is right more often than its
            # probabilities say.
            probabilities = features.outputs(Inference(teacher), data_to_label.inputs["train"])
            prior = counts / counts.sum()
            labels, parameters = labelling.label(examples, probabilities, prior, run.config)
        record_of_labels = Labels(**parameters, classes=_by_class(examples, labels, data))
        write_json(folder / "labels.json", to_json(record_of_labels))
        labelling.write(file, examples, labels, classes)  # Last: labels.csv marks the step as done.
    kept = sum(label.kept for label in labels)
    logging.info(
        "%s: student models train on %d of %d labels, the most confident ones",
        *(folder.name, kept, len(labels)),
    )
    return labels


def _by_class(
    examples: Sequence[Example], labels: Sequence[Label], data: Data
) -> dict[str, LabelCounts]:
    """Returns for each class the number of the teacher's labels, and how many of them are kept.

    Student models train on the kept labels. If true labels are known, the counts also say how many
    kept labels are right. These counts are only reported; no decision depends on them.
    """
    counts = {}
    for k, name in enumerate(data.dataset.classes):
        labelled = [(e, a) for e, a in zip(examples, labels, strict=True) if a.label == k]
        kept = [e.label for e, a in labelled if a.kept]
        known = [label for label in kept if label != unlabelled.UNKNOWN]
        right = {"known": len(known), "right": sum(label == k for label in known)} if known else {}
        counts[name] = LabelCounts(n=len(labelled), kept=len(kept), **right)
    return counts


def _rounds(run: Run) -> list[Round]:
    """Builds the field `rounds` of `result.json`: the content of each round's `round.json`."""
    files = [run.workdir / f"round_{i}" / "round.json" for i in range(run.config.parallel.rounds)]
    return [Round.model_validate(read_json(file)) for file in files if file.is_file()]


def _against_teacher(run: Run, data: Data, probabilities: Answers) -> Teacher:
    """Builds the field `teacher` of `result.json`: the first round's teacher and the final model.

    The field has the scores of this teacher. It also counts the examples that only the final model
    predicts correctly, and those that only the teacher does. The examples are those of test, or of
    validation if there is no test split.
    """
    teacher = models.load(run.workdir / "teacher" / "model.keras")
    last = list(probabilities)[-1]
    if last == "val":
        of_teacher = _held_out(run, data)
    else:
        of_teacher = evaluation.predict(run, teacher, data, (last,))[last]
    labels = data.inputs[last].labels
    metrics = tasks.of(run.config.task, "metrics")
    measured = metrics.measure(of_teacher, labels, data.dataset.classes)
    scores = {name: measured[name] for name in metrics.IN_SHORT}
    paired = tasks.of(run.config.task, "choice").paired(
        metrics.scores(probabilities[last], labels), metrics.scores(of_teacher, labels)
    )
    return Teacher(split=last, **scores, **paired)
