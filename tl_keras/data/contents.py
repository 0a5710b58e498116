"""Reads the content of single examples: of files in a folder, and of cells in a table.

An example has an address, `root / name`. For a file, this is its path. For a cell, `root` is the
path of the table file, and `name` is `row 17` (CSV) or `line 17` (JSON lines): the address
`reviews.csv/row 17` is the cell in the column that the modality names, such as `text`. A cell in
another column has the root `reviews.csv/comment`.
"""

import errno
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from tl_keras.data.table_files import table
from tl_keras.data.table_files.table import Table
from tl_keras.modalities import MODALITIES, part

# A cheap test on a path, since a folder may hold a million files.
MAY_BE_IN_TABLE = re.compile(
    rf"({'|'.join(map(re.escape, table.READERS))})([/\\]|$)", re.IGNORECASE
)


def root_of(file: Path, column: str) -> Path:
    """Returns the root of the cells in a column of a table file."""
    return file if column in _columns() else Path(f"{file}/{column}")


def reader(root: Path) -> Callable[[str], bytes]:
    """Returns a function from the name of an example to its content.

    The function raises OSError if the example cannot be read, for example because a table has no
    such row.

    Args:
      root: a folder of files, or the root of cells in a table, see the docstring of this module.
    """
    in_table = find_table(root)
    if in_table is None:
        return lambda name: read(root / name)
    file, column = in_table

    def cell(name: str) -> bytes:
        # The name may also be the whole address of an example elsewhere.
        if os.path.isabs(name):
            return read(Path(name))
        return _cell(table_at(file), column, name, root)

    return cell


def read(address: Path) -> bytes:
    """Returns the content of the example at an address. Raises OSError as `reader` does."""
    in_table = find_table(address)
    if in_table is None or not in_table[1]:
        return address.read_bytes()
    column, name = os.path.split(in_table[1])
    return _cell(table_at(in_table[0]), column, name, address.parent)


def of_examples(dataset: Any, examples: Iterable[Any]) -> Iterator[bytes]:
    """Yields the content of some examples of a data set. Raises OSError as `reader` does.

    Args:
      dataset: an `examples.Dataset`. The module `examples` imports this module indirectly, so it
        cannot be imported here.
      examples: some `examples.Example` of the data set.
    """
    if dataset.root is None:
        yield from (bytes(dataset.raw[example.index]) for example in examples)
    else:
        content = reader(dataset.root)
        yield from (content(example.file) for example in examples)


def holder(address: Path) -> Path:
    """Returns the file that holds the example at an address: its own file, or its table."""
    in_table = find_table(address)
    return in_table[0] if in_table and in_table[1] else address


def find_table(address: str | Path) -> tuple[Path, str] | None:
    """Returns the table file on a path, and the rest of the path; None if there is no table.

    The rest of `reviews.csv/comment/row 17` is `comment/row 17`.
    """
    address = str(address)
    for match in MAY_BE_IN_TABLE.finditer(address):
        file = address[: match.end(1)]
        if Path(file).is_file():
            return Path(file), address[match.end() :]
    return None


def table_at(file: Path) -> Table:
    """Returns the rows of a table file. Raises OSError if the file is no longer a table."""
    try:
        return table.read(file)
    except ValueError as error:
        raise OSError(str(error)) from None


def _cell(rows: Table, column: str, name: str, root: Path) -> bytes:
    """Returns the content of a cell.

    Args:
      column: the column that the root names, see `_column`.
      name: the name of the row, such as `row 17`.
      root: the root of the cells, for the message.
    """
    try:
        return rows.cell(name, _column(rows, column)).encode()
    except KeyError:
        raise FileNotFoundError(errno.ENOENT, "no such row or column", str(root / name)) from None


def _column(rows: Table, named: str) -> str:
    """Returns the column that a root names after the table file; "" is the modality's column."""
    for column in [named] if named else _columns():
        if column in rows.cells:
            return column
    # A path in normal form may differ from the name, as for a name with two slashes.
    parts = _parts(named)
    return next((column for column in rows.columns if _parts(column) == parts), named)


def _parts(path: str) -> list[str]:
    return [part for part in re.split(r"[/\\]", path) if part]


def _columns() -> list[str]:
    """Returns the names of the columns of examples of all modalities."""
    return [column for name in MODALITIES if (column := part(name, "config").COLUMN)]
