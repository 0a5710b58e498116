"""A student of parallel training as a job: one segment, in a process of its own, on any machine."""

import functools
from collections.abc import Callable, Mapping

import numpy as np
from absl import logging
from filelock import FileLock

from tl_keras import tasks
from tl_keras.data.examples import Dataset
from tl_keras.data.prepared import prepared
from tl_keras.data.sources import unlabelled
from tl_keras.jobs import job
from tl_keras.run.files import remove_unfinished, replacing
from tl_keras.run.result.training import Counts
from tl_keras.run.run import Run
from tl_keras.training import adapt
from tl_keras.training.architecture import HEAD_SPLITS, architecture, plan_of
from tl_keras.training.backbone import check_began
from tl_keras.training.candidates import Candidate
from tl_keras.training.dealing import loaded_again
from tl_keras.training.network import model as models
from tl_keras.training.starting_head import head_of_strength


def run_job(student: Run) -> None:
    """Trains a student that was prepared; leaves `model.keras` and `result.json`.

    Raises:
      ValueError: the examples or the weights are not those that it was prepared for.
    """
    # Another process, maybe on another machine, may be at work here: what it makes is taken.
    with FileLock(student.workdir / ".lock"):
        if student.result is None:
            for unfinished in (student.workdir, student.checkpoint):
                remove_unfinished(unfinished)
            _train(student)


def _train(student: Run) -> None:
    config, needs = student.config, job.needs(student)
    dataset = loaded_again(config, needs["fingerprint"])
    own = unlabelled.with_taught(dataset, config, needs["taught"])
    with student.timed("data"):
        data = prepared(own, config, HEAD_SPLITS)
    backbone = models.pretrained(config.model, config.settings)
    check_began(student, config.model, backbone, needs["began"])
    plan = plan_of(config, own, pretrained=True)
    arch = architecture(student, config, data, backbone, [plan.freeze])
    # All students start from one point, or the average of their weights would be of none: from a
    # head that is fitted on what people labelled, which comes first.
    count, strength = len(dataset.splits["train"]), needs["regularisation"]
    arch.shared.heads[config.data.balance] = head_of_strength(arch, config, strength, count)
    labelled = len(dataset.splits["val"])
    choose = functools.partial(_choose, tasks.of(config.task, "choice").choose, labelled)
    adapted = adapt.head_then_suffix(student, arch, choose=choose)
    with replacing(student.workdir / "model.keras") as temporary:
        adapted.model.save(temporary)
    _finish(student, own, adapted.probabilities, labelled)


def _choose(
    choose: Callable[[dict[str, np.ndarray]], str],
    labelled: int,
    standing: Mapping[str, Candidate],
) -> str:
    """The fine-tuned weights, unless what people labelled clearly prefers their mean with those
    before. Teacher-labelled validation examples favour the candidate that copies the teacher, the
    head alone, which was up to 10 points worse on development splits of photographs.

    Args:
      choose: the task's, by losses.
      labelled: how many of the validation examples people labelled; they come first.
    """
    tuned = [name for name in ("finetuned", "mix") if name in standing]
    if not tuned:
        return "head"
    return choose({name: standing[name].losses[:, :labelled] for name in tuned})


def _finish(student: Run, dataset: Dataset, probabilities: np.ndarray, labelled: int) -> None:
    """Writes the student's result: how it does on the labelled examples, and on its own."""
    labels = dataset.labels("val")
    parts = {"labelled": slice(labelled), "taught": slice(labelled, None)}
    measure = tasks.of(dataset.task, "metrics").measure
    measured = {
        name: measure(probabilities[part], labels[part], dataset.classes)
        for name, part in parts.items()
        if len(labels[part])
    }
    counts = Counts(**{name: len(dataset.splits[name]) for name in HEAD_SPLITS})
    student.finish(student.outcome(data=counts, **measured))
    told, main = measured["labelled"], tasks.of(dataset.task, "names").MAIN
    logging.info("validation %s %.3f on %d labelled examples", main, told[main], told.n)
