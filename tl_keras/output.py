"""What a command writes at `--output`, or to standard output."""

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
    """The file to write, checked before the work that would be lost; None: standard output."""
    if not output:
        return None
    path = Path(os.path.abspath(os.path.expanduser(output)))
    if path.is_symlink() and not is_special(path):
        path = path.resolve()  # Its target is replaced, and not the link.
    if path.is_dir():
        raise ValueError(f"--output: expected a file; received the folder {output!r}")
    if not _is_text(path):
        # As after `--output` without its value, before a list of images.
        raise ValueError(
            f"--output: {output!r} exists and is not a text file, so it is not replaced; expected "
            "another name"
        )
    if path.name in FILES and marks.is_ours(path.parent):
        raise ValueError(f"--output: {output!r} belongs to a run; expected another name")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"--output: {output!r} cannot be written: {error.strerror}") from None
    return path


def checked_page(page: Path) -> Path:
    """A page that was not asked for by name, checked before it is replaced."""
    from tl_keras.report.pages.page import is_page  # Here, since NumPy takes a while to import.

    if page.exists() and not is_page(page):
        raise ValueError(
            f"--output: {str(page)!r} is there already and not a page of tl_keras, so it is not "
            "replaced; expected another name, as in --output=runs.html"
        )
    return page


def _is_text(file: Path) -> bool:
    """Whether a file holds text, as all that is written to `--output`; true where none is there."""
    if not file.is_file():
        return True
    try:
        with file.open("rb") as stream:
            return b"\0" not in stream.read(1 << 16)
    except OSError:
        return True


def write(text: str, output: Path | None) -> None:
    """Writes text to a file, or to standard output where there is none."""
    if output:
        if is_special(output):
            output.write_text(text, encoding="utf-8")
        else:
            write_text(output, text)
    else:
        sys.stdout.write(text)


def as_csv(rows: list[dict[str, Any]]) -> str:
    """Rows of `predict` as CSV text."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    names = list(rows[0].get("probabilities", {}))
    writer.writerow(["file", "prediction", *(f"p:{name}" for name in names)])
    for row in rows:
        decimals = [f"{value:.6f}" for value in row.get("probabilities", {}).values()]
        writer.writerow([row["file"], row["prediction"], *decimals])
    return stream.getvalue()


def as_json_lines(rows: list[dict[str, Any]]) -> str:
    """Rows of `predict` as text, a JSON object a line."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
