"""Writes files atomically: first under a temporary name in the same folder, then renamed."""

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

PATTERN = re.compile(r"[*?\[\]{}\\]")  # Characters that make a path a file name pattern.
TEMPORARY = ".tmp-"  # Prefix of unfinished files, which a killed process leaves behind.


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path to write to, and renames it to `path` after the `with` block.

    If the block raises an error, the temporary file is removed and `path` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The whole name comes last: Keras looks at endings such as `.weights.h5`.
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}.{path.name}")
    # Not by tempfile, which ignores the umask and makes files that only their owner can read.
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_unfinished(folder: Path, ending: str = "") -> None:
    """Removes the temporary files in a folder that were left there by processes that were killed.

    The caller must hold the lock of the folder. Otherwise the files may belong to another process
    that is still writing them.

    Args:
      ending: only temporary files whose names end with this text are removed.
    """
    for path in folder.glob(f"{TEMPORARY}*{ending}"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def not_a_pattern(folder: Path) -> Iterator[Path]:
    """Yields a path for reading `folder`; the path has no pattern characters, such as brackets.

    If the path of `folder` has such characters, the yielded path is that of a temporary link to the
    folder, or of a temporary copy. Otherwise the yielded path is `folder`. TensorFlow looks for the
    files of a SavedModel by pattern, so it finds none in a folder such as `photos [2024]`.
    """
    if not PATTERN.search(folder.as_posix()):
        yield folder
        return
    with tempfile.TemporaryDirectory() as temporary:
        link = Path(temporary, "folder")
        try:
            link.symlink_to(folder.absolute(), target_is_directory=True)
        except OSError:  # On Windows only administrators may create links.
            shutil.copytree(folder, link)
        yield link


def check_folders() -> None:
    """Checks that the current folder exists and that a folder for temporary files is writable.

    Raises:
      ValueError: the current folder does not exist, or no folder for temporary files is writable.
    """
    try:
        os.getcwd()
    except OSError:
        raise ValueError(
            "the current folder does not exist any more; change to another folder"
        ) from None
    try:
        tempfile.gettempdir()
    except OSError:
        raise ValueError(
            "TMPDIR: no writable folder for temporary files was found; set this environment "
            "variable to a folder that can be written"
        ) from None


def is_special(path: Path) -> bool:
    """Returns whether a path is a device or pipe. Such a path is written to but never replaced."""
    return path.exists() and not path.is_file() and not path.is_dir()


def unwritable(path: str) -> str | None:
    """Returns why a path cannot be recorded in the files of a run, or None if it can.

    The reason is a null byte in the path, or a character that UTF-8 cannot encode.
    """
    if "\0" in path:
        return "the name contains a null byte; rename the file or folder"
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return "the name is not valid UTF-8; rename the file or folder"
    return None


def write_text(path: Path, text: str) -> None:
    """Writes a text to a file atomically, in UTF-8. An existing file is replaced."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Writes a value as JSON. Raises ValueError for NaN, which JSON does not have."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_csv(path: Path, rows: Iterable[Sequence[str]]) -> None:
    """Writes rows as CSV. The first row is the header."""
    write_text(path, "".join(map(_csv_line, rows)))


def _csv_line(row: Sequence[str]) -> str:
    # Before Python 3.13 the writer quotes a cell only for characters of `lineterminator`. A lone \r
    # in a cell would end the line for readers, so \r\n is set here and replaced below.
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator="\r\n").writerow(row)
    return stream.getvalue().removesuffix("\r\n") + "\n"
