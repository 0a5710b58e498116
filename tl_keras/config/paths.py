"""Checks that the files and packages that a config needs exist, before anything slow begins."""

import importlib.util
import os
from collections.abc import Sequence

from tl_keras.backbones import model_file, table, weights
from tl_keras.config import space
from tl_keras.config.data import OF_PATHS, source_of
from tl_keras.config.messages import how_to_install, nearest, neighbour
from tl_keras.config.model import WEIGHTS
from tl_keras.config.section import Section, expected
from tl_keras.config.whole import RunConfig
from tl_keras.modalities import part

ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst")
SPREADSHEETS = (".xlsx", ".xls", ".ods", ".parquet", ".feather", ".arrow")


def check_paths(config: RunConfig) -> None:
    """Checks that the files and packages that a config needs exist.

    Raises:
      ValueError: the file or folder of a field such as `data.path` or `model.weights` does not
        exist or is of the wrong kind, the weights inside the package do not fit the backbone, or a
        package for an export format is missing.
    """
    path = config.data.path
    if path is not None:
        source = config.data.source
        if source in ("csv", "jsonl") and os.path.isdir(path):
            raise ValueError(
                f"data.path: expected {OF_PATHS[source]}; received the folder {path!r}"
            )
        if source in ("folder", "tfds") and os.path.isfile(path):
            raise ValueError(
                f"data.path: expected a folder; received the file {path!r}{_advice(path)}"
            )
        _check_exists(config.data, "data.path")
    if config.data.unlabelled not in (None, "rest"):
        _check_exists(config.data, "data.unlabelled")
    if config.compare.chain is not None:
        _check_exists(config.compare, "compare.chain")
    check_extras(config)
    for trial in space.first_trials(config):
        _check_model(trial)
    if config.parallel.student is not None:
        try:
            _check_model(config.of_students)
        except ValueError as error:
            raise ValueError(f"parallel.student: {error}") from None


def _check_model(config: RunConfig) -> None:
    model = config.model
    if model.weights not in WEIGHTS:
        _check_exists(model, "model.weights", WEIGHTS)
    table.fetch(model.backbone)
    weights.check(model.backbone, model.options, model.weights)
    if model_file.is_file(model.backbone):
        _check_exists(model, "model.backbone")
        if model_file.is_folder(model.backbone):
            table.check(model, config.settings)
        else:
            model_file.check(model.backbone, config.settings)


def _advice(path: str) -> str:
    """Returns what to do with a file that is given instead of a folder, as the end of a message."""
    if path.lower().endswith(ARCHIVES):
        return "; unpack it first"
    if source_of(path) != "folder":
        return f"; set data.source to {source_of(path)!r} to read it as a table"
    return "; save it as CSV UTF-8" if path.lower().endswith(SPREADSHEETS) else ""


def check_extras(config: RunConfig) -> None:
    """Raises ValueError if the packages for an export format are missing, or it is unsuitable."""
    for name in config.export.formats:
        if why := part(config.modality, "config").refused(name, config.settings):
            raise ValueError(f"export.formats: {why}; expected other formats than {name!r}")
    if "onnx" not in config.export.formats:
        return
    missing = [name for name in ("tf2onnx", "onnxruntime") if not importlib.util.find_spec(name)]
    if missing:
        raise ValueError(
            f"export.formats: the format 'onnx' needs {' and '.join(missing)}; install the extra "
            f"'onnx', which contains them, with: {how_to_install('onnx')}"
        )


def _check_exists(section: Section, field: str, choices: Sequence[str] = ()) -> None:
    name = field.partition(".")[2]
    path = getattr(section, name)
    if not os.path.exists(path):
        near = nearest(os.path.basename(path), choices) or neighbour(path)
        rule = expected(type(section), name)
        raise ValueError(f"{field}: expected {rule}; {path!r} does not exist{near}")
