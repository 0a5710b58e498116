"""Finds the columns of a table that hold examples, labels, splits and groups."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from tl_keras import modalities, tasks
from tl_keras.config.messages import nearest
from tl_keras.config.whole import RunConfig
from tl_keras.data.sources.layout import PLAIN, split_of
from tl_keras.data.table_files import csv_faults
from tl_keras.data.table_files.table import Table
from tl_keras.data.wording import shortened
from tl_keras.modalities import MODALITIES, part

# Words in the names of columns that may hold splits or groups.
SPLIT_COLUMN_WORDS = {"splits", "set", "subset", "partition", "fold", "phase", "usage"}
SPLIT_COLUMN_WORDS |= {"train", "valid", "val", "test", "holdout"}
GROUP_WORDS = {
    "groups",
    "patient",
    "subject",
    "speaker",
    "person",
    "participant",
    "case",
    "session",
}
# Pairs of columns by which an example has two parts, such as a premise and a hypothesis.
PAIRS = [("premise", "hypothesis"), ("text", "text_pair"), ("sentence", "sentence_pair")]
PAIRS += [
    (f"{name}{mark}{first}", f"{name}{mark}{second}")
    for name in ("text", "sentence", "question", "document")
    for mark in ("", "_", " ")
    for first, second in ("ab", "12")
]
MANY_WORDS = 3  # A column whose cells have at least so many words on average may hold texts.
LOOKED_AT = 200  # rows
LONGEST = 40  # characters of the name of a column in a message


@dataclass(frozen=True)
class Columns:
    """The columns of a table that are used, besides `split` and `group`.

    Attributes:
      example: the column with the examples, or with the paths of their files.
      label: the column with the labels.
      is_cell: whether the examples are the cells of `example`.
    """

    example: str
    label: str
    is_cell: bool


def normal(name: str) -> str:
    """Returns the name of a column in the form that names in a `Table` have."""
    return name.strip().lower()


def columns(rows: Table, config: RunConfig) -> tuple[Columns, list[str]]:
    """Returns the columns that are used, and warnings about others.

    Raises:
      ValueError: a column is missing or doubtful, or the table has no rows.
    """
    label = normal(config.data.label_column)
    where = f"data.path: {str(rows.file)!r}"
    _refuse_several(rows.columns, label, tasks.of(config.task, "names").LABEL, where)
    example = _example(rows, config, label, where)
    is_cell = example != "path" or config.data.text_column is not None
    used = (example, label, "split", "group")
    if twice := next((name for name in used if rows.columns.count(name) > 1), ""):
        raise ValueError(f"{where} has the column {twice!r} twice; rename or remove one of them")
    if label not in rows.columns:
        wanted = config.data.label_column
        field = "" if label == "label" else "data.label_column: "
        hint = "; if another column holds the labels, set data.label_column to its name"
        raise ValueError(
            f"{field or 'data.path: '}{str(rows.file)!r} has no column {wanted!r}; expected the "
            f"columns {example},{label} and optionally split,group; received "
            f"{_names(rows)}{nearest(wanted, rows.columns) if field else hint}"
        )
    if not len(rows) and not rows.bad:
        raise ValueError(f"{where} has no rows below its header")
    _refuse_two_names(rows, where)
    return Columns(example, label, is_cell), _unused_columns(rows, used, where)


def of_cells(rows: Table, config: RunConfig, field: str) -> str:
    """Returns the column whose cells are the examples, in a table that may lack labels.

    Raises:
      ValueError: there is no such column.
    """
    own = part(config.modality, "config").COLUMN
    for name in (config.data.text_column, own):
        if name and normal(name) in rows.columns:
            _refuse_pairs(rows.columns, name, f"{field}: {str(rows.file)!r}")
            return normal(name)
    where = f"{field}: {str(rows.file)!r}"
    wanted = " or ".join(repr(name) for name in (config.data.text_column, own) if name)
    raise ValueError(
        f"{where} has no column {wanted}; received {_names(rows)}"
        f"{_unnamed(rows, str(config.data.text_column or own))}"
    )


def _example(rows: Table, config: RunConfig, label: str, where: str) -> str:
    """Returns the column that holds the examples or the paths of their files."""
    given, own = config.data.text_column, part(config.modality, "config").COLUMN
    if given is not None:
        if own is None:
            raise ValueError(
                f"data.text_column: the examples are of the modality {config.modality}, which "
                f"tables name in a column 'path'; expected null, received {given!r}"
            )
        if normal(given) not in rows.columns:
            raise ValueError(
                f"data.text_column: {str(rows.file)!r} has no column {given!r}; expected one of "
                f"{_names(rows)}{nearest(given, rows.columns)}"
                f"{_unnamed(rows, given, label)}"
            )
        return normal(given)
    pair = _pair(rows.columns)
    # A pair does no harm if another column has the examples.
    if pair and not ({own, "path"} - set(pair)) & set(rows.columns):
        _raise_pair(pair, where)
    if own and own in rows.columns:
        return own
    if "path" in rows.columns:
        return "path"
    raise ValueError(
        f"{where} has no column {own or 'path'!r}; expected the columns {own or 'path'},{label} "
        f"and optionally split,group; received {_names(rows)}"
        f"{_hint(rows, own, label)}"
    )


def _hint(rows: Table, own: str | None, label: str) -> str:
    """Returns what to do about a missing column of examples, as the end of a message."""
    of_cells = _of_cells()
    if unnamed := _unnamed(rows, own or part(of_cells, "config").COLUMN, label):
        return unnamed
    column = _of_many_words(rows, label)
    if not column:
        return ""
    plural = modalities.nouns(of_cells)[1]
    labels = (
        ""
        if label in rows.columns
        else ", and data.label_column to the name of the column with the labels"
    )
    return f"; if the column {column!r} holds the {plural}, set data.text_column={column}{labels}"


def _unnamed(rows: Table, own: str, *others: str) -> str:
    """Returns what to do if columns have no names or no commas between them, or "".

    Args:
      own: the name that the column of the examples should have.
      others: the names that the other columns should have.
    """
    if separated := csv_faults.how_to_separate(rows.file, rows.columns):
        return separated
    is_text = any(len(name.split()) >= MANY_WORDS for name in rows.columns)
    is_path = any(re.search(r"\w\.[a-z]{3,4}$", name) for name in rows.columns)
    if rows.unit != "row" or not (is_text or is_path):
        return ""
    own = own if is_text else "path"
    return f"; if the first row is not a header, insert the row {','.join([own, *others])} above it"


def _of_cells() -> str:
    """Returns the first modality whose examples are cells of tables."""
    return next(name for name in MODALITIES if part(name, "config").COLUMN is not None)


def _names(rows: Table) -> str:
    """Returns the names of the columns, each at most `LONGEST` characters long."""
    names = (n if len(n) <= LONGEST else f"{n[:LONGEST].rstrip()}..." for n in rows.columns)
    return ", ".join(names) or "nothing"


def _of_many_words(rows: Table, label: str) -> str:
    """Returns the column with the most words a cell; "" if they are few."""
    words = {}
    for column in set(rows.columns) - {label, "split", "group", "path", ""}:
        cells = rows.cells[column][:LOOKED_AT]
        words[column] = sum(len(cell.split()) for cell in cells) / max(1, len(cells))
    column = max(sorted(words), key=words.__getitem__, default="")
    return column if column and words[column] >= MANY_WORDS else ""


def _pair(names: Sequence[str]) -> tuple[str, str] | None:
    return next((pair for pair in PAIRS if set(pair) <= set(names)), None)


def _refuse_pairs(names: Sequence[str], column: str, where: str) -> None:
    pair = _pair(names)
    if pair and normal(column) == pair[0]:
        _raise_pair(pair, where)


def _raise_pair(pair: tuple[str, str], where: str) -> None:
    first, second = pair
    raise ValueError(
        f"{where} has the columns {first!r} and {second!r}, so each example has two parts, but "
        "pairs are not supported; expected one text for each example; set data.text_column to the "
        "column to use, or join the two columns into one"
    )


def _refuse_several(names: Sequence[str], label: str, expected: str, where: str) -> None:
    """Raises ValueError if several columns have labels, unless `data.label_column` names one."""
    if label != "label":
        return
    several = [name for name in names if re.fullmatch(r"labels|label[ _]?\d+", name)]
    if "label" not in names:
        alike = [name for name in names if name.startswith(("label_", "label "))]
        several += alike if len(alike) > 1 else []  # A single one may have all labels.
    elif names.count("label") > 1:
        several.append("label")
    if several:
        raise ValueError(
            f"{where} has the column {several[0]!r}, but several labels per example are not "
            f"supported; expected one column 'label' with one {expected} per row"
        )


def _refuse_two_names(rows: Table, where: str) -> None:
    """Raises ValueError if different names, such as `dev` and `eval`, would become the same split.

    The user may mean different splits by them. Names without another meaning, such as `val` and
    `validation`, may be mixed. Different names for train are allowed as well.
    """
    names = defaultdict(set)
    for name in {cell.strip().lower() for cell in rows.cells.get("split", ())}:
        names[split_of(name)].add(name)
    for split in ("val", "test"):
        if len(names[split]) > 1 and not names[split] <= PLAIN:
            raise ValueError(
                f"{where}: the splits {shortened(sorted(names[split]))} would all become {split}; "
                "expected one name for each split: train, val, test"
            )


def _unused_columns(rows: Table, used: Sequence[str], where: str) -> list[str]:
    """Returns warnings about unused columns whose names suggest that they hold splits or groups.

    Raises:
      ValueError: the column 'split' is missing, and another column has names of splits.
    """
    warnings = []
    for name in rows.columns:
        if name in used or not name:
            continue
        values = {cell.strip() for cell in rows.cells[name]} - {""}
        has_splits = "split" not in rows.columns and all(map(split_of, values))
        if has_splits and len(set(map(split_of, values))) > 1:
            raise ValueError(
                f"{where}: the column {name!r} has names of splits ({shortened(sorted(values))}); "
                "rename the column to 'split', or remove it"
            )
        words = set(re.findall(r"[a-z]+", name))
        if "group" not in rows.columns and words & GROUP_WORDS and len(values) < len(rows):
            warnings.append(
                f"the column {name!r} is not used; if rows with the same value must stay in one "
                "split, rename the column to 'group'"
            )
        elif "split" not in rows.columns and words & SPLIT_COLUMN_WORDS:
            warnings.append(
                f"the column {name!r} is not used; if it says which rows are train, val or test, "
                "rename the column to 'split' and its values to 'train', 'val' and 'test'"
            )
    return warnings
