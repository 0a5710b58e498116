"""A run: a config and a folder. Opens one, records what is done, says when it is finished.

Imports no TensorFlow, so that a finished run answers at once.
"""

import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tl_keras.config import text as configs
from tl_keras.config.difference import first_difference
from tl_keras.config.whole import RunConfig
from tl_keras.modalities import part
from tl_keras.run import marks
from tl_keras.run.budget import goes_on, is_stale
from tl_keras.run.files import TEMPORARY, remove_unfinished, unwritable, write_text
from tl_keras.run.result.search import SearchRecord
from tl_keras.run.run import Run, read_json

# Folders that one process alone works in: the run's.
RUNS_INSIDE = ("search", "search/trial_*", "fold_*", "fold_*/search", "fold_*/search/trial_*")
RUNS_INSIDE += ("teacher", "teacher/fold_*", "round_*")
# Files that some command writes into a run's folder.
FILES = {
    *(".tl_keras", "config.yaml", "data.json", "findings.json", "metrics.jsonl", "model.keras"),
    *("predictions.csv", "result.json", "report.html", "MODEL_CARD.md", "folds.csv"),
    *("label_quality.csv", "backbone.weights.h5"),
}


@contextmanager
def opened(config: RunConfig, workdir: str | Path, pipeline: str) -> Iterator[Run]:
    """The run of a config in a folder, for this process alone: a new one or a continued one.

    Raises:
      ValueError: the folder holds something else, a run of another config or command, or
        another process is at work in it.
    """
    workdir = folder_of(workdir)
    _check_folder(workdir, config, pipeline)
    lock = _lock(workdir)
    try:
        run = Run(workdir, config, pipeline)
        inside = [path for pattern in RUNS_INSIDE for path in workdir.glob(pattern)]
        for folder in (workdir, run.checkpoint, workdir / "export", *inside):
            remove_unfinished(folder)
        if not _has_trained(workdir):
            for name in ("data.json", "findings.json", "checkpoint/record.json"):
                (workdir / name).unlink(missing_ok=True)
        # A finished run keeps its own until what was added to it is done, see `finished`.
        if run.result is None:
            write_text(workdir / "config.yaml", configs.to_yaml(config))
        run.add(pipeline=pipeline)
        yield run
    finally:
        lock.release()


def folder_of(workdir: Any) -> Path:
    """The absolute path of a run's folder, from what people hand to a flag or a function.

    Raises:
      TypeError: it is not a path.
      ValueError: it is empty, or not a name that can be written into files.
    """
    if not isinstance(workdir, str | os.PathLike) or isinstance(os.fspath(workdir), bytes):
        raise TypeError(
            f"workdir: expected the path of a folder; received {type(workdir).__name__}"
        )
    if not os.fspath(workdir):
        raise ValueError("--workdir: expected the path of a folder; received an empty one")
    path = os.path.expanduser(os.fspath(workdir))
    if path.startswith("~"):  # It was not expanded.
        raise ValueError(f"--workdir: {path!r}: there is no such home folder")
    path = os.path.abspath(path)
    if reason := unwritable(path):
        raise ValueError(f"--workdir: {path!r} cannot be used: {reason}")
    return Path(path)


def as_trained(run: Run) -> Run:
    """The run with the examples prepared as its model was trained on: of a search, as its best
    trial has it."""
    searched = _searched(run)
    if not searched:
        return run
    folder = run.workdir / (searched.folder or "search") / searched.best
    trial = configs.load(folder / "config.yaml")
    names = part(trial.modality, "config").PREPARATION
    chosen = {name: getattr(trial.settings, name) for name in names}
    return replace(run, config=run.config.with_settings(**chosen))


def _searched(run: Run) -> SearchRecord | None:
    if found := run.record.get("search"):
        return SearchRecord.model_validate(found)
    return run.result.search if run.result else None


def load(workdir: str | Path) -> Run:
    """An existing run, finished or not.

    Raises:
      ValueError: the folder is no run.
    """
    workdir = folder_of(workdir)
    if workdir.is_file():
        raise ValueError(f"--workdir: {str(workdir)!r} is a file; expected the folder of a run")
    if not (workdir / "config.yaml").is_file():
        raise ValueError(f"{str(workdir)!r} is no run folder: it has no config.yaml")
    return Run(workdir, _saved_config(workdir), _pipeline(workdir) or "finetune")


def load_finished(workdir: str | Path) -> Run:
    """An existing run that is finished.

    Raises:
      ValueError: the folder is no run, or it is not finished.
    """
    run = load(workdir)
    if run.result is None:
        raise ValueError(f"--workdir: {str(run.workdir)!r} is not finished; finish it first")
    if run.pipeline == "compare":
        best = run.result.recommended.best or next(iter(run.result.approaches))
        raise ValueError(
            f"--workdir: {str(run.workdir)!r} compares runs and has no model of its own; expected "
            f"one of them, as {str(run.workdir / best)!r}"
        )
    return run


def finished(config: RunConfig, workdir: str | Path, pipeline: str) -> Run | None:
    """The run, if the same command has finished it; None if there is work to do.

    Raises:
      ValueError: as `opened`.
    """
    workdir = folder_of(workdir)
    _check_folder(workdir, config, pipeline)
    run = Run(workdir, config, pipeline)
    added = goes_on(run) or is_stale(run)
    if run.result is None or added or run.result.pipeline != pipeline or _adds_exports(run):
        _check_free(workdir)
        return None
    shutil.rmtree(run.checkpoint, ignore_errors=True)  # Of a kill between the last two steps.
    return run


