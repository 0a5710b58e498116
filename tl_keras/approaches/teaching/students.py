"""The students of a round: which of them are to be trained, where, and what they come to."""

import functools
import shutil
from collections.abc import Sequence
from pathlib import Path

from absl import logging

from tl_keras import tasks
from tl_keras.approaches.teaching.labelling import Label
from tl_keras.approaches.teaching.segments import student_of
from tl_keras.data.examples import Dataset, Example
from tl_keras.data.inputs import CORES
from tl_keras.jobs import job, local
from tl_keras.jobs.local import Child, Failure
from tl_keras.run.result.whole import Result
from tl_keras.run.run import Run, read_result
from tl_keras.training.architecture import HEAD_SPLITS
from tl_keras.training.backbone import digests_of


def prepare(
    run: Run,
    folder: Path,
    dataset: Dataset,
    examples: Sequence[Example],
    labels: Sequence[Label],
) -> None:
    """Puts into the folders of a round's students what they need, where that is not there yet.

    Args:
      dataset: the labelled examples.
      examples: what the teacher labelled.
    """
    teacher = read_result(run.workdir / "teacher", run.config.task)
    for segment in range(run.config.parallel.segments):
        student = student_of(run.config, folder, segment)
        # In this order: what another process finishes just now has its result first.
        if job.needs(student) or student.result:
            continue
        taught: dict[str, list] = {split: [] for split in HEAD_SPLITS}
        for example, own in zip(examples, labels, strict=True):
            if own.kept and own.segment == segment:
                taught[own.part].append([example.file, example.digest, own.label])
        job.prepare(
            student,
            fingerprint=dataset.fingerprint,
            taught=taught,
            regularisation=teacher.chosen.regularisation,
            began=digests_of(run.record.get("model", {})),
        )


def train_students(run: Run, folder: Path, number: int) -> None:
    """Trains all students of a round that are not trained yet, `parallel.workers` at a time.

    Raises:
      ValueError: a student failed again and again, for a reason that the user can mend.
      RuntimeError: for another one.
    """
    asked = run.config.parallel
    children = [_child(run, folder, number, i) for i in range(asked.segments)]
    missing = [(i, one) for i, one in enumerate(children) if not local.is_done(one.folder)]
    for one in children:
        if local.is_done(one.folder):  # A kill after the result leaves its checkpoint.
            shutil.rmtree(one.folder / "checkpoint", ignore_errors=True)
    if not missing:
        return
    workers = min(asked.segments, CORES) if asked.workers == "auto" else asked.workers
    if not workers:
        logging.info(
            "%s: waiting for segments %s: start the same command with --segment=i for each, on any "
            "machine that sees %r",
            *(folder.name, ", ".join(str(i) for i, _ in missing), str(run.workdir)),
        )
        with run.timed("students"):
            local.wait(one.folder for _, one in missing)
        return
    started = [one for _, one in missing]
    tell = functools.partial(_tell, run.config.task)
    with run.timed("students"):
        failed = local.run_children(started, workers, CORES, asked.retries, tell)
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


def _tell(task: str, student: Child) -> None:
    """Logs what a student came to, by the main metric of the task."""
    main = tasks.of(task, "names").MAIN
    result = read_result(student.folder, task)
    logging.info(
        "%s: validation %s %.3f on %d labelled examples, kept: %s, %.0f s",
        *(student.name, main, result.labelled[main], result.labelled.n),
        *(result.model.kept, result.seconds["total"]),
    )


def _give_up(failed: list[Failure], number: int) -> None:
    first, others = failed[0], len(failed) - 1
    segment = first.child.folder.name.removeprefix("segment_")
    hint = " parallel.workers=1 needs less" if first.status < 0 else ""
    message = (
        f"parallel: segment {segment} of round {number + 1} failed {first.attempts} "
        f"times: {first.why}{hint}; {f'{others} more failed; ' if others else ''}what the others "
        f"came to is kept, and the same command goes on; all it said: {str(first.child.log)!r}"
    )
    raise RuntimeError(message) if first.is_fault else ValueError(message)


def result_of(folder: Path, segment: int, task: str) -> Result:
    """What a student of a round came to."""
    return read_result(folder / f"segment_{segment}", task)
