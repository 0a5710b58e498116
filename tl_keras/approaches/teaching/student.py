"""Trains one student model of the command parallel as a job, in a process of its own.

The student trains on one segment (part) of the data. The process may run on another machine.
"""

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
    """Trains a student whose folder is prepared, and writes `model.keras` and `result.json` there.

    Raises:
      ValueError: the examples or the weights have changed since the student was prepared.
    """
    # Another process, maybe on another machine, may train this student now. Wait for its result.
    with FileLock(student.workdir / ".lock"):
        if student.result is None:
            for unfinished in (student.workdir, student.checkpoint):
                remove_unfinished(unfinished)
            _train(student)


def _train(student: Run) -> None:
    config, needs = student.config, job.needs(student)
    # The teacher's labels are the targets, not its probabilities: on film reviews, smaller students
    # that learned the probabilities were right on 1.0 percentage point fewer to 0.6 more texts.
    dataset = loaded_again(config, needs["fingerprint"])
    taught = unlabelled.with_taught(dataset, config, needs["taught"])
    with student.timed("data"):
        data = prepared(taught, config, HEAD_SPLITS)
    backbone = models.pretrained(config.model, config.settings)
    check_began(student, config.model, backbone, needs["began"])
    plan = plan_of(config, taught, pretrained=True)
    arch = architecture(student, config, data, backbone, [plan.freeze])
    # All students start from the same head, or averaging their weights would make no sense. It is
    # fitted on the human labels, which come first in `train`.
    count, strength = len(dataset.splits["train"]), needs["regularisation"]
    arch.shared.heads[config.data.balance] = head_of_strength(arch, config, strength, count)
    labelled = len(dataset.splits["val"])
    choose = functools.partial(_choose, tasks.of(config.task, "choice").choose, labelled)
    adapted = adapt.head_then_suffix(student, arch, choose=choose)
    with replacing(student.workdir / "model.keras") as temporary:
        adapted.model.save(temporary)
    _finish(student, taught, adapted.probabilities, labelled)


def _choose(
    choose: Callable[[dict[str, np.ndarray]], str],
    labelled: int,
    candidates: Mapping[str, Candidate],
) -> str:
    """Returns the candidate that a student keeps: `finetuned`, or `mix` if it is clearly better.

    `mix` is the mean of the weights before and after fine-tuning. Without fine-tuning, the
    candidate is `head`. Teacher-labelled validation examples favour the candidate that copies the
    teacher, so only human labels count. When the labels of the teacher counted too, the
    head-only model was chosen, although its accuracy was up to 10 percentage points lower than that
    of a fine-tuned candidate on development splits of photographs.

    Args:
      choose: the function of the task that chooses a candidate by its losses.
      labelled: how many validation examples have human labels; they come first.
    """
    tuned = [name for name in ("finetuned", "mix") if name in candidates]
    if not tuned:
        return "head"
    return choose({name: candidates[name].losses[:, :labelled] for name in tuned})


def _finish(student: Run, dataset: Dataset, probabilities: np.ndarray, labelled: int) -> None:
    """Writes `result.json` of a student: scores on human labels and on the teacher's labels."""
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
    scores, main = measured["labelled"], tasks.of(dataset.task, "names").MAIN
    logging.info(
        "validation %s %.3f on %d examples with human labels", main, scores[main], scores.n
    )
