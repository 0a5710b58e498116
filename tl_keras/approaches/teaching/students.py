"""Prepares and trains the student models of a round of the command parallel."""

import functools
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from absl import logging

from tl_keras import tasks
from tl_keras.approaches.teaching.labelling import Label
from tl_keras.approaches.teaching.segments import student_of
from tl_keras.data.batching.inputs import CORES
from tl_keras.data.examples import Dataset, Example
from tl_keras.jobs import job, local
from tl_keras.jobs.local import Child, Failure
from tl_keras.run.result.whole import Result
from tl_keras.run.run import Run, read_result
from tl_keras.training.architecture import HEAD_SPLITS


def prepare(
    run: Run,
    folder: Path,
    dataset: Dataset,
    examples: Sequence[Example],
    labels: Sequence[Label],
    began: Mapping[str, str],
) -> None:
    """Prepares a folder for each student of a round, unless the folder is prepared already.

    Args:
      dataset: the examples that people labelled.
      examples: the examples that the teacher labelled.
      labels: the teacher's labels of `examples`, in the same order.
      began: digests of the backbone from which the students start.
    """
    teacher = read_result(run.workdir / "teacher", run.config.task)
    for segment in range(run.config.parallel.segments):
        student = student_of(run.config, folder, segment)
        # In this order: a process that ends just now writes its result before it removes its job.
        if job.needs(student) or student.result:
            continue
        taught: dict[str, list] = {split: [] for split in HEAD_SPLITS}
        for example, label in zip(examples, labels, strict=True):
            if label.kept and label.segment == segment:
                taught[label.part].append([example.file, example.digest, label.label])
        job.prepare(
            student,
            fingerprint=dataset.fingerprint,
            taught=taught,
            regularisation=teacher.chosen.regularisation,
            began=began,
        )


def train_students(run: Run, folder: Path, number: int) -> None:
    """Trains the students of a round that are not trained yet, `parallel.workers` at a time.

    With 0 workers, waits until other processes have trained them.

    Raises:
      ValueError: a student failed in all attempts, for a reason that the user can correct.
      RuntimeError: a student failed in all attempts, for another reason.
    """
    section = run.config.parallel
    children = [_child(run, folder, number, i) for i in range(section.segments)]
    missing = [(i, child) for i, child in enumerate(children) if not local.is_done(child.folder)]
    for child in children:
        if local.is_done(child.folder):  # Killed after its result, it left its checkpoint.
            shutil.rmtree(child.folder / "checkpoint", ignore_errors=True)
    if not missing:
        return
    workers = min(section.segments, CORES) if section.workers == "auto" else section.workers
    if not workers:
        logging.info(
            "%s: waiting for the student models of segments %s; for each segment, start the same "
            "command with --segment=NUMBER, on any machine that can access %r",
            *(folder.name, ", ".join(str(i) for i, _ in missing), str(run.workdir)),
        )
        with run.timed("students"):
            local.wait(child.folder for _, child in missing)
        return
    log_score = functools.partial(_log_score, run.config.task)
    with run.timed("students"):
        failed = local.run_children(
            [child for _, child in missing], workers, CORES, section.retries, log_score
        )
    if failed:
        _give_up(failed, number)


def _child(run: Run, folder: Path, number: int, segment: int) -> Child:
    return Child(
        f"round {number + 1}, segment {segment}",
        folder / f"segment_{segment}",
        (
            *("parallel", f"--segment={segment}"),
            *(f"--config={run.workdir / 'config.yaml'}", f"--workdir={run.workdir}"),
        ),
        folder / f"segment_{segment}.log",
    )


def _log_score(task: str, student: Child) -> None:
    """Logs the main validation score of a student on the examples with human labels."""
    main = tasks.of(task, "names").MAIN
    result = read_result(student.folder, task)
    logging.info(
        "%s: validation %s %.3f on %d examples with human labels, chosen candidate model: %s, "
        "%.0f s",
        *(student.name, main, result.labelled[main], result.labelled.n),
        *(result.model.kept, result.seconds["total"]),
    )


def _give_up(failed: list[Failure], number: int) -> None:
    first, others = failed[0], len(failed) - 1
    segment = first.child.folder.name.removeprefix("segment_")
    hint = "; parallel.workers=1 needs less memory" if first.status < 0 else ""
    more = f"{others} more failed; " if others else ""
    message = (
        f"parallel: training the student model of segment {segment} of round {number + 1} failed "
        f"{first.attempts} times: {first.why}{hint}; {more}finished student models are kept, and "
        f"the same command continues the others; the log of this training: {str(first.child.log)!r}"
    )
    raise RuntimeError(message) if first.is_fault else ValueError(message)


def result_of(folder: Path, segment: int, task: str) -> Result:
    """Reads and returns the result of the student model that trains on a segment in a round."""
    return read_result(folder / f"segment_{segment}", task)
