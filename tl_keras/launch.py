"""Runs a command with a config in a folder, for the command line, the Python API and `compare`.

TensorFlow is imported last, after all cheap checks.
"""

import importlib
import shlex
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from tl_keras.config import text as configs
from tl_keras.config.data import source_of
from tl_keras.config.paths import check_extras, check_paths
from tl_keras.config.whole import RunConfig
from tl_keras.jobs import job
from tl_keras.run import folder as runs
from tl_keras.run import marks
from tl_keras.run.quiet import tensorflow_started
from tl_keras.run.result.whole import to_json
from tl_keras.run.run import Run, read_json

Start = Callable[[], AbstractContextManager[None]]


def launch(
    command: str, config: RunConfig, workdir: str | Path, start: Start = tensorflow_started
) -> Run:
    """Runs a command in a folder, unless the run there is finished, and returns the run.

    Args:
      command: name of a module of `approaches`, such as `finetune`.
      start: makes a context that starts TensorFlow, and cleans up after the run.

    Raises:
      ValueError: the config, the data or the folder cannot be used.
    """
    from tl_keras.report.pages import page  # Imported here because NumPy takes a while.

    if command == "search" and not config.search.wanted:
        config = configs.with_trials(config)
    run = runs.finished(config, workdir, command)
    if run:
        _refuse_changed_data(run)
    else:
        check_paths(config)
        with start():
            run = _approach(command)(config, workdir)
    page.refresh(run.workdir)
    return run


# The modules that run jobs which are not commands, by kind of job.
JOBS = {
    "trial": "tl_keras.search.trials",
    "fold": "tl_keras.approaches.folds",
    "pass": "tl_keras.training.passes",
    "segment": "tl_keras.approaches.teaching.student",
}


def launch_job(
    folder: str | Path, start: Start = tensorflow_started, config: RunConfig | None = None
) -> Run:
    """Runs the job of a folder in this process, unless it is finished, and returns its run.

    Args:
      folder: the folder of the job.
      start: makes a context that starts TensorFlow, and cleans up after the run.
      config: the job's config with this machine's cache folder; None for the config in `folder`.

    Raises:
      ValueError: the folder is not that of a job, or the job's data or weights have changed.
    """
    loaded = job.load(Path(folder))
    if config is not None:
        loaded = replace(loaded, config=config)
    if loaded.pipeline not in JOBS:
        return launch(loaded.pipeline, loaded.config, loaded.workdir, start)
    with start():
        job.do(loaded, importlib.import_module(JOBS[loaded.pipeline]).run_job)
    return loaded


def _approach(command: str) -> Callable[[RunConfig, str | Path], Run]:
    approach: Callable[[RunConfig, str | Path], Run]
    approach = importlib.import_module(f"tl_keras.approaches.{command}").run
    return approach


def _refuse_changed_data(run: Run) -> None:
    """Raises ValueError if the data have changed since the run was finished.

    Without this error, the run's result would seem to describe the new data.
    """
    recorded = read_json(run.workdir / "data.json")
    if recorded is None:
        return
    from tl_keras.data import changed_since  # Imported here because NumPy takes a while.

    if changed := changed_since.since(run.config, recorded):
        raise ValueError(
            f"--workdir: {str(run.workdir)!r} was finished with other data ({changed}), and its "
            "result describes the earlier data; choose another --workdir for the data as they are "
            "now, or look at the earlier result with: tl-keras report "
            f"{shlex.quote(str(run.workdir))}"
        )


def predict(run: Run, values: Any, start: Start = tensorflow_started) -> list[dict[str, Any]]:
    """Returns one dict for each example, see `approaches.predict`."""
    with start():
        from tl_keras.approaches import predict

        return list(predict.run(run, values))


def evaluate(
    run: Run, data: str | Path | None, start: Start = tensorflow_started
) -> dict[str, Any]:
    """Returns the metrics of a finished run on its own test split, or on the data set `data`.

    Args:
      run: the finished run.
      data: a folder of class folders, or a CSV file. None: the run's test split, or its validation
        split if it has no test split.
      start: makes a context that starts TensorFlow, and cleans up afterwards.

    Raises:
      ValueError: the data cannot be used.
    """
    if data is None:
        measured: dict[str, Any] = to_json(run.result.test or run.result.val)
        return measured
    if not Path(data).is_dir() and source_of(str(data)) == "folder":
        raise ValueError(
            f"--data: {str(data)!r} is neither a folder nor a CSV file; expected a folder of class "
            "folders, or a table (.csv or .jsonl)"
        )
    with start():
        from tl_keras.approaches import evaluate

        measured = to_json(evaluate.run(run, Path(data)))
        return measured


def export(run: Run, config: RunConfig, start: Start = tensorflow_started) -> Run:
    """Exports a finished run again, with the section `export` of a config, and returns the run.

    Raises:
      ValueError: the run's command makes no exported files, the run's `model.keras` is missing, or
        a format needs packages that are missing.
    """
    _check_exportable(run)
    check_extras(config)
    with start():
        # Not `launch`, which returns at once if the config asks for nothing new.
        return _approach(run.pipeline)(config, run.workdir)


def _check_exportable(run: Run) -> None:
    """Raises ValueError if a finished run cannot be exported again."""
    marks.check(run.workdir, "run", "--workdir", may_be_new=False)
    if run.result.export is None:
        raise ValueError(
            f"--workdir: the command {run.pipeline!r} makes no exported files; expected a run of a "
            "command that does, such as 'finetune'"
        )
    if not (run.workdir / "model.keras").is_file():
        raise ValueError(
            f"--workdir: {str(run.workdir)!r} has no model.keras, from which exported files are "
            f"made; restore it, or remove result.json there and train again with {run.pipeline}"
        )


def report(workdirs: Sequence[Path], output: Path | None = None) -> Path:
    """Writes the report of a run, or a page that compares several runs, and returns its path.

    Args:
      workdirs: the folders of the runs.
      output: the page to write for several runs; None for one run.

    Raises:
      ValueError: a folder is not a run.
    """
    from tl_keras.report.pages import page, side_by_side

    if len(workdirs) == 1:
        return page.write(workdirs[0])
    assert output, "output is None, but a page that compares several runs needs a path"
    # Folders instead of `Run`: a report also reads runs of earlier versions, whose configs may not
    # load.
    return side_by_side.write(workdirs, output)
