"""A user's own backbone as a file: what can be said of it before Keras is imported.

A `.keras` file is a zip archive; its `config.json` describes the model and runs nothing.
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
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError)


def is_file(backbone: Any) -> bool:
    """Whether a value of `model.backbone` is meant as a file; names have no dot and no slash."""
    if not isinstance(backbone, str | os.PathLike):
        return False
    return any(mark in os.fspath(backbone) for mark in {".", "/", os.sep})


def check(file: str, settings: Any) -> None:
    """Rejects a file that cannot be a backbone, without importing Keras.

    Args:
      file: the path of a functional or sequential model, saved by Keras 3 as `.keras`.
      settings: of the modality of the examples.

    Raises:
      ValueError: no such file, none of Keras's, it holds code or classes of others, or it takes
        other examples.
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
            f"model.backbone: expected a Keras Applications model or a .keras file; received the "
            f"folder {file!r}; an earlier run's folder belongs in model.weights"
        )
    if path.suffix != ".keras":
        raise ValueError(
            f"model.backbone: expected a Keras Applications model or a .keras file; received "
            f"{file!r}; another format that Keras reads becomes one by "
            "keras.models.load_model(...).save('backbone.keras')"
        )
    if not path.is_file():
        raise ValueError(f"model.backbone: {file!r} does not exist")


def _read(file: str) -> tuple[dict[str, Any], list[Any]]:
    """`config.json`, and the shape of each of the model's inputs."""
    try:
        with zipfile.ZipFile(file) as archive:
            # Keras reads weights in pieces, without their checksum.
            if damaged := archive.testzip():
                raise zipfile.BadZipFile(f"{damaged} has another checksum")
            model = json.loads(archive.read("config.json"))
        class_name = model["class_name"]
        if class_name in ("Functional", "Sequential"):
            inputs = [x for x in model["config"]["layers"] if x["class_name"] == "InputLayer"]
            return model, [layer["config"]["batch_shape"] for layer in inputs]
    # RuntimeError: an encrypted archive, or a compression that Python does not know.
    except (OSError, LookupError, TypeError, ValueError, RuntimeError, *DAMAGED) as error:
        raise ValueError(
            f"model.backbone: {file!r} is damaged or no .keras file of Keras 3: {error!r}"
        ) from error
    raise ValueError(
        f"model.backbone: {file!r} holds a {class_name}, which is a class and no graph of layers; "
        f"expected a functional or sequential model: try {SAVE}"
    )


def _check_classes(file: str, model: dict[str, Any]) -> None:
    for node in _nodes(model):
        if node.get("class_name") == "Lambda":
            raise ValueError(
                f"model.backbone: {file!r} holds a Lambda layer, which is code; nothing from a "
                "file is executed: use layers or keras.ops in its place"
            )
        if stranger := _stranger(node):
            raise ValueError(
                f"model.backbone: {file!r} holds {stranger!r}, which is none of Keras's own; "
                f"expected Keras's layers alone. If it is the model's class, try {SAVE}"
            )


def _stranger(node: dict[str, Any]) -> str | None:
    """The name of a class or function that is not Keras's, in a node of `config.json`."""
    name, module = node.get("class_name"), node.get("module")
    if not isinstance(name, str) or "registered_name" not in node:
        return None
    if name == "function":  # Keras's own are written as plain names, or without a package.
        return node["config"] if ">" in str(node.get("config")) else None
    is_keras = isinstance(module, str) and module.split(".")[0] in ("keras", "builtins")
    return None if is_keras else node["registered_name"] or name


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    stack = [value]  # Not recursive: a hostile file may be nested deep.
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            yield value
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)
