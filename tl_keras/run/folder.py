"""Opens, loads and checks run folders. A run is a config and a folder.

This module does not import TensorFlow, so that a command on a finished run answers at once.
"""

import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tl_keras.config import text as configs
from tl_keras.config.command_line import to_train_from
from tl_keras.config.earlier.difference import first_difference
from tl_keras.config.whole import RunConfig
from tl_keras.run import marks
from tl_keras.run.budget import has_unfinished_search, is_stale
from tl_keras.run.files import TEMPORARY, remove_unfinished, unwritable, write_text
from tl_keras.run.run import Run, read_json

# Folders inside a run that only the process of that run works in.
RUNS_INSIDE = (
    *("search", "search/trial_*", "fold_*", "fold_*/search", "fold_*/search/trial_*"),
    *("teacher", "teacher/fold_*", "round_*"),
)
# Files that commands write into a run folder.
FILES = {
    *(".tl_keras", "config.yaml", "data.json", "findings.json", "metrics.jsonl", "model.keras"),
    *("predictions.csv", "result.json", "report.html", "MODEL_CARD.md", "folds.csv"),
    *("label_quality.csv", "backbone.weights.h5"),
}


@contextmanager
def opened(config: RunConfig, workdir: str | Path, pipeline: str) -> Iterator[Run]:
    """Yields a new or continued run in a folder, and holds the lock of the folder meanwhile.

    Raises:
      ValueError: the folder holds files that are not part of a run, or a run of another config or
        command; or another process is using the folder.
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
        # A finished run that is continued keeps its config until `Run.finish` writes the new one.
        if run.result is None:
            write_text(workdir / "config.yaml", configs.to_yaml(config))
        run.add(pipeline=pipeline)
        yield run
    finally:
        lock.release()


def folder_of(workdir: Any) -> Path:
    """Returns the absolute path of a run folder from the value of `--workdir` or `workdir`.

    Raises:
      TypeError: the value is not a path.
      ValueError: the path is empty, starts with an unknown home folder, or cannot be recorded in
        the files of a run.
    """
    if not isinstance(workdir, str | os.PathLike) or isinstance(os.fspath(workdir), bytes):
        raise TypeError(
            f"workdir: expected the path of a folder; received {type(workdir).__name__}"
        )
    if not os.fspath(workdir):
        raise ValueError("--workdir: expected the path of a folder; received an empty path")
    path = os.path.expanduser(os.fspath(workdir))
    if path.startswith("~"):  # expanduser found no home folder.
        home = Path(path).parts[0]
        raise ValueError(
            f"--workdir: {path!r}: the home folder {home!r} does not exist; choose another path"
        )
    path = os.path.abspath(path)
    if reason := unwritable(path):
        raise ValueError(f"--workdir: {path!r} cannot be used: {reason}")
    return Path(path)


def load(workdir: str | Path) -> Run:
    """Returns the run in an existing run folder, finished or not.

    Raises:
      ValueError: the folder is not a run folder.
    """
    workdir = folder_of(workdir)
    if workdir.is_file():
        raise ValueError(f"--workdir: {str(workdir)!r} is a file; expected the folder of a run")
    if not (workdir / "config.yaml").is_file():
        raise ValueError(f"{str(workdir)!r} is not a run folder: it has no config.yaml")
    return Run(workdir, _saved_config(workdir), _pipeline(workdir) or "finetune")


def load_finished(workdir: str | Path) -> Run:
    """Returns the finished run in a run folder.

    Raises:
      ValueError: the folder is not a run folder, the run is not finished, or it has no model since
        it is an audit, a comparison (the command compare), or pre-training without labels.
    """
    run = load(workdir)
    if run.result is None and is_audit(run.workdir):
        raise ValueError(
            f"--workdir: {str(run.workdir)!r} holds an audit, which checks data and trains no "
            "model; expected the folder of a training run, such as a run of the command 'finetune'"
        )
    if run.result is None:
        raise ValueError(
            f"--workdir: {str(run.workdir)!r} is not finished; finish it first: repeat the command "
            "that started it"
        )
    if run.result.pretraining is not None:
        raise ValueError(
            f"--workdir: {str(run.workdir)!r} holds a backbone that was pretrained without labels, "
            "which answers nothing yet; train a model from it, for example with "
            f"{to_train_from(str(run.workdir), configs.to_tree(run.config))}"
        )
    if run.pipeline == "compare":
        best = run.result.recommended.best or next(iter(run.result.approaches))
        raise ValueError(
            f"--workdir: {str(run.workdir)!r} holds a comparison of runs, which has no model of "
            "its own; expected the folder of one of these runs, such as "
            f"{str(run.workdir / best)!r}"
        )
    return run


def is_audit(workdir: Path) -> bool:
    """Returns whether a folder holds a finished audit: findings, but no traces of a training."""
    trained = (workdir / "checkpoint").is_dir() or (workdir / "metrics.jsonl").is_file()
    return (workdir / "findings.json").is_file() and not trained


def finished(config: RunConfig, workdir: str | Path, pipeline: str) -> Run | None:
    """Returns the run in a folder, or None if the command still has work to do on it.

    There is work to do if the run is not finished or was made by another command, if its search may
    run more trials, if trials that were run are missing from `result.json`, or if the config asks
    for other exports.

    Args:
      pipeline: the command, such as `finetune`.

    Raises:
      ValueError: in the same cases as `opened`.
    """
    workdir = folder_of(workdir)
    _check_folder(workdir, config, pipeline)
    run = Run(workdir, config, pipeline)
    has_new_trials = has_unfinished_search(run) or is_stale(run)
    is_same = run.result is not None and run.result.pipeline == pipeline
    if not is_same or has_new_trials or _adds_exports(run):
        _check_free(workdir)
        return None
    # A process that is killed at the end of `Run.finish` leaves the checkpoint behind.
    shutil.rmtree(run.checkpoint, ignore_errors=True)
    return run


def _adds_exports(run: Run) -> bool:
    """Returns whether the config asks for exports that the finished run does not have.

    This is so if a format was not exported yet, or if another field of the section `export`, such
    as a tolerance, differs from the config in the run folder.
    """
    if run.result.export is None:
        return False
    wanted, saved = run.config.export, _saved_config(run.workdir).export
    same = saved.model_copy(update={"formats": wanted.formats})
    return wanted != same or not set(wanted.formats) <= set(run.result.export)


def _lock(workdir: Path) -> FileLock:
    """Creates the folder if needed, marks it, and returns its lock, which is already acquired."""
    try:
        marks.claim(workdir, "run", "--workdir")
        (workdir / "checkpoint").mkdir(exist_ok=True)
        lock = FileLock(workdir / ".lock", timeout=0)
        lock.acquire()
    except Timeout:
        raise ValueError(
            f"--workdir: another process is using {str(workdir)!r}; wait until it ends"
        ) from None
    except OSError as error:
        reason = error.strerror or error
        raise ValueError(f"--workdir: {str(workdir)!r} cannot be written: {reason}") from None
    return lock


def _check_free(workdir: Path) -> None:
    """Checks that the folder can be written and that no other process is using it.

    `_lock` raises the same errors, but only after TensorFlow was started, which takes seconds.
    """
    existing = _existing(workdir)
    if not os.access(existing, os.W_OK):
        raise ValueError(f"--workdir: {str(existing)!r} cannot be written")
    if (workdir / ".lock").exists():
        _lock(workdir).release()


def _existing(path: Path) -> Path:
    """Returns the path if it exists, else the nearest folder above it that exists."""
    return next(p for p in (path, *path.parents) if os.path.exists(p))


def _saved_config(workdir: Path) -> RunConfig:
    try:
        return configs.load(workdir / "config.yaml")
    except ValueError as error:  # Written by another version or edited by hand.
        where = f"--workdir: the config of {str(workdir)!r} cannot be used"
        raise ValueError(f"{where}: {error}") from None


def check_stream(config: RunConfig, pipeline: str) -> None:
    """Raises ValueError if `data.stream` is set and the command cannot stream its examples."""
    if config.data.stream and pipeline != "pretrain":
        raise ValueError(
            f"data.stream: {pipeline} needs its {config.nouns[1]} in random order, but streaming "
            f"reads the {config.nouns[1]} shard by shard; set data.stream to false, or use the "
            "command pretrain"
        )


def _check_folder(workdir: Path, config: RunConfig, pipeline: str) -> None:
    check_stream(config, pipeline)
    if not (existing := _existing(workdir)).is_dir():
        raise ValueError(f"--workdir: {str(existing)!r} is a file; expected a folder")
    marks.check(workdir, "run", "--workdir")
    _refuse_links(workdir)
    if not (workdir / "config.yaml").is_file():
        # A process that is killed before it writes its config leaves only these.
        others = {path.name for path in workdir.glob("*")} - {"checkpoint", ".lock", marks.MARK}
        if others := {name for name in others if not name.startswith(TEMPORARY)}:
            raise ValueError(
                f"--workdir: {str(workdir)!r} is a run folder without its config.yaml (it contains "
                f"{min(others)!r}); restore config.yaml, or choose a new folder"
            )
        return
    if not _has_trained(workdir):
        return  # Nothing is lost, so a corrected config may use the same folder.
    difference = first_difference(_saved_config(workdir), config)
    if difference:
        raise ValueError(
            f"--workdir: {str(workdir)!r} was made with another config: {difference}; "
            "choose another folder, or use the values of the config in the workdir"
        )
    before = _pipeline(workdir)
    if pipeline in ("cross_validate", "compare"):
        _refuse_other_search(workdir, config, pipeline)
    if (before, pipeline) == ("search", "finetune") and not config.search.wanted:
        run = Run(workdir, config, pipeline)
        if run.result is None or is_stale(run):
            raise ValueError(
                f"--workdir: the search in {str(workdir)!r} is not finished; finish it with "
                "tl-keras search, or with tl-keras finetune --set search.trials=N, where N is the "
                "total number of trials, including those already run"
            )
    if before and before != pipeline and (before, pipeline) != ("search", "finetune"):
        if (before, pipeline) == ("finetune", "search"):
            advice = (
                "to add a search, use tl-keras finetune with --set search.trials=N, where N is the "
                "number of trials, or choose another folder"
            )
        else:
            advice = f"continue with tl-keras {before}, or choose another folder"
        raise ValueError(
            f"--workdir: {str(workdir)!r} was made by the command {before!r}, not by {pipeline!r}; "
            f"{advice}"
        )


def _refuse_links(workdir: Path) -> None:
    """Raises ValueError if a folder inside a run is a link to a folder that is not marked as a run.

    The run would replace and remove files in that folder. The module `marks` describes the mark.
    """
    inside = ("checkpoint", "export", "pictures", "tensorboard", *RUNS_INSIDE)
    for path in (path for pattern in inside for path in workdir.glob(pattern)):
        if path.is_symlink() and not marks.is_ours(path, "run"):
            raise ValueError(
                f"--workdir: {str(path)!r} is a link, and the run would replace and remove files "
                "in the linked folder; remove the link, or mark the linked folder as a run folder "
                f"with this command: echo run > {shlex.quote(str(path / marks.MARK))}"
            )


def _refuse_other_search(workdir: Path, config: RunConfig, pipeline: str) -> None:
    """Raises ValueError if the config has another search budget than the config in the folder.

    All folds of a cross-validation must have the same budget, because they are compared with each
    other. The same is true of all approaches of the command compare.
    """
    saved = _saved_config(workdir).search
    for name in ("trials", "minutes"):
        if getattr(saved, name) != getattr(config.search, name):
            raise ValueError(
                f"--workdir: {str(workdir)!r} was made with another config: search.{name}: "
                f"{getattr(saved, name)!r} in the workdir, {getattr(config.search, name)!r} now; "
                f"the command {pipeline!r} cannot add trials to it; choose another folder"
            )


def _has_trained(workdir: Path) -> bool:
    """Returns whether the folder holds trained weights. If it does, its config must not change."""
    trained = any((workdir / "checkpoint").glob("*.npy")) or (workdir / "search").exists()
    trained = trained or any(workdir.glob("fold_*")) or (workdir / "teacher").exists()
    trained = trained or any(workdir.glob("*/config.yaml"))
    return trained or any((workdir / name).exists() for name in ("model.keras", "result.json"))


def _pipeline(workdir: Path) -> str | None:
    for file in (workdir / "result.json", workdir / "checkpoint" / "record.json"):
        if pipeline := (read_json(file) or {}).get("pipeline"):
            return pipeline
    return None
