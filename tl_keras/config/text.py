"""Reads a checked config from YAML and overrides, and writes a config as YAML."""

import importlib.resources
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from tl_keras.config import space
from tl_keras.config.earlier import renamed
from tl_keras.config.messages import messages, nearest, neighbour, shown
from tl_keras.config.search import TRIALS
from tl_keras.config.whole import RunConfig
from tl_keras.modalities import DEFAULT, MODALITIES


def load(file: str | Path | None, overrides: Sequence[str] = ()) -> RunConfig:
    """Reads a YAML file, replaces the fields that `overrides` name, and returns the checked config.

    Args:
      file: the YAML file; None: all fields have their defaults, except those of `overrides`.
      overrides: each is `section.field=value`, as in `fit.epochs=5`; the value is YAML.

    Raises:
      ValueError: the file cannot be read, or a field is unknown or has a wrong value. For each such
        field, the message has the values that are allowed, the value received and the nearest valid
        choice.
    """
    tree = _read(Path(file).expanduser()) if file else {}
    for override in overrides:
        _override(tree, override)
    return from_tree(tree)


def from_tree(tree: Mapping[str, Any]) -> RunConfig:
    """Returns a checked config from nested dicts. Raises ValueError as `load` does."""
    tree = _of_plain_values(tree)
    lines = renamed.lines(tree)
    try:
        config = RunConfig.model_validate(tree)
    except ValidationError as error:
        others = (line for line in messages(error, RunConfig) if line.split(":")[0] not in lines)
        raise ValueError("\n".join([*lines.values(), *others])) from None
    if lines:
        raise ValueError("\n".join(lines.values()))
    _refuse_other_modalities(config)
    if config.search.wanted:
        space.check(config)
    return config


def _refuse_other_modalities(config: RunConfig) -> None:
    """Raises ValueError if a config sets fields of a modality other than that of its examples."""
    for name in MODALITIES:
        changed = getattr(config, name).model_fields_set
        if name != config.modality and changed:
            raise ValueError(
                f"{name}.{min(changed)}: the examples are of the modality {config.modality} (from "
                f"data.modality or data.source); remove the section {name}"
            )


def from_any(config: Any) -> RunConfig:
    """Returns a checked config from an argument of the Python API.

    Args:
      config: a `RunConfig`, nested dicts, or the path of a YAML file.

    Raises:
      TypeError: `config` is of another type.
      ValueError: as `load` does.
    """
    if isinstance(config, RunConfig):
        return config
    if isinstance(config, Mapping):
        return from_tree(config)
    if isinstance(config, str | os.PathLike):
        return load(os.fspath(config))
    raise TypeError(
        "config: expected nested dicts, the path of a YAML file, or a RunConfig; received "
        f"{type(config).__name__}"
    )


