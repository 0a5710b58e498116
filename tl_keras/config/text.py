"""YAML and overrides in, a checked config out; and back."""

import importlib.resources
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import (
    ValidationError,
)
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from tl_keras.config import renamed, space
from tl_keras.config.messages import messages, neighbour, shown
from tl_keras.config.search import TRIALS
from tl_keras.config.whole import RunConfig
from tl_keras.modalities import MODALITIES


def load(file: str | Path | None, overrides: Sequence[str] = ()) -> RunConfig:
    """A checked config from a YAML file and `section.field=value` overrides, in that order.

    Raises:
      ValueError: the file cannot be read, or a field is unknown or has a bad value; the message
        names every such field, the rule, what was received and the nearest valid choice.
    """
    tree = _read(Path(file).expanduser()) if file else {}
    for override in overrides:
        _override(tree, override)
    return from_tree(tree)


def from_tree(tree: Mapping[str, Any]) -> RunConfig:
    """A checked config from nested dicts, as YAML gives them. Raises ValueError as `load` does."""
    tree = _of_plain_values(tree)
    renamed.check(tree)
    try:
        config = RunConfig.model_validate(tree)
    except ValidationError as error:
        raise ValueError("\n".join(messages(error, RunConfig))) from None
    _refuse_other_modalities(config)
    if config.search.wanted:
        space.check(config)
    return config


def _refuse_other_modalities(config: RunConfig) -> None:
    """Raises ValueError where a config says something of examples that it has none of."""
    for name in MODALITIES:
        changed = getattr(config, name).model_fields_set
        if name != config.modality and changed:
            raise ValueError(
                f"{name}.{min(changed)}: the examples are {config.modality}, by data.modality or "
                f"data.source; expected no field of {name}"
            )


def from_any(config: Any) -> RunConfig:
    """A checked config from what people hand to the Python API: a RunConfig, nested dicts, or a
    YAML file.

    Raises:
      TypeError: it is something else.
      ValueError: as `load`.
    """
    if isinstance(config, RunConfig):
        return config
    if isinstance(config, Mapping):
        return from_tree(config)
    if isinstance(config, str | os.PathLike):
        return load(os.fspath(config))
    raise TypeError(
        "config: expected nested dicts, a YAML file's path, or a RunConfig; received "
        f"{type(config).__name__}"
    )


def _of_plain_values(value: Any) -> Any:
    """Nested values with NumPy's numbers and arrays as Python's own, which YAML can hold."""
    if isinstance(value, Mapping):
        return {_of_plain_values(key): _of_plain_values(own) for key, own in value.items()}
    if isinstance(value, list | tuple):
        return [_of_plain_values(own) for own in value]
    # Asked by name, since NumPy takes a while to import.
    return _of_plain_values(value.tolist()) if type(value).__module__ == "numpy" else value


def of_quickstart(overrides: Sequence[str] = ()) -> RunConfig:
    """The config of the embedded quickstart. Raises ValueError as `load` does."""
    file = importlib.resources.files("tl_keras.embedded") / "quickstart.yaml"
    with importlib.resources.as_file(file) as path:
        return load(path, overrides)


def with_trials(config: RunConfig) -> RunConfig:
    """A config that asks for a search, from one that does not. Raises ValueError as `load` does."""
    return from_tree({**to_tree(config), "search": {**to_tree(config)["search"], "trials": TRIALS}})


def to_yaml(config: RunConfig) -> str:
    """The whole resolved config as YAML 1.2 text that `load` reads back to an equal config."""
    stream = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    # Sections in the order of a run. ruamel.yaml declares None alone.
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.dump(to_tree(config), stream)
    return stream.getvalue()


def to_tree(config: RunConfig) -> dict[str, Any]:
    """The whole resolved config as nested dicts of plain values."""
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
    """What YAML text says; a mapping where the default is one."""
    try:
        value = YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        # Of a duplicate key only the name: the values are not yet complete.
        problem = error.problem.split(" with value ")[0].removeprefix("but ")
        raise ValueError(f"{where}, line {line}: no valid YAML: {problem}") from None
    except YAMLError as error:
        raise ValueError(f"{where}: no valid YAML: {str(error).splitlines()[0]}") from None
    value = default if value is None else value
    if isinstance(default, dict) and not isinstance(value, dict):
        raise ValueError(f"{where}: expected sections such as 'data:'; received {shown(value)}")
    return value


def as_yaml(name: str) -> str:
    """A name as it is written into YAML: in quotes where it would be read as something else, as a
    number, say."""
    try:
        plain = _parse(f"{{{name}: {name}}}", "", default={}) == {name: name}
    except ValueError:
        plain = False
    return name if plain else json.dumps(name, ensure_ascii=False)


def _override(tree: dict[str, Any], override: str) -> None:
    """Sets one `section.field=value` in place; the value is YAML."""
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
                f"--set: expected section.field=value; received {override!r}, but {section!r} is "
                f"{shown(tree)} and has no fields"
            )
    tree[field] = _parse(text, f"--set {name}", default=None)


def schema() -> dict[str, Any]:
    """The JSON schema of a config, for editors."""
    return RunConfig.model_json_schema()
