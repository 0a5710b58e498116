"""Converts what a user gives to `predict` to one list, whose entries are paths or texts."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EXPECTED = "expected the path of a file or folder as pathlib.Path, a text as str, or a list of them"


@dataclass(frozen=True)
class Given:
    """A text in memory; `name` is the value of `file` in the row of predictions for this text."""

    name: str
    raw: str


def as_given(values: Any) -> list[Path | Given]:
    """Returns one list, in which texts are `Given` and all else is paths.

    Raises:
      TypeError: a value has another type.
    """
    if isinstance(values, str | os.PathLike):
        values = [values]
    if isinstance(values, bytes | Mapping) or not isinstance(values, Iterable):
        raise TypeError(f"predict: {EXPECTED}; received {type(values).__name__}")
    return [_one(value, f"#{i}") for i, value in enumerate(values)]


def _one(value: Any, name: str) -> Path | Given:
    if isinstance(value, os.PathLike):
        return Path(os.path.expanduser(value))
    if not isinstance(value, str):
        raise TypeError(f"predict: {EXPECTED}; received {type(value).__name__} as value {name}")
    path = Path(os.path.expanduser(value))
    return path if os.path.lexists(path) else Given(name, value)
