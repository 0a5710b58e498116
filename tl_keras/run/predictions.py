"""Writes and reads `predictions.csv`, which has a line for each example of an evaluation."""

import csv
from collections.abc import Iterable, Sequence

from tl_keras.run.files import write_csv
from tl_keras.run.run import Run

NAME = "predictions.csv"


def write(run: Run, columns: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    """Writes `predictions.csv`.

    Args:
      columns: the names of the columns after `file` and `split`, which depend on the task.
      lines: the cells of each line: file, split, and one for each of `columns`.
    """
    write_csv(run.workdir / NAME, [["file", "split", *columns], *lines])


def read(run: Run) -> dict[str, list[str]]:
    """Returns, for each file in the order of the lines, the cells after `file` and `split`."""
    with (run.workdir / NAME).open(encoding="utf-8", newline="") as stream:
        _, *lines = csv.reader(stream)
    return {file: cells for file, _, *cells in lines}
