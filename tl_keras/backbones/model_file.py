"""Checks the file of a user's own backbone before Keras is imported.

A `.keras` file is a zip archive whose `config.json` describes the model; reading it runs no code.
"""

import json
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tl_keras.modalities import part

SAVE = "keras.Model(model.input, model.output).save('backbone.keras')"
MAX_CONFIG = 10_000_000  # bytes of a folder's config.json
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError)


def is_file(backbone: Any) -> bool:
    """Returns whether `model.backbone` is a path; names of backbones have no dot and no slash."""
    if not isinstance(backbone, str | os.PathLike):
        return False
    return any(mark in os.fspath(backbone) for mark in {".", "/", os.sep})


def is_folder(backbone: Any) -> bool:
    """Returns whether `model.backbone` is the path of a folder in Hugging Face's form.

    A path that no longer exists counts too, since the config of a finished run must still load.
    """
    if not is_file(backbone):
        return False
    path = Path(backbone)
    if path.exists():
        return (path / "config.json").is_file()
    return path.suffix not in (".keras", ".h5")


def type_of(folder: str) -> str:
    """Returns the kind of model in a folder: `model_type` in its config.json, or `keras_hub`.

    Returns "" if config.json is damaged.
    """
    try:
        with (Path(folder) / "config.json").open("rb") as stream:
            config = json.loads(stream.read(MAX_CONFIG + 1))  # A larger file is refused later.
        if str(config.get("registered_name")).startswith("keras_hub>"):
            return "keras_hub"
        return str(config["model_type"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return ""  # The module of the folder says what is wrong with it.


def check(file: str, settings: Any) -> None:
    """Checks that a file can be a backbone, without importing Keras.

    Args:
      file: the path of a functional or sequential model, saved by Keras 3 as `.keras`.
      settings: the config section of the examples' modality.

    Raises:
      ValueError: the file does not exist, is not a Keras 3 model, contains code or a class that is
        not part of Keras, or its input does not take the examples.
    """
    _check_path(file)
    model, shapes = _read(file)
    _check_classes(file, model)
    if len(shapes) == 1:
        part(settings.modality, "config").check_input(file, shapes[0], settings)


def _check_path(file: str) -> None:
    path = Path(file)
    if path.is_dir():
        raise ValueError(
            f"model.backbone: expected the name of a backbone, a .keras file, or a folder with the "
            f"config.json of a text model; received the folder {file!r}; to start from the weights "
            "of an earlier run, set model.weights to its folder"
        )
    if path.suffix != ".keras":
        raise ValueError(
            f"model.backbone: expected the name of a backbone or a .keras file; received "
            f"{file!r}; to convert another Keras format: "
            "keras.models.load_model(...).save('backbone.keras')"
        )
    if not path.is_file():
        raise ValueError(f"model.backbone: {file!r} does not exist")


def _read(file: str) -> tuple[dict[str, Any], list[Any]]:
    """Returns the content of `config.json`, and the shape of each input of the model."""
    try:
        with zipfile.ZipFile(file) as archive:
            # Checked here, because Keras reads weights in pieces and ignores the checksum.
            if damaged := archive.testzip():
                raise zipfile.BadZipFile(f"{damaged} has a wrong checksum")
            model = json.loads(archive.read("config.json"))
        class_name = model["class_name"]
        if class_name in ("Functional", "Sequential"):
            inputs = [x for x in model["config"]["layers"] if x["class_name"] == "InputLayer"]
            return model, [layer["config"]["batch_shape"] for layer in inputs]
    # RuntimeError: the archive is encrypted, or Python does not know its compression.
    except (OSError, LookupError, TypeError, ValueError, RuntimeError, *DAMAGED) as error:
        raise ValueError(
            f"model.backbone: {file!r} is damaged or not a .keras file of Keras 3: {error!r}"
        ) from error
    raise ValueError(
        f"model.backbone: {file!r} contains a {class_name}, a model class instead of a graph of "
        f"layers; expected a functional or sequential model: try {SAVE}"
    )


def _check_classes(file: str, model: dict[str, Any]) -> None:
    for node in _nodes(model):
        if node.get("class_name") == "Lambda":
            raise ValueError(
                f"model.backbone: {file!r} contains a Lambda layer, which is code; code from files "
                "is never executed: use Keras layers or keras.ops instead"
            )
        if foreign := _foreign_name(node):
            raise ValueError(
                f"model.backbone: {file!r} contains {foreign!r}, which is not part of Keras; "
                f"expected only Keras layers. If it is the class of the model, try {SAVE}"
            )


def _foreign_name(node: dict[str, Any]) -> str | None:
    """Returns the name of the class or function that `node` describes, unless Keras contains it.

    Returns None if the class or function is part of Keras, or if `node` describes neither.

    Args:
      node: a dict in `config.json`, which may describe a class or a function.
    """
    name, module = node.get("class_name"), node.get("module")
    if not isinstance(name, str) or "registered_name" not in node:
        return None
    if name == "function":  # Keras writes its own functions as plain names, without "package>".
        return node["config"] if ">" in str(node.get("config")) else None
    is_keras = isinstance(module, str) and module.split(".")[0] in ("keras", "builtins")
    return None if is_keras else node["registered_name"] or name


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    stack = [value]  # Not recursive, since a hostile file may be nested deeply.
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            yield value
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)
