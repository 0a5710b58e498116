"""Lists examples of a table, without reading the files that it names. Imports no TensorFlow.

A table is a CSV file or a file of JSON lines. Its examples are the cells of one column, or, if the
table has a column `path`, the files that these paths name.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tl_keras import modalities, tasks
from tl_keras.config.messages import with_article
from tl_keras.config.whole import RunConfig
from tl_keras.data import contents
from tl_keras.data.examples import Listed, Listing, Quarantined
from tl_keras.data.label_names import MAY_BE_MISSING, is_missing
from tl_keras.data.sources import paths_in_tables, table_columns
from tl_keras.data.sources.layout import split_of
from tl_keras.data.sources.table_columns import Columns
from tl_keras.data.table_files import table
from tl_keras.data.table_files.table import Table
from tl_keras.data.wording import number_of

MAX_LABEL = 1000  # characters: a label is a name in files, tables and the report
MISNAMED = (
    "data.path: {!r}: expected a name that ends with .csv, since the examples are cells of the "
    "table; rename the file"
)


def list_table(config: RunConfig) -> Listing:
    """Returns the examples of a table, with their labels, and their splits and groups if given.

    Paths are relative to the folder of the table. Rows without a label are quarantined.

    Raises:
      ValueError: the file or a column is missing, a split is unknown, a file has several labels, or
        the labels belong to another task.
    """
    file, literal = Path(config.data.path), config.data.literal_labels
    rows = read(file, config.data.source, "data.path")
    columns, warnings = table_columns.columns(rows, config)
    listed = list(_rows(rows, columns))
    if columns.is_cell and not table.is_table(file):
        raise ValueError(MISNAMED.format(str(file)))
    if columns.is_cell:
        root = contents.root_of(file, columns.example)
    else:
        root, listed = paths_in_tables.relative(file, listed)

    def lacks_label(label: str) -> bool:
        return not label if literal else is_missing(label)

    labelled = [row for row in listed if not lacks_label(row.label)]
    _check_labels(rows, columns, labelled, config)
    noun = tasks.of(config.task, "names").NOUNS[0]
    doubtful = _doubtful_labels(labelled, noun, rows.unit)
    listing = Listing(root, [], _bad_rows(rows, columns), [*warnings, *doubtful])
    nested = {rows.name(number) for number in rows.nested.get(columns.example, ())}
    several = modalities.nouns(config.modality)[1]
    for row in dict.fromkeys(listed):
        if columns.is_cell and row.file in nested:
            continue
        if lacks_label(row.label):
            listing.quarantined.append(Quarantined(row.file, _no_label(row.label), is_bad=False))
        elif not columns.is_cell and (reason := paths_in_tables.refuse(row.file, root, several)):
            listing.quarantined.append(Quarantined(row.file, reason))
        else:
            listing.files.append(row)
    return listing


def list_unlabelled(file: Path, config: RunConfig, field: str) -> Listing:
    """Returns all cells of a table, with the labels that the table has, if any.

    Args:
      field: what a message says the table comes from, such as `data.unlabelled`.

    Raises:
      ValueError: the table cannot be read, or it lacks the column of the examples.
    """
    rows = read(file, "", field)
    column = table_columns.of_cells(rows, config, field)
    listing = Listing(contents.root_of(file, column), [])
    columns = Columns(column, table_columns.normal(config.data.label_column), is_cell=True)
    listing.quarantined += _bad_rows(rows, columns)
    labels = rows.cells.get(columns.label) or [""] * len(rows)
    nested = rows.nested.get(column, ())
    for number, label in zip(rows.numbers, labels, strict=True):
        if number not in nested:
            listing.files.append(Listed(rows.name(number), label.strip()))
    return listing


def read(file: Path, source: str, field: str) -> Table:
    """Returns the rows of a table.

    Args:
      source: the value of `data.source` for the table; "" if its suffix decides.
      field: what a message says the table comes from, such as `data.path`.

    Raises:
      ValueError: the file is missing, or is not such a table.
    """
    kind = {"csv": "CSV file", "jsonl": "file of JSON lines"}.get(source, "table")
    if not file.is_file():
        raise ValueError(f"{field}: {str(file)!r} does not exist; expected a {kind}")
    if problem := table.wrong_suffix(file, source):
        raise ValueError(f"{field}: {str(file)!r} {problem}")
    try:
        rows = table.read(file)
    except OSError as error:
        raise ValueError(f"{field}: {str(file)!r} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from None
    return rows


def _rows(rows: Table, columns: Columns) -> Iterator[Listed]:
    """Yields the examples of all rows; the file of an example is a path or, for a cell, `row 17`.

    Raises:
      ValueError: a path is empty, or a split is unknown.
    """
    where = f"data.path: {str(rows.file)!r}"
    empty = [""] * len(rows)
    paths = empty if columns.is_cell else rows.cells[columns.example]
    labels, splits, groups = (
        rows.cells.get(name, empty) for name in (columns.label, "split", "group")
    )
    known = {split: split_of(split) for split in set(map(str.strip, splits))}
    for number, path, label, split, group in zip(
        rows.numbers, paths, labels, splits, groups, strict=True
    ):
        name = rows.name(number) if columns.is_cell else path.strip()
        if not name:
            raise ValueError(f"{where}, {rows.name(number)}: the column 'path' is empty")
        split, group = ("" if is_missing(cell.strip()) else cell.strip() for cell in (split, group))
        if split and not known[split]:
            raise ValueError(
                f"{where}, {rows.name(number)}: expected 'train', 'val', 'test' or an empty cell "
                f"in the column 'split'; received {split!r}"
            )
        yield Listed(name, label.strip(), known[split] if split else "", group)


def _check_labels(rows: Table, columns: Columns, labelled: list[Listed], config: RunConfig) -> None:
    """Raises ValueError if no row has a label, or if labels are not those of the task."""
    where, literal = f"data.path: {str(rows.file)!r}", config.data.literal_labels
    expected = tasks.of(config.task, "names").LABEL
    nested = rows.nested.get(columns.label)
    if nested and not literal:
        raise ValueError(
            f"{where}, {rows.name(min(nested))}: the label is a list or an object, but several "
            f"labels per example are not supported; expected one {expected}"
        )
    if not labelled:
        raise ValueError(f"{where} has no {rows.unit} with a label")
    longest = max(labelled, key=lambda row: len(row.label))
    if len(longest.label) > MAX_LABEL:
        raise ValueError(
            f"{where}, {longest.file}: the label has {len(longest.label):,} characters; expected "
            f"one {expected} of at most {MAX_LABEL:,}; if another column holds the labels, set "
            "data.label_column to its name"
        )
    if not columns.is_cell:
        paths_in_tables.refuse_several_labels(rows.file, labelled, expected)
    unfit = tasks.of(config.task, "targets").unfit([row.label for row in labelled])
    if unfit and not literal:
        raise ValueError(f"{where}: {unfit}")


def _bad_rows(rows: Table, columns: Columns) -> list[Quarantined]:
    """Returns the rows that cannot be read, and those whose example is a list or an object."""
    bad = [Quarantined(rows.name(number), reason) for number, reason in rows.bad]
    nested = sorted(rows.nested.get(columns.example, ())) if columns.is_cell else ()
    reason = f"the value of {columns.example!r} is a list or an object; expected a string"
    return [*bad, *(Quarantined(rows.name(number), reason) for number in nested)]


def _no_label(label: str) -> str:
    return f"no label: {label!r} means a missing label" if label else "no label"


def _doubtful_labels(rows: list[Listed], noun: str, unit: str) -> list[str]:
    """Returns warnings about labels such as `none`: they are used, but may mean a missing label."""
    counts = Counter(row.label for row in rows if row.label.lower() in MAY_BE_MISSING)
    return [
        f"the label {name!r} is used as {with_article(noun)}, in {number_of(count, unit)}; if it "
        f"means a missing label, remove these {unit}s"
        for name, count in counts.items()
    ]
