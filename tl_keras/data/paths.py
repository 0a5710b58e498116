"""Which paths may be read: their names, links and folders, not what the files hold."""

import os
from pathlib import Path

from tl_keras.run.files import unwritable

LINKED_FOLDER = "a link to a folder; links are not followed"


def refuse(path: Path, root: Path) -> str | None:
    """Why a path must not be read, None if it may."""
    if reason := unwritable(str(path)):
        return reason
    if not os.path.islink(path):
        return _unreachable(path)
    if not os.path.exists(path):
        return "a link to nothing"
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
    """Why a path must not be read, where a link leads out of the folder; None if it may."""
    inside = Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))
    return None if inside else "a link that leaves the folder"


def printable(name: str) -> str:
    """A name that can be written as UTF-8, whatever bytes the file system gave."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
