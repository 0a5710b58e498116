"""`predictions.csv` of a run: a line for each example that a model was measured on."""

import csv
from collections.abc import Iterable, Sequence

from tl_keras.run.files import write_csv
from tl_keras.run.run import Run

NAME = "predictions.csv"


def write(run: Run, columns: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    """Writes the file.

    Args:
      columns: names of the columns after `file` and `split`, which the task decides.
      lines: cells of each line: file, split, and one cell for each of `columns`.
    """
    write_csv(run.workdir / NAME, [["file", "split", *columns], *lines])


def read(run: Run) -> dict[str, list[str]]:
    """By file, in the order of the lines, the cells after `file` and `split`."""
    with (run.workdir / NAME).open(encoding="utf-8", newline="") as stream:
        _, *lines = csv.reader(stream)
    return {file: cells for file, _, *cells in lines}
