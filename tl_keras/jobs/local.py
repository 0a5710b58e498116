"""The students of a round as processes, some at a time: started, watched, started again."""

import json
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from absl import logging

from tl_keras import tasks
from tl_keras.data.batches import CORES
from tl_keras.run.folder import Run
from tl_keras.run.process import start_child

POLL = 0.2  # seconds
FAILED = 2  # Exit status of a student whose user can mend what is wrong.


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


def train_students(run: Run, folder: Path, number: int) -> None:
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
    line = ["parallel", f"--segment={segment}"]
    line += [f"--config={run.workdir / 'config.yaml'}", f"--workdir={run.workdir}"]
    # Beside the segment's folder, which may be a disk of its own, and full.
    with _log_of(folder, segment).open("w", encoding="utf-8") as log:
        return start_child(line, log, dict.fromkeys(names, threads))


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
            result, main = result_of(folder, segment), tasks.of(run.config.task, "names").MAIN
            logging.info(
                "%s: validation %s %.3f on %d labelled examples, kept: %s, %.0f s",
                *(name, main, result["labelled"][main], result["labelled"]["n"]),
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


def result_of(folder: Path, segment: int) -> dict[str, Any]:
    """What a student of a round came to."""
    file = folder / f"segment_{segment}" / "result.json"
    return json.loads(file.read_text(encoding="utf-8"))
