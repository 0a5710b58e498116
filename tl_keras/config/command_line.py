"""Writes the command line that starts another command with the data and settings of a run."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from tl_keras.config import detect, text
from tl_keras.config.data import source_of
from tl_keras.modalities import DEFAULT, MODALITIES

# The sections that say which data a model learns from, and how.
SECTIONS = ("data", *MODALITIES, "model", "fit")


def command_line(command: str, tree: Mapping[str, Any], *overrides: str, folder: str = "") -> str:
    """Returns a command line that sets the fields of a config whose values are not the defaults.

    Only fields of the sections `SECTIONS`, and `overrides`, are set.

    Args:
      command: the name of the command, such as `cross_validate`.
      tree: the whole config as nested dicts, as in `config.yaml`; unchecked.
      overrides: further fields to set, as in `data.test=0`; their values replace those in `tree`.
      folder: the last part of the name of the new run's folder, after the name of the data. For
        example, `folds` gives `--workdir=runs/photos_folds` if the data are in the folder `photos`.
        Empty: the command line has no `--workdir`.
    """
    data = _section(tree, "data")
    path, replaced = data.get("path"), {entry.partition("=")[0] for entry in overrides}
    words = ["tl-keras", command]
    if path and data.get("source") == source_of(str(path)):  # `--data` sets path and source.
        words.append(f"--data={path}")
        replaced |= {"data.path", "data.source"}
    if path is None:
        replaced.add("data.path")
    # `--data` and a built-in source say what the modality is.
    if ("data.source" in replaced or path is None) and _is_detected(data):
        replaced.add("data.modality")
    if folder:
        name = data.get("name") or (PurePath(str(path)).stem if path else data.get("source"))
        words.append(f"--workdir=runs/{name}_{folder}")
    for entry in (*_changed(tree, replaced), *overrides):
        words += ["--set", entry]
    return shlex.join(words)


def to_train_from(folder: str, tree: Mapping[str, Any]) -> str:
    """Returns the command that fine-tunes the model of a run folder on data of another folder.

    Args:
      folder: the run folder.
      tree: the config of the run, as nested dicts.
    """
    about = {"data": {"modality": _section(tree, "data").get("modality", "auto")}}
    model = {**about, "model": _section(tree, "model")}
    words = ["tl-keras", "finetune", "--data=DATA", "--set", f"model.weights={folder}"]
    for entry in _changed(model, {"data.modality", "model.weights"}):
        words += ["--set", entry]
    return shlex.join(words)


def _is_detected(data: Mapping[str, Any]) -> bool:
    """Returns whether the modality of the data would be detected if the config did not name it."""
    try:
        return detect.modality_of({**data, "modality": "auto"}) == data.get("modality")
    except ValueError:  # Two modalities in one folder.
        return False


def _changed(tree: Mapping[str, Any], without: set[str]) -> Iterator[str]:
    defaults = _defaults(_section(tree, "data").get("modality", "auto"))
    for section in SECTIONS:
        for field, value in _section(tree, section).items():
            name, usual = f"{section}.{field}", defaults.get(section, {}).get(field)
            if value != usual and name not in without:
                yield f"{name}={_written(value)}"


def _defaults(modality: str) -> dict[str, Any]:
    """Returns the defaults of a modality as nested dicts; `auto` is the default modality."""
    # The modality is set, because else the files in the current folder would decide.
    given = modality if modality in MODALITIES else DEFAULT
    tree = text.to_tree(text.from_tree({"data": {"path": ".", "modality": given}}))
    return {**tree, "data": {**tree["data"], "modality": "auto"}}


def _written(value: Any) -> str:
    """Returns a value as YAML on one line. Text is in quotes unless it is a path or a long word."""
    if isinstance(value, str) and re.fullmatch(r"[/~][\w./+-]*|[A-Za-z]{5,}\w*", value):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 0 instead of 0.0
    # Without escapes: YAML reads JSON's escape of a character beyond 16 bits as two characters.
    return json.dumps(value, ensure_ascii=False)


def _section(tree: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = tree.get(name)
    return section if isinstance(section, dict) else {}