def _adds_exports(run: Run) -> bool:
    """Whether the config asks for a format that a finished run lacks, or for other tolerances."""
    if run.result.export is None:
        return False
    asked, made = run.config.export, _saved_config(run.workdir).export
    same = made.model_copy(update={"formats": asked.formats})
    return asked != same or not set(asked.formats) <= set(run.result.export)


def _lock(workdir: Path) -> FileLock:
    """The folder's lock, held; the folder is made."""
    try:
        marks.claim(workdir, "run", "--workdir")
        (workdir / "checkpoint").mkdir(exist_ok=True)
        lock = FileLock(workdir / ".lock", timeout=0)
        lock.acquire()
    except Timeout:
        raise ValueError(f"--workdir: another process is at work in {str(workdir)!r}") from None
    except OSError as error:
        reason = error.strerror or error
        raise ValueError(f"--workdir: {str(workdir)!r} cannot be written: {reason}") from None
    return lock


def _check_free(workdir: Path) -> None:
    """Says before a slow start what `_lock` would say after it."""
    existing = _existing(workdir)
    if not os.access(existing, os.W_OK):
        raise ValueError(f"--workdir: {str(existing)!r} cannot be written")
    if (workdir / ".lock").exists():
        _lock(workdir).release()


def _existing(path: Path) -> Path:
    """The path or the nearest folder above it that is there."""
    return next(p for p in (path, *path.parents) if os.path.exists(p))


def _saved_config(workdir: Path) -> RunConfig:
    try:
        return configs.load(workdir / "config.yaml")
    except ValueError as error:  # Another version's, or edited by hand.
        where = f"--workdir: the config of {str(workdir)!r} cannot be used"
        raise ValueError(f"{where}: {error}") from None


def check_stream(config: RunConfig, pipeline: str) -> None:
    """Raises ValueError where a command cannot read what the config has it read."""
    if config.data.stream and pipeline != "pretrain":
        raise ValueError(
            f"data.stream: {pipeline} reads {config.nouns[1]} in any order, and shards are read "
            "in theirs; expected false, or the command pretrain"
        )


def _check_folder(workdir: Path, config: RunConfig, pipeline: str) -> None:
    check_stream(config, pipeline)
    if not (existing := _existing(workdir)).is_dir():
        raise ValueError(f"--workdir: {str(existing)!r} is a file; expected a folder")
    marks.check(workdir, "run", "--workdir")
    _refuse_links(workdir)
    if not (workdir / "config.yaml").is_file():
        # A kill before the first file leaves no more than these.
        others = {path.name for path in workdir.glob("*")} - {"checkpoint", ".lock", marks.MARK}
        if others := {name for name in others if not name.startswith(TEMPORARY)}:
            raise ValueError(
                f"--workdir: {str(workdir)!r} has lost its config.yaml (it has {min(others)!r}); "
                "restore it, or choose a new folder"
            )
        return
    if not _has_trained(workdir):
        return  # Nothing is lost: a mistake in the config can be mended in the same folder.
    difference = first_difference(_saved_config(workdir), config)
    if difference:
        raise ValueError(
            f"--workdir: {str(workdir)!r} was made with another config: {difference}; "
            "choose another folder, or use the same values"
        )
    before = _pipeline(workdir)
    if pipeline in ("cross_validate", "compare"):
        _refuse_other_search(workdir, config, pipeline)
    if (before, pipeline) == ("search", "finetune") and not config.search.wanted:
        run = Run(workdir, config, pipeline)
        if run.result is None or is_stale(run):
            raise ValueError(
                f"--workdir: the search in {str(workdir)!r} is not finished; finish it first, or "
                "set search.trials"
            )
    if before and before != pipeline and (before, pipeline) != ("search", "finetune"):
        how = "; finetune goes on there, with search.trials"
        raise ValueError(
            f"--workdir: {str(workdir)!r} was made by {before}, not by {pipeline}"
            f"{how if (before, pipeline) == ('finetune', 'search') else ''}"
        )


def _refuse_links(workdir: Path) -> None:
    """Raises ValueError where a folder inside a run is a link to what is not ours."""
    inside = ("checkpoint", "export", "pictures", "tensorboard", *RUNS_INSIDE)
    for path in (path for pattern in inside for path in workdir.glob(pattern)):
        if path.is_symlink() and not marks.is_ours(path, "run"):
            raise ValueError(
                f"--workdir: {str(path)!r} is a link, and files are replaced and removed there; "
                f"remove the link, or allow it: echo run > {shlex.quote(str(path / marks.MARK))}"
            )


def _refuse_other_search(workdir: Path, config: RunConfig, pipeline: str) -> None:
    """Trials are added to a search; not to those of folds, whose scores are compared."""
    saved = _saved_config(workdir).search
    for name in ("trials", "minutes"):
        if getattr(saved, name) != getattr(config.search, name):
            raise ValueError(
                f"--workdir: {str(workdir)!r} was made with another config: search.{name}: "
                f"{getattr(saved, name)!r} in the workdir, {getattr(config.search, name)!r} now; "
                f"{pipeline} takes no more trials"
            )


def _has_trained(workdir: Path) -> bool:
    """Whether a run in the folder has come to anything that another config would spoil."""
    trained = any((workdir / "checkpoint").glob("*.npy")) or (workdir / "search").exists()
    trained = trained or any(workdir.glob("fold_*")) or (workdir / "teacher").exists()
    trained = trained or any(workdir.glob("*/config.yaml"))
    return trained or any((workdir / name).exists() for name in ("model.keras", "result.json"))


def _pipeline(workdir: Path) -> str | None:
    for file in (workdir / "result.json", workdir / "checkpoint" / "record.json"):
        if found := (read_json(file) or {}).get("pipeline"):
            return found
    return None
