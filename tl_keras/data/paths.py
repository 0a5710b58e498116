"""Decides which files may be read, by their names and links. Does not open the files."""

import os
from pathlib import Path

from tl_keras.run.files import unwritable

LINKED_FOLDER = "a link to a folder; links are not followed"


def refuse(path: Path, root: Path) -> str | None:
    """Returns the reason why a file must not be read; None if it may be read."""
    if reason := unwritable(str(path)):
        return reason
    if not os.path.islink(path):
        return _unreachable(path)
    if not os.path.exists(path):
        return "a broken link"
    return LINKED_FOLDER if os.path.isdir(path) else leaves(path, root)


def _unreachable(path: Path) -> str | None:
    try:
        os.stat(path)
    except FileNotFoundError:
        return "does not exist"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None


def leaves(path: Path, root: Path) -> str | None:
    """Returns a reason if a path leads out of the folder `root` by a link, else None."""
    inside = Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))
    return None if inside else "a link to a place outside of the data folder"


def printable(name: str) -> str:
    """Returns a name that can be written as UTF-8; bytes that are not UTF-8 are escaped."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
