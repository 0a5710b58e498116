"""Writes the output of a command to the file that `--output` names, or to standard output."""

import csv
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

from tl_keras.run import marks
from tl_keras.run.files import is_special, write_text
from tl_keras.run.folder import FILES


def checked(output: str | None) -> Path | None:
    """Returns the file that `--output` names, or None for standard output.

    Commands call this function first, so that they do not fail after their work is done.

    Raises:
      ValueError: the path is a folder, is not writable, or names a file that must not be replaced.
    """
    if not output:
        return None
    path = Path(os.path.abspath(os.path.expanduser(output)))
    if path.is_symlink() and not is_special(path):
        path = path.resolve()  # Replace the target of the link, not the link.
    if path.is_dir():
        raise ValueError(f"--output: expected the path of a file; received the folder {output!r}")
    if not _is_text(path):
        # `predict --output a.jpg b.jpg` without a value for --output would replace a photograph.
        raise ValueError(
            f"--output: {output!r} exists and is not a text file, so it is not replaced; choose "
            "another file name"
        )
    if path.name in FILES and marks.is_ours(path.parent):
        raise ValueError(f"--output: {output!r} is a file of a run folder; choose another file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"--output: {output!r} cannot be written: {error.strerror}") from None
    return path


def checked_page(page: Path) -> Path:
    """Returns `page` (the default file name of a page) if the page may be written there.

    Raises:
      ValueError: the file exists and was not written by tl_keras.
    """
    from tl_keras.report.pages.page import is_page  # Here, since NumPy takes a while to import.

    if page.exists() and not is_page(page):
        raise ValueError(
            f"--output: {str(page)!r} exists and was not written by tl_keras, so it is not "
            "replaced; choose another file name, for example --output=runs.html"
        )
    return page


def _is_text(file: Path) -> bool:
    """Returns False if a file is binary, else True, also if it does not exist or is unreadable."""
    if not file.is_file():
        return True
    try:
        with file.open("rb") as stream:
            return b"\0" not in stream.read(1 << 16)
    except OSError:
        return True


def write(text: str, output: Path | None) -> None:
    """Writes text to a file, or to standard output if `output` is None."""
    if output:
        if is_special(output):
            output.write_text(text, encoding="utf-8")
        else:
            write_text(output, text)
    else:
        sys.stdout.write(text)


def as_csv(rows: list[dict[str, Any]]) -> str:
    """Returns rows of `predict` as CSV text."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    names = list(rows[0].get("probabilities", {}))
    writer.writerow(["file", "prediction", *(f"p:{name}" for name in names)])
    for row in rows:
        decimals = [f"{value:.6f}" for value in row.get("probabilities", {}).values()]
        writer.writerow([row["file"], row["prediction"], *decimals])
    return stream.getvalue()


def as_json_lines(rows: list[dict[str, Any]]) -> str:
    """Returns rows of `predict` as text with one JSON object per line."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
