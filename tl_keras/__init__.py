"""Labelled images in, a small model proved on the device format it ships in out.

    run = tl_keras.finetune({"data": {"path": "photos"}}, "runs/photos")
    run.result.test.accuracy, run.report

Nothing is imported and nothing happens before a function is called: `python -m tl_keras` runs this
file while the current folder still comes first among those that Python imports from.
"""

import sys

from tl_keras.version import VERSION as __version__

TYPE_CHECKING = False
if TYPE_CHECKING:  # Type checkers take this name for true.
    import os
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from typing import Any, TypeAlias

    import numpy as np
    import PIL.Image

    from tl_keras.config.whole import RunConfig
    from tl_keras.run.run import Run

    Config: TypeAlias = RunConfig | Mapping[str, Any] | str | os.PathLike[str]
    Picture: TypeAlias = str | os.PathLike[str] | np.ndarray[Any, Any] | PIL.Image.Image

__all__ = [
    "__version__",
    "audit",
    "compare",
    "cross_validate",
    "evaluate",
    "export",
    "finetune",
    "load",
    "parallel",
    "predict",
    "pretrain",
    "quickstart",
    "report",
    "search",
]


# `types` is not imported: a file of that name in the current folder would be.
class _Package(type(sys)):  # type: ignore[misc]
    """The package, whose functions keep their names.

    When Python has imported a subpackage, it sets an attribute of the parent: without this class
    the folder `search/` would take the place of the function `search`.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if name not in __all__ or not isinstance(value, type(sys)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def audit(config: "Config", workdir: "str | Path") -> "Run":
    """Reads every file of a data set; `findings` of the run says what to look at before training.

    Arguments and errors are those of `finetune`.
    """
    return _run("audit", config, workdir)


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
    from tl_keras.run import folder
    from tl_keras.run.run import Run

    return folder.load(workdir.workdir if isinstance(workdir, Run) else workdir)


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
    from tl_keras import launch

    return launch.predict(_finished(run), pictures)


def evaluate(
    run: "Run | str | Path",
    data: "str | Path | None" = None,
    classes: "Mapping[str, str] | None" = None,
) -> "dict[str, Any]":
    """Metrics of a finished run, as in its `result`.

    Args:
      data: a folder of class folders, or a CSV; by default the run's own test split, or its
        validation split if it has no test split.
      classes: which names of classes in `data` mean the same, as in `{"tabby": "cat"}`.

    Raises:
      ValueError: the run is not finished, or the data cannot be used.
    """
    from tl_keras import launch

    run = _finished(run)
    if classes:
        if data is None:
            raise ValueError("classes: is for other data; expected their folder or CSV in data")
        run = _with_fields(run, "evaluate", {"classes": classes})
    return launch.evaluate(run, data)


def export(run: "Run | str | Path", fields: "Mapping[str, Any]") -> "Run":
    """Exports a finished run again, as in `tl_keras.export(run, {"formats": ["int8"]})`.

    Args:
      fields: of the config's section `export`, those that change.

    Raises:
      ValueError: the run is not finished, has no exports or no model, or a field has a bad value.
    """
    from tl_keras import launch

    run = _finished(run)
    return launch.export(run, _with_fields(run, "export", fields).config)


def quickstart(workdir: "str | Path" = "runs/quickstart") -> "Run":
    """The main job on embedded data: no network, no arguments. Errors are those of `finetune`."""
    from tl_keras.config import text as configs

    return _run("finetune", configs.of_quickstart(), workdir)


def report(
    runs: "Run | str | Path | Iterable[Run | str | Path]", output: "str | Path | None" = None
) -> "Path":
    """Writes `report.html` of a run anew, or a page that compares several runs; the page's path.

    Args:
      runs: one run or many; they may be folders.
      output: the page of several runs.

    Raises:
      ValueError: a folder is not a run, or `output` is missing, or given for one run.
    """
    import os
    from pathlib import Path

    from tl_keras import launch
    from tl_keras import output as outputs
    from tl_keras.run.run import Run

    named = [runs] if isinstance(runs, Run | str | os.PathLike) else list(runs)
    if (len(named) > 1) != (output is not None):
        raise ValueError(
            "output: expected the page to write for several runs, and none for one, whose page is "
            f"its report.html; received {output!r} for {len(named)}"
        )
    folders = [Path(run.workdir if isinstance(run, Run) else run) for run in named]
    page = outputs.checked(os.fspath(output)) if output is not None else None
    return launch.report([folder.expanduser().absolute() for folder in folders], page)


def _finished(run: "Run | str | Path") -> "Run":
    from tl_keras.run.folder import load_finished
    from tl_keras.run.run import Run

    return load_finished(run.workdir if isinstance(run, Run) else run)


def _with_fields(run: "Run", section: str, fields: "Mapping[str, Any]") -> "Run":
    """The run with some fields of a section of its config changed."""
    from dataclasses import replace

    from tl_keras.config import text as configs

    tree = configs.to_tree(configs.load(run.workdir / "config.yaml"))
    tree[section].update(fields)
    return replace(run, config=configs.from_tree(tree))


def _run(command: str, config: "Config", workdir: "str | Path") -> "Run":
    from tl_keras.config import text as configs
    from tl_keras.launch import launch

    return launch(command, configs.from_any(config), workdir)
