"""Compares the folder of a run with docs/reference/run_folder.md."""

import re
import sys
from pathlib import Path

DOCS = str(Path(__file__).parents[1] / "docs")
if DOCS not in sys.path:
    sys.path.append(DOCS)

from generators.run_folder import ROWS, Row  # noqa: E402


def assert_listed(run) -> None:
    """The folder has the files that the reference lists for the run's command, and no others."""
    rows = [row for row in ROWS if run.pipeline in row.writers]
    files = [
        path.relative_to(run.workdir).as_posix()
        for path in run.workdir.rglob("*")
        if not path.is_dir()
    ]
    unlisted = [file for file in files if not any(_is_of(row, file) for row in rows)]
    assert not unlisted, f"docs/generators/run_folder.py does not list {unlisted}"
    lost = [row.path for row in rows if not row.only and not any(_is_of(row, f) for f in files)]
    assert not lost, f"docs/generators/run_folder.py lists {lost}, which the run does not have"


def _is_of(row: Row, file: str) -> bool:
    pattern = re.escape(row.path).replace("NAME", r"\w+").replace("N", r"\d+")
    return bool(re.fullmatch(f"{pattern}.*" if row.path.endswith("/") else pattern, file))
