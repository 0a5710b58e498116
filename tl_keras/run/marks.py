"""Marks run folders and caches with a hidden file, `.tl_keras`.

tl_keras replaces and removes nothing in a folder without this mark. The names of other files prove
nothing: other projects also have a `config.yaml`, a `data.json` or an `arrays/`.
"""

import re
import shlex
from pathlib import Path
from typing import Literal

from tl_keras.run.files import TEMPORARY, write_text

MARK = ".tl_keras"  # The file that marks a folder; its first word is the kind.
Kind = Literal["run", "cache"]
# Names that an earlier version wrote without a mark. They only add a hint to the message.
LOOKS_OURS = {
    "run": re.compile("config.yaml"),
    "cache": re.compile(r"[0-9a-f]{32,40}\..*|.+_\d+\.\d+\.\d+_.+"),
}


def is_ours(folder: Path, kind: Kind | None = None) -> bool:
    """Returns whether a folder is marked as a folder of tl_keras.

    Args:
      kind: the kind that the mark must name; None for any kind.
    """
    try:
        with (folder / MARK).open(encoding="utf-8", errors="replace") as stream:
            words = stream.read(256).split(maxsplit=1)
    except (OSError, ValueError):  # ValueError if the name contains a null byte.
        return False
    return words[:1] in ([[kind]] if kind else [["run"], ["cache"]])


def check(folder: Path, kind: Kind, field: str, may_be_new: bool = True) -> None:
    """Checks that a folder is marked with `kind`, is empty, or does not exist.

    Args:
      field: the flag or config field that names the folder, for the error message.
      may_be_new: whether the error message advises the user to choose a new folder; if not, it
        advises the user to name an existing one.

    Raises:
      ValueError: the folder is not marked with `kind`, and holds files.
    """
    if is_ours(folder, kind):
        return
    name = _first_name(folder)
    if name is None or is_ours(folder, kind):  # Another process may just have written the mark.
        return
    ways = ["choose a new folder" if may_be_new else f"name the folder of a {kind} of tl_keras"]
    if any(LOOKS_OURS[kind].fullmatch(path.name) for path in folder.iterdir()):
        ways.append(
            "if an earlier version of tl_keras made this folder, or it was copied without its "
            f"hidden files, mark it as a {kind} folder with this command: "
            f"echo {kind} > {shlex.quote(str(folder / MARK))}"
        )
    raise ValueError(
        f"{field}: {str(folder)!r} is not a {kind} folder of tl_keras and is not empty (it "
        f"contains {name!r}), so nothing in it is replaced or removed; {'; or, '.join(ways)}"
    )


def claim(folder: Path, kind: Kind, field: str) -> None:
    """Checks a folder with `check` and marks it. Called before anything else is written there.

    Raises:
      ValueError: in the same cases as `check`.
      OSError: the folder cannot be written.
    """
    check(folder, kind, field)
    put(folder, kind)


def put(folder: Path, kind: Kind) -> None:
    """Creates a folder if needed, and marks it without checking which files it holds.

    This is enough for a folder inside a run, because the run folder itself was checked.

    Raises:
      OSError: the folder cannot be written.
    """
    if is_ours(folder, kind):
        return
    warning = f"This is a {kind} folder of tl_keras. tl_keras replaces and removes files here."
    try:
        write_text(folder / MARK, f"{kind}\n{warning}\n")
    except FileNotFoundError:  # Another process marked the folder and removed unfinished files.
        if not is_ours(folder, kind):
            raise


def _first_name(folder: Path) -> str | None:
    """Returns the first name in a folder, in alphabetical order; None if there is none.

    Temporary files, which a killed `claim` may have left, are passed over.
    """
    if not folder.is_dir():
        return None
    names = (path.name for path in folder.iterdir())
    return min((name for name in names if not name.startswith(TEMPORARY)), default=None)
