"""Defines a table in memory, and reads the file of a table once."""

import functools
import os
from bisect import bisect_left
from dataclasses import dataclass, field
from pathlib import Path

from tl_keras.config.data import TABLES
from tl_keras.data.table_files import csv_file, json_lines, limits

OF_SOURCES = {"csv": csv_file.read, "jsonl": json_lines.read}
READERS = {suffix: OF_SOURCES[source] for suffix, source in TABLES.items()}


@dataclass(frozen=True)
class Table:
    """The rows of a table file.

    Attributes:
      file: the file.
      unit: `row` for a CSV file, `line` for JSON lines.
      columns: the names of the columns, in lower case; a header may have a name twice.
      cells: a dict from each column to its cells, one for each row.
      numbers: the number of each row. The header of a CSV file is row 1, as in a spreadsheet. For
        JSON lines, it is the number of the line.
      nested: a dict from columns to the numbers of the rows whose cell is a list or an object.
      bad: `(number, reason)` of each row that cannot be read.
    """

    file: Path
    unit: str
    columns: list[str]
    cells: dict[str, list[str]]
    numbers: list[int]
    nested: dict[str, set[int]] = field(default_factory=dict)
    bad: list[tuple[int, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.numbers)

    def name(self, number: int) -> str:
        """Returns the name of an example, such as `row 17`."""
        return f"{self.unit} {number}"

    def cell(self, name: str, column: str) -> str:
        """Returns the cell of the row with a name such as `row 17`.

        Raises:
          KeyError: the table has no such row or column.
        """
        unit, _, number = name.partition(" ")
        place = bisect_left(self.numbers, int(number)) if number.isdecimal() else len(self)
        if unit != self.unit or place == len(self) or self.numbers[place] != int(number):
            raise KeyError(name)
        return self.cells[column][place]


def is_table(path: str | Path) -> bool:
    """Returns whether a name has the suffix of a table file."""
    return os.path.splitext(path)[1].lower() in READERS


def wrong_suffix(file: Path, source: str) -> str:
    """Returns what is wrong with the suffix of a table of a `data.source`; "" if it fits.

    A CSV file may have any suffix that no other kind of table has.
    """
    known = TABLES.get(file.suffix.lower(), "csv")
    if not source or known == source:
        return ""
    suffixes = [suffix for suffix, name in TABLES.items() if name == source]
    return (
        f"is not a table of data.source {source!r}; expected a name that ends with {suffixes[0]}, "
        f"or data.source {known!r}"
    )


def read(file: Path) -> Table:
    """Returns the rows of a table file. A file is read again only if it has changed.

    Raises:
      OSError: the file cannot be opened.
      ValueError: the file is too large or is not a table. The message begins with the file.
    """
    status = os.stat(file)
    return _read(file, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@functools.lru_cache(maxsize=4)
def _read(file: Path, size: int, *times: int) -> Table:
    limits.check_size(file, size)
    parts = READERS.get(file.suffix.lower(), csv_file.read)(file)
    unit = "line" if TABLES.get(file.suffix.lower()) == "jsonl" else "row"
    return Table(file, unit, *parts)
