"""Converts what a user gives to `predict` to one list, whose entries are paths or texts."""

import io
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tl_keras.config.data import TABLES
from tl_keras.modalities.text.config import SUFFIXES

EXPECTED = (
    "expected a text, the path of a text file, a folder or a table (.csv, .jsonl), or a list of "
    "these"
)
ON_COMMAND_LINE = "texts, text files, tables or folders"
# A string that ends so is meant as a path even if the path does not exist, and becomes no text.
FILES = (*SUFFIXES, *TABLES)


@dataclass(frozen=True)
class Given:
    """A text in memory; `name` is the value of `file` in the row of predictions for this text."""

    name: str
    raw: str


def as_given(values: Any) -> list[Path | Given]:
    """Returns one list, in which texts are `Given` and all else is paths.

    A string is a path if it exists, or if it is a single word that looks like one: it ends with the
    suffix of a text or a table, or begins like an absolute or relative path. Other strings are
    texts. A `pathlib.Path` is always a path.

    Args:
      values: a text or a path, or an iterable of them, such as a list, an array or a pandas Series.

    Raises:
      TypeError: a value has another type.
      ValueError: a text is empty.
    """
    return [_one(value, f"#{i}") for i, value in enumerate(_many(values))]


def _many(values: Any) -> Iterable[Any]:
    if isinstance(values, str | os.PathLike):
        return [values]
    if isinstance(values, np.ndarray) and values.ndim == 0:
        return [values.item()]
    if hasattr(values, "columns"):  # Iterating over a DataFrame gives the names of its columns.
        raise TypeError(
            f"predict: {EXPECTED}; received {type(values).__name__}; pass the column with the "
            "texts, such as frame['text']"
        )
    unsupported = isinstance(values, bytes | bytearray | memoryview | Mapping | io.IOBase)
    if unsupported or not isinstance(values, Iterable):
        raise TypeError(f"predict: {EXPECTED}; received {type(values).__name__}")
    return values


def _one(value: Any, name: str) -> Path | Given:
    if isinstance(value, os.PathLike) and isinstance(os.fspath(value), str):
        return Path(os.path.expanduser(value))
    if not isinstance(value, str):
        missing = " (a missing value)" if isinstance(value, float) and value != value else ""
        received = f"{type(value).__name__}{missing} as value {name}"
        raise TypeError(f"predict: {EXPECTED}; received {received}")
    if value == "-":
        raise ValueError(
            f"predict: {EXPECTED}; received '-'; standard input is not read; write its texts to a "
            "file first"
        )
    if not value.strip():
        raise ValueError(f"predict: {EXPECTED}; received an empty text as value {name}")
    path = os.path.expanduser(value)
    if _looks_like_a_path(value) or os.path.lexists(path):
        return Path(path)
    # A lone surrogate, as in cut-off JSON, has no place in UTF-8.
    return Given(name, value.encode("utf-8", "replace").decode())


def _looks_like_a_path(text: str) -> bool:
    if any(map(str.isspace, text)):
        return False
    starts = ("/", "./", "../", "~/")
    return text.lower().endswith(FILES) or text.startswith(starts)
