"""Finds the files that the column `path` of a table names, relative to the table's folder."""

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tl_keras.data import paths
from tl_keras.data.examples import Listed


def relative(file: Path, rows: Sequence[Listed]) -> tuple[Path, list[Listed]]:
    """Returns the folder that the paths in a table are relative to, and rows with such paths."""
    root = _root(file, rows)
    return root, [replace(row, file=_below(root, row.file)) for row in rows]


def _root(file: Path, rows: Sequence[Listed]) -> Path:
    """Returns the folder that the paths in a table are relative to.

    This is the folder of the file. But if the file is a link, and more of the paths exist in the
    folder of the link's target than in the folder of the link, it is the folder of the target.
    """
    if not file.is_symlink():
        return file.parent
    places = (file.parent, Path(os.path.realpath(file)).parent)
    counts = [sum(os.path.lexists(place / row.file) for row in rows) for place in places]
    return places[counts[1] > counts[0]]


def _below(root: Path, name: str) -> str:
    """Returns a path in normal form, relative to `root` and with `/`.

    A path that leads out of `root` is returned as it is.
    """
    if not os.path.lexists(root / name):
        name = name.replace("\\", "/")  # Written on Windows.
    path = Path(os.path.normpath(root / name))
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else name


def refuse_several_labels(file: Path, rows: Sequence[Listed], expected: str) -> None:
    """Raises ValueError if rows give one file several labels."""
    labels = defaultdict(set)
    for row in rows:
        labels[row.file].add(row.label)
    for path, names in labels.items():
        if len(names) > 1:
            given = " and ".join(sorted(names)[:2])
            raise ValueError(
                f"data.path: {str(file)!r}: {path!r} has several labels, {given}; expected one "
                f"{expected} per example"
            )


def refuse(name: str, root: Path, nouns: str) -> str | None:
    """Returns the reason why the file that a path names must not be read; None if it may be."""
    path = Path(os.path.normpath(root / name))
    if not path.is_relative_to(root):
        return f"a path outside of the table's folder; move the table to a folder above its {nouns}"
    # A folder on the path may be a link.
    return paths.refuse(path, root) or paths.leaves(path, root)
