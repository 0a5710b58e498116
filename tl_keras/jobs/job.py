"""A job is a config and a folder. All that it needs is in the folder before it starts; what it did
is in the folder's `result.json`, and whoever wanted it reads that.

A job is a run inside a run: its `pipeline` names the kind of job, as in `trial`.
"""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tl_keras.config import text as configs
from tl_keras.run.files import write_json, write_text
from tl_keras.run.result.whole import Result
from tl_keras.run.run import Run, read_json

SHARED = ("features", "head")  # Phases whose work other jobs share: the whole run counts them.


def prepare(job: Run, decided: Mapping[str, Any] | None = None, **needs: Any) -> None:
    """Puts into a job's folder what it needs: its config, and `checkpoint/job.json`.

    Args:
      decided: what the job's record begins with: decisions that were made for several jobs.
      needs: plain JSON values beside the config.
    """
    job.begin_inside()
    write_text(job.workdir / "config.yaml", configs.to_yaml(job.config))
    job.add(**(decided or {}))
    write_needs(job, **needs)  # Last: its presence means that the job may start.


def write_needs(job: Run, **needs: Any) -> None:
    """Writes `checkpoint/job.json`: what a job needs beside its config.

    A folder that serves several jobs, one after the other, is prepared once; this alone is called
    for the later ones. Args as of `prepare`.
    """
    (job.workdir / "result.json").unlink(missing_ok=True)  # Of the job that was here before.
    write_json(job.checkpoint / "job.json", {"kind": job.pipeline, **needs})


def needs(job: Run) -> dict[str, Any]:
    """What a job needs beside its config; empty for a run that is not a job."""
    return read_json(job.checkpoint / "job.json") or {}


def waiting(folder: Path) -> Run:
    """The job that waits in a folder, or that was done there.

    Raises:
      ValueError: no job waits there.
    """
    needed = read_json(folder / "checkpoint" / "job.json")
    done = None if needed else read_json(folder / "result.json")
    if not needed and not done:
        raise ValueError(f"{str(folder)!r} is not the folder of a job: it has no job.json")
    kind = needed["kind"] if needed else done["pipeline"]
    return Run(folder, configs.load(folder / "config.yaml"), kind)


def do(job: Run, work: Callable[[Run], Any]) -> Result:
    """What a job came to, as its folder says; it is done first unless it was."""
    if job.result is None:
        work(job)
    else:  # Killed before anybody took note of it.
        shutil.rmtree(job.checkpoint, ignore_errors=True)
    return job.result


def account(run: Run, result: Result) -> None:
    """Adds to a run's record what a job inside it did for others, too: passes and heads."""
    before = run.record.get("seconds", {})
    spent = {name: result.seconds[name] for name in SHARED if name in result.seconds}
    seconds = {name: round(before.get(name, 0.0) + own, 3) for name, own in spent.items()}
    run.add(features=result.features or {}, seconds=seconds)
