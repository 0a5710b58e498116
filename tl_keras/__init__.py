"""Labelled images in, a small model proved on the device format it ships in out.

    run = tl_keras.finetune({"data": {"path": "photos"}}, "runs/photos")
    run.result["test"]["accuracy"], run.report

Nothing is imported and nothing happens before a function is called: `python -m tl_keras` runs this
file while the current folder still comes first among those that Python imports from.
"""

from tl_keras.version import VERSION as __version__

TYPE_CHECKING = False
if TYPE_CHECKING:  # Type checkers take this name for true.
    import os
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from typing import Any

    import numpy as np
    import PIL.Image

    from tl_keras.config.whole import RunConfig
    from tl_keras.run.folder import Run

    Config = RunConfig | Mapping[str, Any] | str | os.PathLike
    Picture = str | os.PathLike | np.ndarray | PIL.Image.Image

__all__ = [
    "__version__",
    "compare",
    "cross_validate",
    "finetune",
    "load",
    "parallel",
    "predict",
    "pretrain",
    "search",
]


def compare(config: "Config", workdir: "str | Path") -> "Run":
    """The approaches on one data set, each a run in the folder; which one to take, and why.

    Arguments and errors are those of `finetune`.
    """
    return _run("compare", config, workdir)


def finetune(config: "Config", workdir: "str | Path") -> "Run":
    """The main job: audits, trains, measures and exports; a finished run returns at once.

    Args:
      config: a RunConfig, nested dicts with the fields that differ from the defaults, or a YAML
        file.
      workdir: the run's folder; a killed run goes on from what it holds.

    Raises:
      ValueError: the config, the data or the folder cannot be used; the message says what to do.
    """
    return _run("finetune", config, workdir)


def cross_validate(config: "Config", workdir: "str | Path") -> "Run":
    """Trains and scores `cross_validate.folds` folds, then makes a model as they chose.

    `val` of its result is of examples that were held out, each by the model that had not seen it.
    Arguments and errors are those of `finetune`.
    """
    return _run("cross_validate", config, workdir)


def parallel(config: "Config", workdir: "str | Path") -> "Run":
    """A teacher labels `data.unlabelled`; students train on its segments side by side, are merged.

    Arguments and errors are those of `finetune`; also RuntimeError, where a student has a fault.
    """
    return _run("parallel", config, workdir)


def pretrain(config: "Config", workdir: "str | Path") -> "Run":
    """Trains a backbone from scratch; the folder is what `model.weights` of a later run takes.

    Arguments and errors are those of `finetune`.
    """
    return _run("pretrain", config, workdir)


def search(config: "Config", workdir: "str | Path") -> "Run":
    """Searches freeze depth, learning rates and what else `search.space` names.

    The best trial's model is promoted; it is measured on validation alone, and `finetune` in the
    same folder goes on with test and exports. Arguments and errors are those of `finetune`.
    """
    return _run("search", config, workdir)


def load(workdir: "Run | str | Path") -> "Run":
    """An existing run. Raises ValueError where the folder is none."""
    from tl_keras.run import folder as run

    return run.load(workdir.workdir if isinstance(workdir, run.Run) else workdir)


def predict(
    run: "Run | str | Path", pictures: "Picture | Iterable[Picture]"
) -> "list[dict[str, Any]]":
    """A row for each image: `file`, `prediction`, `probabilities {class: p}`.

    A file that cannot be read as an image has `error` instead of the last two.

    Args:
      pictures: one or many of: an image file; a folder, which is searched at any depth; an array
        `(height, width, 3) uint8`, red first; a PIL image. An array's `file` is its place: `#0`.

    Raises:
      TypeError: a picture is something else.
      ValueError: the run is not finished, or a path does not exist.
    """
    from tl_keras.run.folder import Run, load_finished
    from tl_keras.run.quiet import tensorflow_started

    run = load_finished(run.workdir if isinstance(run, Run) else run)
    with tensorflow_started():
        from tl_keras.approaches import finished

        return list(finished.predict(run, pictures))


def _run(command: str, config: "Config", workdir: "str | Path") -> "Run":
    from tl_keras.config import text as configs
    from tl_keras.config.paths import check_paths
    from tl_keras.run import folder as run
    from tl_keras.run.quiet import tensorflow_started

    config = configs.from_any(config)
    if command == "search" and not config.search.wanted:
        config = configs.with_trials(config)
    done = run.finished(config, workdir, command)
    if done:
        from tl_keras.report.pages import page

        page.refresh(done.workdir)
        return done
    check_paths(config)
    with tensorflow_started():
        import importlib

        return importlib.import_module(f"tl_keras.approaches.{command}").run(config, workdir)
