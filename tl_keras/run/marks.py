"""Folders of ours carry a mark. Without the mark nothing in a folder is replaced or removed.

A person may have a `config.yaml`, a `data.json` or an `arrays/` too, so names prove nothing.
"""

import re
import shlex
from pathlib import Path
from typing import Literal

from tl_keras.run.files import TEMPORARY, write_text

MARK = ".tl_keras"  # The file that makes a folder ours; its first word is the kind.
Kind = Literal["run", "cache"]
# What an earlier version of this package left. It proves nothing, and is worth a hint.
LOOKS_OURS = {
    "run": re.compile("config.yaml"),
    "cache": re.compile(r"[0-9a-f]{32,40}\..*|.+_\d+\.\d+\.\d+_.+"),
}


def is_ours(folder: Path, kind: Kind | None = None) -> bool:
    """Whether a folder carries our mark, of any kind where none is named."""
    try:
        with (folder / MARK).open(encoding="utf-8", errors="replace") as stream:
            words = stream.read(256).split(maxsplit=1)
    except (OSError, ValueError):  # ValueError: a name with a zero byte.
        return False
    return words[:1] in ([[kind]] if kind else [["run"], ["cache"]])


def check(folder: Path, kind: Kind, field: str, may_be_new: bool = True) -> None:
    """Checks that a folder is ours, new or empty.

    Args:
      field: the flag or config field that named the folder, for the message.
      may_be_new: whether another folder would do.

    Raises:
      ValueError: the folder holds what is not ours.
    """
    if is_ours(folder, kind):
        return
    other = _other(folder)
    if other is None or is_ours(folder, kind):  # Another process may have put the mark just now.
        return
    ways = ["choose a new folder"] if may_be_new else []
    if any(LOOKS_OURS[kind].fullmatch(path.name) for path in folder.iterdir()):
        ways.append(
            "if an earlier version of tl_keras made it, or it was copied without its hidden files, "
            f"adopt it: echo {kind} > {shlex.quote(str(folder / MARK))}"
        )
    raise ValueError(
        f"{field}: {str(folder)!r} is not a {kind} folder of tl_keras and not empty (it has "
        f"{other!r}), so nothing in it is replaced or removed; {'; or, '.join(ways)}"
    )


def claim(folder: Path, kind: Kind, field: str) -> None:
    """Makes a folder ours: `check`, then the mark, before anything else is written.

    Raises:
      ValueError: as `check`.
      OSError: the folder cannot be written.
    """
    check(folder, kind, field)
    put(folder, kind)


def put(folder: Path, kind: Kind) -> None:
    """Puts the mark into a folder that is known to be ours, as one inside a run; makes the folder.

    Raises:
      OSError: the folder cannot be written.
    """
    if is_ours(folder, kind):
        return
    told = f"This is a {kind} of tl_keras, which replaces and removes files in this folder."
    try:
        write_text(folder / MARK, f"{kind}\n{told}\n")
    except FileNotFoundError:  # Another process did the same and has removed unfinished files.
        if not is_ours(folder, kind):
            raise


def _other(folder: Path) -> str | None:
    """The name of something in a folder that a killed `claim` did not leave there."""
    if not folder.is_dir():
        return None
    names = (path.name for path in folder.iterdir())
    return min((name for name in names if not name.startswith(TEMPORARY)), default=None)
