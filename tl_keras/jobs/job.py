"""Prepares and runs a job, which is a config and a folder.

The folder holds all inputs of the job before it starts, and the job writes its `result.json` there.
A job is a run inside a run. Its `pipeline` is the kind of job, such as `trial`.
"""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tl_keras.config import text as configs
from tl_keras.run.files import write_json, write_text
from tl_keras.run.result.whole import Result
from tl_keras.run.run import Run, read_json

SHARED = ("features", "head")  # Phases whose results other jobs reuse; the whole run counts them.


def prepare(job: Run, decided: Mapping[str, Any] | None = None, **needs: Any) -> None:
    """Writes the inputs of a job into its folder: its config and `checkpoint/job.json`.

    Args:
      decided: decisions that several jobs share, such as which activations are stored. They become
        the first entries of the job's record.
      needs: JSON values that the job needs in addition to its config.
    """
    job.begin_inside()
    write_text(job.workdir / "config.yaml", configs.to_yaml(job.config))
    job.add(**(decided or {}))
    write_needs(job, **needs)  # Last: the job may start when this file exists.


def write_needs(job: Run, **needs: Any) -> None:
    """Writes `checkpoint/job.json`, the inputs of a job in addition to its config.

    A folder that several jobs use in turn is prepared once; later jobs only need this call. The
    arguments are those of `prepare`.
    """
    (job.workdir / "result.json").unlink(missing_ok=True)  # The previous job of this folder.
    write_json(job.checkpoint / "job.json", {"kind": job.pipeline, **needs})


def needs(job: Run) -> dict[str, Any]:
    """Returns the inputs of a job other than its config; empty if the run is not a job."""
    return read_json(job.checkpoint / "job.json") or {}


def load(folder: Path) -> Run:
    """Returns the job of a folder, which may be finished or only prepared.

    Raises:
      ValueError: the folder is not that of a job.
    """
    inputs = read_json(folder / "checkpoint" / "job.json")
    result: Any = None if inputs else read_json(folder / "result.json")
    if not inputs and not result:
        raise ValueError(
            f"{str(folder)!r} is not the folder of a job: it has no checkpoint/job.json"
        )
    kind = inputs["kind"] if inputs else result["pipeline"]
    return Run(folder, configs.load(folder / "config.yaml"), kind)


def do(job: Run, work: Callable[[Run], Any]) -> Result:
    """Calls `work(job)`, unless the job is finished, and returns the result in the job's folder."""
    if job.result is None:
        work(job)
    else:  # The job was killed after it wrote its result and before it removed its checkpoint.
        shutil.rmtree(job.checkpoint, ignore_errors=True)
    return job.result


def account(run: Run, result: Result) -> None:
    """Adds to a run's record which activations a job stored, and the seconds of some phases.

    In these phases, the job computed activations and fitted a head. Later jobs of the run reuse
    both, so the seconds of these phases count for the whole run.
    """
    before = run.record.get("seconds", {})
    spent = {name: result.seconds[name] for name in SHARED if name in result.seconds}
    seconds = {name: round(before.get(name, 0.0) + taken, 3) for name, taken in spent.items()}
    run.add(features=result.features or {}, seconds=seconds)
