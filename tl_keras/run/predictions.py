"""Writes and reads `predictions.csv`, which has one line for each evaluated example."""

import csv
from collections.abc import Iterable, Sequence

from tl_keras.run.files import write_csv
from tl_keras.run.run import Run

NAME = "predictions.csv"


def write(run: Run, columns: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    """Writes `predictions.csv`.

    Args:
      columns: the names of the task's columns, which follow the columns `file` and `split`.
      lines: the cells of each line: file, split, and one cell for each of `columns`.
    """
    write_csv(run.workdir / NAME, [["file", "split", *columns], *lines])


def read(run: Run) -> dict[str, list[str]]:
    """Reads `predictions.csv`; returns `{file: cells}`, in the order of the lines.

    The cells of a file are those of the task's columns; its cells `file` and `split` are left out.
    """
    with (run.workdir / NAME).open(encoding="utf-8", newline="") as stream:
        _, *lines = csv.reader(stream)
    return {file: cells for file, _, *cells in lines}
