"""Jobs as processes of this machine, some at a time: started, watched, started again."""

import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from absl import logging

from tl_keras.jobs import child

POLL = 0.2  # seconds
MENDABLE = 2  # Exit status of a child whose user can mend what is wrong.
THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")


@dataclass(frozen=True)
class Child:
    """A job that a process of its own does.

    Attributes:
      name: for people, as in `round 1, segment 0`.
      folder: of the job; `result.json` in it means done.
      arguments: of `tl-keras`.
      log: what the process says; beside the folder, which may be a disk of its own, and full.
    """

    name: str
    folder: Path
    arguments: tuple[str, ...]
    log: Path


@dataclass(frozen=True)
class Failure:
    """Why a child was given up, after how many attempts.

    Attributes:
      status: its exit status; negative of one that was killed.
    """

    child: Child
    attempts: int
    status: int
    why: str

    @property
    def is_fault(self) -> bool:
        """Whether it is a fault of this package; else the user can mend it."""
        return self.status >= 0 and self.status != MENDABLE


@dataclass
class _Pool:
    """The children, as their processes come and go."""

    waiting: list[Child]
    running: dict[Child, subprocess.Popen] = field(default_factory=dict)
    attempts: Counter = field(default_factory=Counter)
    failed: list[Failure] = field(default_factory=list)


def is_done(folder: Path) -> bool:
    """Whether the job of a folder is done."""
    return (folder / "result.json").is_file()


def wait(folders: Iterable[Path]) -> None:
    """Waits for jobs that others do, maybe on other machines."""
    folders = list(folders)
    while not all(map(is_done, folders)):
        time.sleep(POLL)


def run_children(
    children: Sequence[Child], workers: int, cores: int, retries: int, tell: Callable[[Child], None]
) -> list[Failure]:
    """Runs children, `workers` at a time; those that are given up, the first one first.

    A child that fails does not stop the others.

    Args:
      cores: of this machine, which the workers share.
      retries: how often a child that failed is started again.
      tell: is called with each child that is done.
    """
    pool = _Pool(list(children))
    try:
        while pool.waiting or pool.running:
            while pool.waiting and len(pool.running) < workers:
                one = pool.waiting.pop(0)
                pool.attempts[one] += 1
                pool.running[one] = start(one, max(1, cores // workers))
            time.sleep(POLL)
            _collect(pool, retries, tell)
    finally:  # Of Ctrl-C: what they have done so far stays, and they go on from there.
        for process in pool.running.values():
            process.terminate()
    return pool.failed


def start(one: Child, threads: int) -> subprocess.Popen:
    """Starts a child's process with its share of the cores."""
    with one.log.open("w", encoding="utf-8") as log:
        return child.start(one.arguments, log, dict.fromkeys(THREADS, str(threads)))


def _collect(pool: _Pool, retries: int, tell: Callable[[Child], None]) -> None:
    """Takes note of children that have ended; one that failed is started again."""
    for one, process in list(pool.running.items()):
        if process.poll() is None:
            continue
        del pool.running[one]
        if process.returncode == 0 and is_done(one.folder):
            tell(one)
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
        return f"it was killed (signal {-status}); out of memory?"
    said = [line.removeprefix("tl-keras: ") for line in lines if line.startswith("tl-keras: ")]
    return (said or lines or ["it said nothing"])[-1]
