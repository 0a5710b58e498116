"""parallel: a teacher of few labelled examples labels many; students train on segments of them side
by side, are merged, and may teach the next round. The test split decides nothing."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from absl import logging

from tl_keras import features, merge, report, train
from tl_keras import model as models
from tl_keras.approaches import cross_validate, labelling, stages
from tl_keras.approaches.architecture import Data, prepared
from tl_keras.approaches.labelling import Label
from tl_keras.config import RunConfig
from tl_keras.data import unlabelled
from tl_keras.data.batches import CORES
from tl_keras.data.examples import Example
from tl_keras.evaluate import log_losses, measure
from tl_keras.files import replacing, write_json
from tl_keras.fold import Inference
from tl_keras.run import Run, opened

POLL = 0.2  # seconds
SHOWN = ("accuracy", "interval", "log_loss", "n")  # Scores that are told of others than the model.
FAILED = 2  # Exit status of a student whose user can mend what is wrong.


def run(config: RunConfig, workdir: str | Path) -> Run:
    """Teaches, trains the students, merges them, and exports what came of it.

    Raises:
      ValueError: the config, the data or the folder cannot be used, or a student failed for a
        reason that the user can mend.
    """
    _check(config)
    with opened(config, workdir, "parallel") as run:
        backbone = stages.backbone(run)
        data = stages.read(run)
        examples = _unlabelled(run, data)
        model = stages.trained(
            run, data, backbone, lambda *_: _teach(run, data, backbone, examples)
        )
        if run.result:
            run.finish(stages.exported_again(run, model, data))
        else:
            probabilities = stages.predict(run, model, data)
            measured = stages.evaluate(run, model, data, probabilities)
            exported = stages.exported(run, model, data, probabilities)
            told = _told(run, data, probabilities)
            run.finish(stages.result(run, **told, **measured, **exported))
        report.write(run.workdir)
    return run


def _check(config: RunConfig) -> None:
    if config.data.unlabelled is None:
        raise ValueError(
            "data.unlabelled: expected a folder of images without labels, or rest: those that "
            "data.examples_per_class leaves out; received none"
        )
    if config.model.weights == "none":
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
        found = unlabelled.load(run.config.data, run.config.cache, data.dataset)
    for warning in found.warnings:
        logging.warning("data: %s", warning)
    for entry in found.quarantined:
        logging.warning("data: %r is left out: %s", entry.file, entry.reason)
    run.add(unlabelled={"n": len(found.examples), "quarantined": len(found.quarantined)})
    logging.info("data: %d examples to be labelled", len(found.examples))
    return found.examples


def _teach(run: Run, data: Data, backbone: keras.Model, examples: Sequence[Example]) -> keras.Model:
    """All rounds; the model that the last one comes to."""
    teacher = _teacher(run, data, backbone)
    counts = _counts(data, data.dataset.labels("train"), data.dataset.labels("val"))
    for number in range(run.config.parallel.rounds):
        folder = run.workdir / f"round_{number}"
        labels = _labels(run, folder, teacher, data, examples, counts)
        _train_students(run, folder, number)
        teacher = _merged(run, folder, teacher, data)
        taught = np.array([own.label for own in labels if own.kept])
        counts = _counts(data, data.dataset.labels("train"), taught)
    return teacher


def _counts(data: Data, *labels: np.ndarray) -> np.ndarray:
    return np.bincount(np.concatenate(labels), minlength=len(data.dataset.classes))


def _teacher(run: Run, data: Data, backbone: keras.Model) -> keras.Model:
    """The first teacher, cross-validated on all that is labelled: what each fold holds out tells
    how sure its answers are, where a validation split of a few dozen examples would not."""
    teacher = _teacher_run(run, data)
    file = teacher.workdir / "model.keras"
    if file.exists():
        return models.load(file)
    dataset = replace(data.dataset.pooled(), root=data.dataset.root)
    dataset = replace(dataset, splits={**dataset.splits, "test": []})
    with run.timed("teacher"):
        pooled = prepared(dataset, run.config, ("train",))
        model = cross_validate.train(teacher, pooled, backbone)
        with replacing(file) as temporary:
            model.save(temporary)
        shutil.rmtree(teacher.checkpoint, ignore_errors=True)
    return models.load(file)


def _teacher_run(run: Run, data: Data) -> Run:
    """Of as many folds as the smallest class allows, up to those of the config."""
    config = run.config
    units = {(e.label, e.unit) for split in ("train", "val") for e in data.dataset.splits[split]}
    smallest = min(Counter(label for label, _ in units).values())
    folds = max(2, min(config.cross_validate.folds, smallest))
    asked = config.cross_validate.model_copy(update={"folds": folds, "final": "refit"})
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
        record: dict[str, Any] = {}
        if run.config.parallel.labels == "own":
            labels = labelling.own_labels(examples, run.config)
        else:
            dataset = replace(data.dataset, splits={"train": list(examples)}, whole=True)
            shown = prepared(dataset, run.config, ("train",))
            # Of the images as they are: on views of them it is less sure than it is right.
            probabilities = features.outputs(Inference(teacher), shown.inputs["train"])
            prior = counts / counts.sum()
            labels, record = labelling.label(examples, probabilities, prior, run.config)
        write_json(folder / "labels.json", {**record, "classes": _by_class(examples, labels, data)})
        labelling.write(file, examples, labels, classes)  # Last: its presence means done.
    kept = sum(own.kept for own in labels)
    logging.info("%s: %d of %d labels are kept", folder.name, kept, len(labels))
    return labels


def _by_class(
    examples: Sequence[Example], labels: Sequence[Label], data: Data
) -> dict[str, dict[str, Any]]:
    """By class, how many labels there are, how many are kept; where the truth is known, how many of
    those are right: it is told, and nothing is chosen by it."""
    found = {}
    for k, name in enumerate(data.dataset.classes):
        own = [(e, a) for e, a in zip(examples, labels, strict=True) if a.label == k]
        kept = [e.label for e, a in own if a.kept]
        known = [label for label in kept if label != unlabelled.UNKNOWN]
        found[name] = {"n": len(own), "kept": len(kept)}
        if known:
            found[name] |= {"known": len(known), "right": sum(label == k for label in known)}
    return found


@dataclass
class Students:
    """The students of a round, as their processes come and go.

    Attributes:
      waiting: segments that are to be started.
      running: processes by segment.
      attempts: how often each was started.
      failed: what was wrong, by segment, with those that are given up.
    """

    waiting: list[int]
    running: dict[int, subprocess.Popen]
    attempts: Counter
    failed: dict[int, tuple[int, str]]


def _train_students(run: Run, folder: Path, number: int) -> None:
    """Trains all students that are not trained yet, `parallel.workers` at a time.

    Raises:
      ValueError: a student failed again and again, for a reason that the user can mend.
      RuntimeError: for another one.
    """
    asked = run.config.parallel
    missing = [i for i in range(asked.segments) if not _is_done(folder, i)]
    if not missing:
        return
    workers = min(asked.segments, CORES) if asked.workers == "auto" else asked.workers
    if not workers:
        _wait(run, folder, missing)
        return
    students = Students(missing, {}, Counter(), {})
    with run.timed("students"):
        try:
            while students.waiting or students.running:
                while students.waiting and len(students.running) < workers:
                    segment = students.waiting.pop(0)
                    students.attempts[segment] += 1
                    students.running[segment] = _start(run, folder, segment, workers)
                time.sleep(POLL)
                _collect(run, folder, number, students)
        finally:  # Of Ctrl-C: what they have done so far stays, and they go on from there.
            for process in students.running.values():
                process.terminate()
    if students.failed:
        _give_up(folder, number, students)


def _is_done(folder: Path, segment: int) -> bool:
    return (folder / f"segment_{segment}" / "result.json").is_file()


def _wait(run: Run, folder: Path, missing: Sequence[int]) -> None:
    """Waits for students that run elsewhere."""
    logging.info(
        "%s: waiting for segments %s: start the same command with --segment=i for each, on any "
        "machine that sees %r",
        *(folder.name, ", ".join(map(str, missing)), str(run.workdir)),
    )
    with run.timed("students"):
        while not all(_is_done(folder, i) for i in missing):
            time.sleep(POLL)


def _start(run: Run, folder: Path, segment: int, workers: int) -> subprocess.Popen:
    threads = str(max(1, CORES // workers))
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
    line = [sys.executable, "-m", "tl_keras.cli", "parallel", f"--segment={segment}"]
    line += [f"--config={run.workdir / 'config.yaml'}", f"--workdir={run.workdir}"]
    # Beside the segment's folder, whose disk may be full.
    with _log_of(folder, segment).open("w", encoding="utf-8") as log:
        return subprocess.Popen(
            line,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **dict.fromkeys(names, threads)},
        )


def _log_of(folder: Path, segment: int) -> Path:
    return folder / f"segment_{segment}.log"


def _collect(run: Run, folder: Path, number: int, students: Students) -> None:
    """Takes note of students that have ended; one that failed is started again."""
    for segment, process in list(students.running.items()):
        if process.poll() is None:
            continue
        del students.running[segment]
        name = f"round {number + 1}, segment {segment}"
        if process.returncode == 0 and _is_done(folder, segment):
            result = _result_of(folder, segment)
            logging.info(
                "%s: validation accuracy %.3f on %d labelled examples, kept: %s, %.0f s",
                *(name, result["labelled"]["accuracy"], result["labelled"]["n"]),
                *(result["model"]["kept"], result["seconds"]["total"]),
            )
            continue
        why = _why(folder, segment, process.returncode)
        logging.warning("%s failed: %s", name, why)
        if students.attempts[segment] <= run.config.parallel.retries:
            students.waiting.append(segment)
        else:
            students.failed[segment] = (process.returncode, why)


def _why(folder: Path, segment: int, status: int) -> str:
    lines = _log_of(folder, segment).read_text(encoding="utf-8", errors="replace").splitlines()
    if status < 0:
        return f"it was killed (signal {-status}); out of memory? parallel.workers=1 needs less"
    said = [line.removeprefix("tl-keras: ") for line in lines if line.startswith("tl-keras: ")]
    return (said or lines or ["it said nothing"])[-1]


def _give_up(folder: Path, number: int, students: Students) -> None:
    segment, (status, why) = next(iter(students.failed.items()))
    others = len(students.failed) - 1
    message = (
        f"parallel: segment {segment} of round {number + 1} failed {students.attempts[segment]} "
        f"times: {why}; {f'{others} more failed; ' if others else ''}what the others came to is "
        f"kept, and the same command goes on; all it said: {str(_log_of(folder, segment))!r}"
    )
    if status == FAILED or status < 0:
        raise ValueError(message)
    raise RuntimeError(message)


def _result_of(folder: Path, segment: int) -> dict[str, Any]:
    file = folder / f"segment_{segment}" / "result.json"
    return json.loads(file.read_text(encoding="utf-8"))


def _merged(run: Run, folder: Path, teacher: keras.Model, data: Data) -> keras.Model:
    """The model that a round comes to: of the students, or still the teacher."""
    file, count = folder / "model.keras", run.config.parallel.segments
    if file.exists():
        return models.load(file)
    with run.timed("merge"):
        members = [models.load(folder / f"segment_{i}" / "model.keras") for i in range(count)]
        found = {f"segment_{i}": _answers(member, data) for i, member in enumerate(members)}
        together = {"ensemble": np.mean(list(found.values()), axis=0)}
        found |= {"teacher": _answers_of_teacher(run, folder, teacher, data)}
        if count > 1:
            averaged = merge.average(
                [models.load(folder / "segment_0" / "model.keras"), *members[1:]]
            )
            found |= {"average": _answers(averaged, data), **together}
        chosen = _choose(run.config, found, data)
        if chosen == "teacher":
            model = teacher
        elif chosen == "average":
            model = averaged
        elif chosen == "ensemble":
            model = merge.ensemble(members)
        else:
            model = members[int(chosen.removeprefix("segment_"))]
        _write_round(folder, chosen, found, data)
        with replacing(file) as temporary:
            model.save(temporary)
    first = _result_of(folder, 0)["model"]
    kept = {name: first[name] for name in ("backbone", "weights", "freeze", "block", "cut")}
    run.add(model={**kept, "parameters": model.count_params(), "kept": chosen})
    logging.info("%s: merged: %s", folder.name, chosen)
    return models.load(file)


def _answers(model: keras.Model, data: Data) -> np.ndarray:
    return features.outputs(Inference(model), data.inputs["val"])


def _answers_of_teacher(run: Run, folder: Path, teacher: keras.Model, data: Data) -> np.ndarray:
    """The first one was trained on validation examples, too: those that its folds held out."""
    if folder.name != "round_0":
        return _answers(teacher, data)
    held_out = cross_validate.held_out(_teacher_run(run, data))
    return np.stack([held_out[example.file] for example in data.dataset.splits["val"]])


def _choose(config: RunConfig, found: Mapping[str, np.ndarray], data: Data) -> str:
    """What the labelled validation examples prefer; of what they cannot tell apart the average,
    which is as small as one student."""
    labels = data.inputs["val"].labels
    losses = {name: log_losses(own, labels)[None] for name, own in found.items()}
    segments = [name for name in losses if name.startswith("segment_")]
    best = min(segments, key=lambda name: losses[name].mean())
    asked = config.parallel.merge
    if asked != "auto":
        return best if asked == "best" or len(segments) == 1 else asked
    first = "average" if "average" in losses else best
    order = dict.fromkeys([first, best, "ensemble", "teacher"])
    return train.choose({name: losses[name] for name in order if name in losses})


def _write_round(folder: Path, chosen: str, found: Mapping[str, np.ndarray], data: Data) -> None:
    """Writes what `rounds` of `result.json` has of this one."""
    labels, classes = data.inputs["val"].labels, data.dataset.classes
    every = sorted(name for name in found if name.startswith("segment_"))
    described = []
    for i in range(len(every)):
        result = _result_of(folder, i)
        entry = {"segment": i, **result["data"], "kept": result["model"]["kept"]}
        entry |= {"seconds": result["seconds"]["total"]}
        for name in ("labelled", "taught"):
            if name in result:
                scores = result[name]
                entry[name] = {
                    key: scores[key] for key in ("accuracy", "interval", "n", "log_loss")
                }
        described.append(entry)
    standing = {}
    for name, own in found.items():
        scores = measure(own, labels, classes)
        standing[name] = {key: scores[key] for key in ("accuracy", "log_loss")}
    labelled = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    content = {"labels": labelled, "segments": described, "candidates": standing, "merged": chosen}
    write_json(folder / "round.json", content)


def _told(run: Run, data: Data, probabilities: stages.Probabilities) -> dict[str, Any]:
    """`rounds` and `teacher` of `result.json`: on test the teacher is measured beside the model."""
    rounds = [
        json.loads((run.workdir / f"round_{i}" / "round.json").read_text(encoding="utf-8"))
        for i in range(run.config.parallel.rounds)
    ]
    teacher = models.load(run.workdir / "teacher" / "model.keras")
    last = list(probabilities)[-1]
    answers = stages.predict(run, teacher, data, (last,))[last]
    labels = data.inputs[last].labels
    before, now = (own.argmax(-1) == labels for own in (answers, probabilities[last]))
    measured = measure(answers, labels, data.dataset.classes)
    scores = {name: measured[name] for name in SHOWN}
    compared = {"won": int((now & ~before).sum()), "lost": int((before & ~now).sum())}
    return {"rounds": rounds, "teacher": {"split": last, **scores, **compared}}
