"""Detects the modality of data from the columns of a table or the suffixes of files."""

import csv
import io
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from tl_keras.modalities import DEFAULT, MODALITIES, part, plain_nouns
from tl_keras.run import marks

LOOKED_AT = 1000  # files or rows
START = 1 << 22  # characters or bytes of a table, which may be huge and have no line breaks
PER_FOLDER = 100  # entries: a class folder may hold a million files
# The modality is ambiguous if the second most frequent kind of file has more than this share, and
# at least so many files. A few other files, such as a list of classes, are common.
SHARE, COUNT = 0.1, 5


def modality_of(data: Mapping[str, Any]) -> str:
    """Returns the modality of the data of a config: the given one, or that of its files or table.

    Returns "auto" if the modality is not given and the files or the table do not show it.

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
        if source in ("csv", "jsonl") and path.is_file():  # Reading a pipe would use it up.
            return _of_table(path, source, data.get("text_column") is not None)
        return _of_files(path) if source == "folder" else "auto"
    except (OSError, UnicodeDecodeError, csv.Error):  # Reported when the data are read.
        return "auto"


def _of_table(path: Path, source: str, has_cells: bool) -> str:
    """Returns the modality of the examples of a table, or of the files that it names.

    Args:
      has_cells: whether the config names the column of the examples.
    """
    by_column = {part(name, "config").COLUMN: name for name in MODALITIES}
    by_column.pop(None, None)
    if has_cells:
        return next(iter(by_column.values()), "auto")
    columns, paths = (_json_columns if source == "jsonl" else _csv_columns)(path)
    counts = _counted(paths)
    if counts:
        return _decided(counts)
    return next((by_column[column] for column in columns if column in by_column), "auto")


def _csv_columns(path: Path) -> tuple[list[str], list[str]]:
    """Returns the columns of a CSV file, and the first cells of its column `path`."""
    # Wrongly encoded characters are reported when the table is read.
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        rows = csv.reader(io.StringIO(stream.read(START), newline=""))
        filled = (row for row in rows if any(map(str.strip, row)))
        columns = [name.strip().lower() for name in next(filled, [])]
        if "path" in columns:
            place = columns.index("path")
            return columns, [row[place] for row in islice(rows, LOOKED_AT) if place < len(row)]
    if len(columns) == 1:  # Another separator, which is refused when the table is read.
        columns = [name.strip() for name in re.split(r"[;\t|]", columns[0])]
    return columns, []


def _json_columns(path: Path) -> tuple[list[str], list[str]]:
    """Returns the keys of the first JSON lines of a file, and the values of `path`."""
    columns: dict[str, None] = {}
    paths = []
    with path.open("rb") as stream:
        lines = stream.read(START).split(b"\n")[:LOOKED_AT]
    for line in lines:
        with suppress(ValueError, RecursionError):
            values = json.loads(line.decode("utf-8-sig"))
            if isinstance(values, dict):
                values = {key.strip().lower(): value for key, value in values.items()}
                columns |= dict.fromkeys(values)
                paths.append(str(values.get("path", "")))
    return list(columns), paths


def _of_files(path: Path) -> str:
    """Returns the modality of the files in a folder.

    Raises:
      ValueError: there are many files of two modalities.
    """
    files = list(islice(_files(path), LOOKED_AT))
    counts = _counted(files)
    if len(counts) > 1:
        counts = _counted(_without_notes(files))
    name = _decided(counts)
    first, second = [*counts.most_common(2), ("", 0), ("", 0)][:2]
    if second[1] >= COUNT and second[1] > SHARE * sum(counts.values()):
        kinds = " and ".join(
            f"{count} {plain_nouns(kind)[count != 1]}" for kind, count in (first, second)
        )
        raise ValueError(
            f"data.modality: {str(path)!r} has {kinds} among its first {len(files)} files, so the "
            f"modality is ambiguous; expected files of one modality; set data.modality to "
            f"{first[0]!r} or {second[0]!r}, or move the other files away"
        )
    return name


def _suffixes() -> dict[str, str]:
    """Returns {suffix of files of examples: modality}."""
    return {suffix: name for name in MODALITIES for suffix in part(name, "config").SUFFIXES}


def _counted(files: Iterable[str]) -> Counter[str]:
    """Returns the number of files of each modality; other files are not counted."""
    suffixes = _suffixes()
    modalities = (suffixes.get(os.path.splitext(file)[1].lower()) for file in files)
    return Counter(name for name in modalities if name)


def _decided(counts: Counter[str]) -> str:
    """Returns the modality of most files; "auto" without files of a known kind."""
    return counts.most_common(1)[0][0] if counts else "auto"


def _without_notes(files: list[str]) -> Iterator[str]:
    """Yields the files without those that describe a file of the default modality.

    A note such as `1.txt` describes `1.jpg`, which may lie in another folder.
    """
    suffixes = _suffixes()
    own = [suffix for suffix, name in suffixes.items() if name == DEFAULT]
    stems = {_stem(file) for file in files if os.path.splitext(file)[1].lower() in own}
    for file in files:
        name = suffixes.get(os.path.splitext(file)[1].lower())
        describes = name not in (None, DEFAULT) and (
            _stem(file) in stems
            or any(os.path.exists(os.path.splitext(file)[0] + suffix) for suffix in own)
        )
        if not describes:
            yield file


def _stem(file: str) -> str:
    return os.path.splitext(os.path.basename(file))[0]


def _files(folder: Path) -> Iterator[str]:
    """Yields the first files of a folder and of each folder below it.

    Hidden files and folders, and folders of tl_keras, are left out.
    """
    waiting = [str(folder)]
    while waiting:
        path, inner = waiting.pop(), []
        try:
            with os.scandir(path) as entries:
                first = list(islice(entries, PER_FOLDER))
        except (OSError, ValueError):  # ValueError: the path has a null byte.
            continue
        for entry in first:
            if entry.name.startswith("."):
                continue
            if not entry.is_dir(follow_symlinks=False):
                yield entry.path
            elif not marks.is_ours(Path(entry.path)):
                inner.append(entry.path)
        waiting += sorted(inner, reverse=True)
