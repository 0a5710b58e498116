"""Detects the modality of data from the columns of a table or the suffixes of files."""

import csv
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tl_keras.modalities import DEFAULT, MODALITIES, part

LOOKED_AT = 2000  # files


def modality_of(data: Mapping[str, Any]) -> str:
    """Returns the modality of the data of a config: the given one, or what the data look like.

    Returns "auto" if neither the config nor the data say.

    Args:
      data: the section `data` of a config, not yet checked.

    Raises:
      ValueError: the data have examples of several modalities.
    """
    given = data.get("modality", "auto")
    source = data.get("source", "folder")
    for name in MODALITIES:
        if given == "auto" and source in part(name, "config").SOURCES:
            return name
    path = data.get("path")
    if given != "auto" or not isinstance(path, str | os.PathLike):
        return str(given)
    path = Path(path).expanduser()
    try:
        if source == "csv":
            return _of_columns(path)
        return _of_files(path) if source == "folder" else "auto"
    except (OSError, UnicodeDecodeError, csv.Error):  # Reported when the data are read.
        return "auto"


def _of_columns(path: Path) -> str:
    """Returns the modality of the first column of a table that holds examples or their files."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        columns = [name.strip().lower() for name in next(csv.reader(stream), [])]
    named = {part(name, "config").COLUMN: name for name in MODALITIES}
    if "path" in columns:
        return "auto"
    return next((named[column] for column in columns if column in named), "auto")


def _of_files(path: Path) -> str:
    suffixes = {suffix: name for name in MODALITIES for suffix in part(name, "config").SUFFIXES}
    counts: Counter[str] = Counter()
    for _, file in zip(range(LOOKED_AT), _files(path), strict=False):
        if name := suffixes.get(os.path.splitext(file)[1].lower()):
            counts[name] += 1
    if not counts or counts[DEFAULT]:
        return "auto"
    return counts.most_common(1)[0][0]


def _files(path: Path) -> Iterator[str]:
    for _, folders, names in os.walk(path):
        folders.sort()
        yield from names
