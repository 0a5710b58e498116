"""Turns labelled images or texts into a small model, tested in the format of the device.

    run = tl_keras.finetune({"data": {"path": "photos"}}, "runs/photos")
    run.result.test.accuracy, run.report

Each command that trains is a function. It takes a config and a folder, and returns a `Run`: the
folder with its results.
"""

# This module imports only `sys` until a function is called: `python -m tl_keras` runs it while the
# current folder is still the first place from which Python imports.

import sys

from tl_keras.version import VERSION as __version__

TYPE_CHECKING = False
if TYPE_CHECKING:  # True for type checkers.
    import os
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from typing import Any, TypeAlias

    import numpy as np
    import PIL.Image

    from tl_keras.config.whole import RunConfig
    from tl_keras.run.run import Run

    Config: TypeAlias = RunConfig | Mapping[str, Any] | str | os.PathLike[str]
    # An image, or a text.
    Example: TypeAlias = str | os.PathLike[str] | np.ndarray[Any, Any] | PIL.Image.Image

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


# Not `types.ModuleType`: importing `types` could import a file of that name in the current folder.
class _Package(type(sys)):  # type: ignore[misc]
    """The type of this module. It keeps a subpackage from replacing the function of the same name.

    When Python imports a subpackage, Python sets an attribute of the parent package. Without this
    class, the subpackage `search` would replace the function `search`.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if name not in __all__ or not isinstance(value, type(sys)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def audit(config: "Config", workdir: "str | Path") -> "Run":
    """Checks a data set before training and returns the run, whose `findings` has the results.

    Arguments and errors are the same as for `finetune`.
    """
    return _run("audit", config, workdir)


def compare(config: "Config", workdir: "str | Path") -> "Run":
    """Runs several approaches on one data set and returns the run, whose `result` recommends one.

    Each approach is a run of its own, in a folder inside `workdir`.

    Arguments and errors are the same as for `finetune`.
    """
    return _run("compare", config, workdir)


def finetune(config: "Config", workdir: "str | Path") -> "Run":
    """Checks the data, trains, measures and exports, and returns the run.

    If the run in `workdir` is finished, the function returns at once. If it was killed, the run
    continues.

    Args:
      config: nested dicts with the fields that differ from the defaults, the path of a YAML file,
        or a `RunConfig`.
      workdir: the folder of the run; it is created if it does not exist.

    Raises:
      ValueError: the config, the data or the folder cannot be used; the message says what to do.
      FloatingPointError: training diverged; the message says what to change.
      TypeError: `config` is of another type.
    """
    return _run("finetune", config, workdir)


def cross_validate(config: "Config", workdir: "str | Path") -> "Run":
    """Trains and measures a model for each fold, then trains one on all examples; returns the run.

    `result.val` covers all examples. Each is predicted by the model of the fold that holds it out.
    Arguments and errors are the same as for `finetune`.
    """
    return _run("cross_validate", config, workdir)


def parallel(config: "Config", workdir: "str | Path") -> "Run":
    """Labels `data.unlabelled` with a teacher model, and returns the run.

    Student models train on parts of these examples and are merged into one model. Arguments and
    errors are the same as for `finetune`.

    Raises:
      RuntimeError: the training of a student failed because of a bug.
    """
    return _run("parallel", config, workdir)


def pretrain(config: "Config", workdir: "str | Path") -> "Run":
    """Trains a backbone from scratch and returns the run.

    Later runs start from its weights if `model.weights` is the folder of this run. Arguments and
    errors are the same as for `finetune`.
    """
    return _run("pretrain", config, workdir)


def search(config: "Config", workdir: "str | Path") -> "Run":
    """Searches for the best values of the fields in `search.space`, and returns the run.

    The run has the best trial's model, measured only on the validation split. `finetune` in the
    same folder then measures the model on the test split and exports it. Arguments and errors are
    the same as for `finetune`.
    """
    return _run("search", config, workdir)


def load(workdir: "Run | str | Path") -> "Run":
    """Returns the run of a folder, finished or not.

    Raises:
      ValueError: the folder is not a run folder.
    """
    from tl_keras.run import folder
    from tl_keras.run.run import Run

    return folder.load(workdir.workdir if isinstance(workdir, Run) else workdir)


def predict(
    run: "Run | str | Path", examples: "Example | Iterable[Example]"
) -> "list[dict[str, Any]]":
    """Returns one dict for each example, with `file`, `prediction` and `probabilities {class: p}`.

    If an example cannot be read, its dict has `file` and `error`.

    Args:
      run: a finished run or its folder.
      examples: one or several of: a file; a folder, which is searched at any depth; for a model of
        images, an array `(height, width, 3) uint8` in RGB or a PIL image; for a model of texts, a
        text, or a table of texts (CSV, JSON lines). `file` of an example that is not in a file is
        its position, as in `#0`.

    Raises:
      TypeError: an example is of another type.
      ValueError: the run is not finished, or a path does not exist.
    """
    from tl_keras import launch

    return launch.predict(_finished(run), examples)


def evaluate(
    run: "Run | str | Path",
    data: "str | Path | None" = None,
    classes: "Mapping[str, str] | None" = None,
) -> "dict[str, Any]":
    """Returns the metrics of a finished run as a dict, with the keys of `val` in `result.json`.

    Args:
      run: a finished run or its folder.
      data: a folder of class folders, or a CSV file. None: the run's own test split, or its
        validation split if it has no test split.
      classes: classes of the model or of `data` to rename before measuring. With
        `{"tabby": "cat"}`, predictions and labels that are `tabby` count as `cat`.

    Raises:
      ValueError: the run is not finished, or the data cannot be used.
    """
    from tl_keras import launch

    run = _finished(run)
    if classes:
        if data is None:
            raise ValueError(
                "classes: needs a data set whose classes it can rename; expected a folder or CSV "
                "file in the argument 'data', received None"
            )
        run = _with_fields(run, "evaluate", {"classes": classes})
    return launch.evaluate(run, data)


def export(run: "Run | str | Path", fields: "Mapping[str, Any]") -> "Run":
    """Exports the model of a finished run again, and returns the run.

    An example: `export(run, {"formats": ["int8"]})`.

    Args:
      run: a finished run or its folder.
      fields: new values for fields of the config's section `export`.

    Raises:
      ValueError: the run is not finished, its command makes no exported files, its `model.keras`
        is missing, or a field has a bad value.
    """
    from tl_keras import launch

    run = _finished(run)
    return launch.export(run, _with_fields(run, "export", fields).config)


def quickstart(workdir: "str | Path | None" = None, modality: str = "image") -> "Run":
    """Runs `finetune` on data inside the package and returns the run; needs no network.

    Args:
      workdir: the folder of the run. None: `runs/quickstart`, or `runs/quickstart_text` for texts.
      modality: the kind of the examples, `image` or `text`.

    Raises:
      ValueError: the folder cannot be used, or the modality is unknown.
    """
    from tl_keras.config import text as configs

    config = configs.of_quickstart(modality=modality)
    return _run("finetune", config, workdir or f"runs/{configs.quickstart_name(modality)}")


def report(
    runs: "Run | str | Path | Iterable[Run | str | Path]", output: "str | Path | None" = None
) -> "Path":
    """Writes the report of a run again, or a page that compares several runs; returns its path.

    Args:
      runs: one or several runs or their folders.
      output: the path of the page that compares several runs. None for one run, whose report is
        always `report.html` in its folder.

    Raises:
      ValueError: a folder is not a run; or `output` is None for several runs, or a path for one.
    """
    import os
    from pathlib import Path

    from tl_keras import launch
    from tl_keras import output as outputs
    from tl_keras.run.run import Run

    named = [runs] if isinstance(runs, Run | str | os.PathLike) else list(runs)
    if (len(named) > 1) != (output is not None):
        raise ValueError(
            "output: expected the path of the page that compares several runs, or None for one "
            "run, whose report is always report.html in its folder; received "
            f"{output!r}, number of runs: {len(named)}"
        )
    folders = [Path(run.workdir if isinstance(run, Run) else run) for run in named]
    page = outputs.checked(os.fspath(output)) if output is not None else None
    return launch.report([folder.expanduser().absolute() for folder in folders], page)


def _finished(run: "Run | str | Path") -> "Run":
    from tl_keras.run.folder import load_finished
    from tl_keras.run.run import Run

    return load_finished(run.workdir if isinstance(run, Run) else run)


def _with_fields(run: "Run", section: str, fields: "Mapping[str, Any]") -> "Run":
    """Returns a copy of the run whose config has the values `fields` in the section `section`."""
    from dataclasses import replace

    from tl_keras.config import text as configs

    tree = configs.to_tree(configs.load(run.workdir / "config.yaml"))
    tree[section].update(fields)
    return replace(run, config=configs.from_tree(tree))


def _run(command: str, config: "Config", workdir: "str | Path") -> "Run":
    from tl_keras.config import text as configs
    from tl_keras.launch import launch

    return launch(command, configs.from_any(config), workdir)