def _of_plain_values(value: Any) -> Any:
    """Returns nested values, with NumPy's numbers and arrays converted to Python's."""
    if isinstance(value, Mapping):
        return {_of_plain_values(key): _of_plain_values(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_of_plain_values(inner) for inner in value]
    # By the name of the module, since NumPy takes a while to import.
    return _of_plain_values(value.tolist()) if type(value).__module__ == "numpy" else value


def of_quickstart(overrides: Sequence[str] = (), modality: str = DEFAULT) -> RunConfig:
    """Returns the config of the command `quickstart`, with overrides as in `load`.

    Args:
      modality: the kind of the examples, such as `text`.

    Raises:
      ValueError: the quickstart has no examples of this modality, or as `load` does.
    """
    folder = importlib.resources.files("tl_keras.embedded")
    files = {name: folder / f"{quickstart_name(name)}.yaml" for name in MODALITIES}
    known = [name for name, file in files.items() if file.is_file()]
    if modality not in known:
        raise ValueError(
            f"--modality: expected {' or '.join(map(repr, known))}; received {modality!r}"
            f"{nearest(modality, known)}"
        )
    with importlib.resources.as_file(files[modality]) as path:
        return load(path, overrides)


def quickstart_name(modality: str) -> str:
    """Returns the name of the quickstart of a modality: of its config and of its run folder."""
    return "quickstart" if modality == DEFAULT else f"quickstart_{modality}"


def with_trials(config: RunConfig) -> RunConfig:
    """Returns a copy of a config, in which `search.trials` is `TRIALS`.

    This is the number of trials of the command `search` if the config limits neither the number of
    trials nor their time.

    Raises ValueError as `load` does.
    """
    return from_tree({**to_tree(config), "search": {**to_tree(config)["search"], "trials": TRIALS}})


def to_yaml(config: RunConfig) -> str:
    """Returns the whole config as YAML 1.2 text, which `load` reads back to an equal config."""
    stream = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    # Keeps the order of the sections. ruamel.yaml declares only None as its type.
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.dump(to_tree(config), stream)
    return stream.getvalue()


def to_tree(config: RunConfig) -> dict[str, Any]:
    """Returns the whole config as nested dicts of plain values."""
    tree = config.model_dump(mode="json")
    return {
        name: tree[name] for name in tree if name in (config.modality, *tree.keys() - MODALITIES)
    }


def _read(file: Path) -> dict[str, Any]:
    where = f"config {str(file)!r}"
    if file.is_dir():
        raise ValueError(f"{where}: expected a YAML file; received a folder")
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ValueError(f"{where} does not exist{neighbour(str(file))}") from None
    except UnicodeDecodeError as error:
        byte = f"byte {error.object[error.start]:#04x} at position {error.start}"
        raise ValueError(f"{where}: expected UTF-8 text; received {byte}") from None
    except OSError as error:
        raise ValueError(f"{where} cannot be read: {error.strerror}") from None
    tree: dict[str, Any] = _parse(text, where, default={})
    return tree


def _parse(text: str, where: str, default: Any) -> Any:
    """Returns the value of YAML text, or the default if the text is empty.

    Args:
      where: the file or flag that the text comes from, for the message.
      default: the value for an empty text; if it is a dict, the text must be a mapping.

    Raises:
      ValueError: the text is not valid YAML; or `default` is a dict and the text is not a mapping.
    """
    try:
        value = YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        # Without the values of a duplicate key, which are not complete yet.
        problem = error.problem.split(" with value ")[0].removeprefix("but ")
        raise ValueError(f"{where}, line {line}: invalid YAML: {problem}") from None
    except YAMLError as error:
        raise ValueError(f"{where}: invalid YAML: {str(error).splitlines()[0]}") from None
    value = default if value is None else value
    if isinstance(default, dict) and not isinstance(value, dict):
        raise ValueError(f"{where}: expected sections such as 'data:'; received {shown(value)}")
    return value


def as_yaml(name: str) -> str:
    """Returns a name as YAML writes it: in quotes if it would be read as a number, for example."""
    try:
        plain = _parse(f"{{{name}: {name}}}", "", default={}) == {name: name}
    except ValueError:
        plain = False
    return name if plain else json.dumps(name, ensure_ascii=False)


def _override(tree: dict[str, Any], override: str) -> None:
    """Sets one field of a config that is given as nested dicts.

    Args:
      tree: the config, which is changed.
      override: `section.field=value`, where the value is YAML.
    """
    name, equals, text = override.partition("=")
    *sections, field = name.strip().split(".")
    if not equals or not all([*sections, field]):
        raise ValueError(f"--set: expected section.field=value; received {override!r}")
    for section in sections:
        if tree.get(section) is None:
            tree[section] = {}
        tree = tree[section]
        if not isinstance(tree, dict):
            raise ValueError(
                f"--set: expected section.field=value; received {override!r}, but {section!r} has "
                f"the value {shown(tree)} and no fields"
            )
    tree[field] = _parse(text, f"--set {name}", default=None)


def schema() -> dict[str, Any]:
    """Returns the JSON schema of a config."""
    return RunConfig.model_json_schema()
