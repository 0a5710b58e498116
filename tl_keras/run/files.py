"""Files that are whole or not there: written beside their place, then renamed."""

import csv
import io
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PATTERN = re.compile(r"[*?\[\]{}\\]")  # In a path: what a pattern of file names consists of.
TEMPORARY = ".tmp-"  # How names of unfinished files begin; a kill leaves them behind.


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; renamed onto it at the end, removed if the body raises."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The whole name at the end: Keras goes by endings such as `.weights.h5`.
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}.{path.name}")
    # Not by tempfile, whose files are for their owner alone whatever the umask says.
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_unfinished(folder: Path, ending: str = "") -> None:
    """Removes what a killed process left; the caller holds the lock of the folder or file."""
    for path in folder.glob(f"{TEMPORARY}*{ending}"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def not_a_pattern(folder: Path) -> Iterator[Path]:
    """A path to a folder that TensorFlow, which looks for files by patterns, takes for no pattern.

    It finds nothing in a SavedModel below a folder that is called `photos [2024]`.
    """
    if not PATTERN.search(folder.as_posix()):
        yield folder
        return
    with tempfile.TemporaryDirectory() as temporary:
        link = Path(temporary, "folder")
        try:
            link.symlink_to(folder.absolute(), target_is_directory=True)
        except OSError:  # Windows allows links to administrators alone.
            shutil.copytree(folder, link)
        yield link


def check_folders() -> None:
    """Checks that the process has a current folder, and one for temporary files.

    Raises:
      ValueError: one of the two is missing.
    """
    try:
        os.getcwd()
    except OSError:
        raise ValueError(
            "the current folder does not exist any more; change into another one"
        ) from None
    try:
        tempfile.gettempdir()
    except OSError:
        raise ValueError(
            "TMPDIR: no folder for temporary files can be written; expected this environment "
            "variable to name one"
        ) from None


def is_special(path: Path) -> bool:
    """Whether a path is a device, a pipe or the like, which is written to and never replaced."""
    return path.exists() and not path.is_file() and not path.is_dir()


def unwritable(path: str) -> str | None:
    """Why a path cannot be written into the files of a run, None if it can."""
    if "\0" in path:
        return "its name has a zero byte; rename it"
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return "its name is not valid UTF-8; rename it"
    return None


def write_text(path: Path, text: str) -> None:
    """Replaces the file's content as a whole."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Replaces the file's content; NaN is refused, since JSON has none."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_csv(path: Path, rows: Iterable[Sequence[str]]) -> None:
    """Replaces the file's content with rows, the header among them."""
    write_text(path, "".join(map(_csv_line, rows)))


def _csv_line(row: Sequence[str]) -> str:
    # Until Python 3.13 only what is in the line's end is quoted, and a lone \r ends a line too.
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\r\n").writerow(row)
    return stream.getvalue().removesuffix("\r\n") + "\n"
