"""Reads CSV files: a header, and rows whose cells are separated by commas."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tl_keras.data.table_files import csv_faults, limits
from tl_keras.data.table_files.json_lines import Parts


def read(file: Path) -> Parts:
    """Returns columns, cells, numbers, nested and bad, as in `table.Table`.

    Empty rows are left out, also above the header. A missing cell at the end of a row is "".

    Raises:
      ValueError: the file is not CSV in UTF-8, or a row has more cells than the header.
    """
    number = line = 1  # Where the next row begins.
    try:
        with _long_cells(), file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            filled = (
                entry for entry in enumerate(reader, start=1) if any(map(str.strip, entry[1]))
            )
            number, header = next(filled, (1, []))
            csv_faults.check_header(file, header)
            columns = [name.strip().lower() for name in header]
            numbers: list[int] = []
            cells: list[list[str]] = [[] for _ in columns]
            if csv_faults.separator(columns):  # The columns and cells are not known.
                return columns, dict(zip(columns, cells, strict=True)), [], {}, []
            shared: dict[str, str] = {}
            number, line = number + 1, reader.line_num + 1
            for row in reader:
                if any(row[len(columns) :]):
                    csv_faults.refuse_more_cells(file, row, number, line)
                if row:
                    numbers.append(number)
                    limits.check_rows(file, len(numbers), columns)
                    row += [""] * (len(columns) - len(row))
                    for column, cell in zip(cells, row, strict=False):
                        column.append(shared.setdefault(cell, cell) if len(cell) < 30 else cell)
                number, line = number + 1, reader.line_num + 1
    except UnicodeDecodeError:
        raise csv_faults.of_encoding(file) from None
    except csv.Error as error:
        raise csv_faults.of_quotes(file, error, number, line) from None
    return columns, dict(zip(columns, cells, strict=True)), numbers, {}, []


@contextmanager
def _long_cells() -> Iterator[None]:
    """Lets the module `csv` read cells of any length. Its own limit is 131,072 characters."""
    before = csv.field_size_limit(limits.MAX_BYTES)
    try:
        yield
    finally:
        csv.field_size_limit(before)
