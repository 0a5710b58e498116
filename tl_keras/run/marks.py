"""Marks the folders of tl_keras. Nothing is replaced or removed in a folder without the mark.

File names prove nothing: other projects also have a `config.yaml`, a `data.json` or an `arrays/`.
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
    """Returns whether a folder has the mark of `kind`, or of any kind if `kind` is None."""
    try:
        with (folder / MARK).open(encoding="utf-8", errors="replace") as stream:
            words = stream.read(256).split(maxsplit=1)
    except (OSError, ValueError):  # ValueError if the name contains a zero byte.
        return False
    return words[:1] in ([[kind]] if kind else [["run"], ["cache"]])


def check(folder: Path, kind: Kind, field: str, may_be_new: bool = True) -> None:
    """Checks that a folder has the mark of `kind`, is empty, or does not exist.

    Args:
      field: the flag or config field that names the folder, for the message.
      may_be_new: whether the message may advise a new folder.

    Raises:
      ValueError: the folder has no mark and holds other files.
    """
    if is_ours(folder, kind):
        return
    other = _other(folder)
    if other is None or is_ours(folder, kind):  # Another process may just have written the mark.
        return
    ways = ["choose a new folder"] if may_be_new else []
    if any(LOOKS_OURS[kind].fullmatch(path.name) for path in folder.iterdir()):
        ways.append(
            "if an earlier version of tl_keras made it, or it was copied without its hidden files, "
            f"adopt it: echo {kind} > {shlex.quote(str(folder / MARK))}"
        )
    raise ValueError(
        f"{field}: {str(folder)!r} is not a {kind} folder of tl_keras and not empty (it contains "
        f"{other!r}), so nothing in it is replaced or removed; {'; or, '.join(ways)}"
    )


def claim(folder: Path, kind: Kind, field: str) -> None:
    """Checks a folder with `check` and marks it, before anything else is written there.

    Raises:
      ValueError: as `check`.
      OSError: the folder cannot be written.
    """
    check(folder, kind, field)
    put(folder, kind)


def put(folder: Path, kind: Kind) -> None:
    """Creates a folder, if needed, and marks it without a check, for a folder inside a run.

    Raises:
      OSError: the folder cannot be written.
    """
    if is_ours(folder, kind):
        return
    warning = f"This is a {kind} of tl_keras, which replaces and removes files in this folder."
    try:
        write_text(folder / MARK, f"{kind}\n{warning}\n")
    except FileNotFoundError:  # Another process marked the folder and removed unfinished files.
        if not is_ours(folder, kind):
            raise


def _other(folder: Path) -> str | None:
    """Returns a name in the folder other than the leftovers of a killed `claim`, or None."""
    if not folder.is_dir():
        return None
    names = (path.name for path in folder.iterdir())
    return min((name for name in names if not name.startswith(TEMPORARY)), default=None)
