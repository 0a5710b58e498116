"""Runs jobs in child processes on this machine, several at a time, and restarts failed ones."""

import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from absl import logging

from tl_keras.jobs import child

POLL = 0.2  # seconds
USER_ERROR = 2  # Exit status of tl-keras for an error that the user can correct.
THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")


@dataclass(frozen=True)
class Child:
    """A job that runs in a child process.

    Attributes:
      name: the name in messages, such as `round 1, segment 0`.
      folder: the folder of the job, which is done when `result.json` exists there.
      arguments: the command-line arguments with which the child starts `tl-keras`.
      log: the file for the output; outside of `folder`, which may be on another disk that is full.
    """

    name: str
    folder: Path
    arguments: tuple[str, ...]
    log: Path


@dataclass(frozen=True)
class Failure:
    """A child that failed in all its attempts.

    Attributes:
      status: the exit status of the last attempt; negative if it was killed by a signal.
      why: the last message of the child, or the signal.
    """

    child: Child
    attempts: int
    status: int
    why: str

    @property
    def is_fault(self) -> bool:
        """Whether a bug made the child fail; False if the user can correct the reason."""
        return self.status >= 0 and self.status != USER_ERROR


@dataclass
class _Pool:
    """The children of one call of `run_children`, by their state."""

    waiting: list[Child]
    running: dict[Child, subprocess.Popen] = field(default_factory=dict)
    attempts: Counter = field(default_factory=Counter)
    failed: list[Failure] = field(default_factory=list)


def is_done(folder: Path) -> bool:
    """Returns whether the job of a folder is done."""
    return (folder / "result.json").is_file()


def wait(folders: Iterable[Path]) -> None:
    """Waits for jobs that other processes run, maybe on other machines."""
    folders = list(folders)
    while not all(map(is_done, folders)):
        time.sleep(POLL)


def run_children(
    children: Sequence[Child],
    workers: int,
    cores: int,
    retries: int,
    on_done: Callable[[Child], None],
) -> list[Failure]:
    """Runs child processes, `workers` at a time, and returns those that failed, the earliest first.

    A child that fails does not stop the others.

    Args:
      cores: the number of cores of this machine, which the workers share.
      retries: how often a failed child is started again.
      on_done: called with each child whose job is done.
    """
    pool = _Pool(list(children))
    try:
        while pool.waiting or pool.running:
            while pool.waiting and len(pool.running) < workers:
                one = pool.waiting.pop(0)
                pool.attempts[one] += 1
                pool.running[one] = start(one, max(1, cores // workers))
            time.sleep(POLL)
            _collect(pool, retries, on_done)
    finally:  # After Ctrl-C. The children continue from their checkpoints next time.
        for process in pool.running.values():
            process.terminate()
    return pool.failed


def start(one: Child, threads: int) -> subprocess.Popen:
    """Starts the process of a child, with as many threads as its share of the cores."""
    with one.log.open("w", encoding="utf-8") as log:
        return child.start(one.arguments, log, dict.fromkeys(THREADS, str(threads)))


def _collect(pool: _Pool, retries: int, on_done: Callable[[Child], None]) -> None:
    """Removes from `pool.running` the children that have ended, and queues failed ones to restart.

    A child that failed in all its attempts goes to `pool.failed`.
    """
    for one, process in list(pool.running.items()):
        if process.poll() is None:
            continue
        del pool.running[one]
        if process.returncode == 0 and is_done(one.folder):
            on_done(one)
            continue
        why, attempts = _why(one, process.returncode), pool.attempts[one]
        logging.warning("%s failed: %s", one.name, why)
        if attempts <= retries:
            pool.waiting.append(one)
        else:
            pool.failed.append(Failure(one, attempts, process.returncode, why))


def _why(one: Child, status: int) -> str:
    lines = one.log.read_text(encoding="utf-8", errors="replace").splitlines()
    if status < 0:
        return f"the process was killed by signal {-status}, maybe because memory ran out"
    errors = [line.removeprefix("tl-keras: ") for line in lines if line.startswith("tl-keras: ")]
    return (errors or lines or ["the process wrote no message"])[-1]
