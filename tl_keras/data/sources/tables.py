"""Lists examples of a CSV file without reading their files. Does not import TensorFlow."""

import csv
import os
import re
from collections import Counter, defaultdict
from pathlib import Path

from tl_keras import modalities, tasks
from tl_keras.config.messages import with_article
from tl_keras.config.whole import RunConfig
from tl_keras.data.examples import Listed, Listing, Quarantined
from tl_keras.data.label_names import MAY_BE_MISSING, is_missing
from tl_keras.data.paths import leaves, refuse
from tl_keras.data.sources.layout import PLAIN, split_of
from tl_keras.data.wording import number_of, shortened

COLUMNS = ("path", "label", "split", "group")
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


def list_csv(config: RunConfig) -> Listing:
    """Returns the files of a CSV with the columns `path`, `label` and optionally `split`, `group`.

    Paths are relative to the folder of the CSV. Rows without a label are quarantined.

    Raises:
      ValueError: the file or a column is missing, a split is unknown, a file has several labels, or
        the labels belong to another task.
    """
    file, literal = Path(config.data.path), config.data.literal_labels
    if not file.is_file():
        raise ValueError(f"data.path: {str(file)!r} does not exist; expected a CSV file")
    names = tasks.of(config.task, "names")
    root, rows, warnings = _read_rows(file, names.LABEL)

    def lacks_label(label: str) -> bool:
        return not label if literal else is_missing(label)

    labelled = [row for row in rows if not lacks_label(row["label"])]
    if not labelled:
        raise ValueError(f"data.path: {str(file)!r} has no row with a label")
    _refuse_several(file, labelled, names.LABEL)
    unfit = tasks.of(config.task, "targets").unfit([row["label"] for row in labelled])
    if unfit and not literal:
        raise ValueError(f"data.path: {str(file)!r}: {unfit}")
    doubtful = _doubtful_labels(labelled, names.NOUNS[0])
    listing = Listing(root, [], warnings=[*warnings, *doubtful])
    for name, label, split, group in dict.fromkeys(tuple(row.values()) for row in rows):
        if lacks_label(label):
            listing.quarantined.append(Quarantined(name, _no_label(label), is_bad=False))
        elif reason := _refuse_row(name, root, modalities.nouns(config.modality)[1]):
            listing.quarantined.append(Quarantined(name, reason))
        else:
            listing.files.append(Listed(name, label, split, group))
    return listing


def _no_label(label: str) -> str:
    return f"no label: {label!r} means a missing label" if label else "no label"


def _doubtful_labels(rows: list[dict[str, str]], noun: str) -> list[str]:
    """Returns warnings about labels such as `none`: they are used, but may mean a missing label."""
    counts = Counter(row["label"] for row in rows if row["label"].lower() in MAY_BE_MISSING)
    return [
        f"the label {name!r} is used as {with_article(noun)}, in {number_of(count, 'row')}; if it "
        "means a missing label, remove these rows"
        for name, count in counts.items()
    ]


def _read_rows(file: Path, expected: str) -> tuple[Path, list[dict[str, str]], list[str]]:
    """Reads a CSV file; returns the folder that its paths are relative to, its rows, and warnings.

    A row has the columns `COLUMNS`; other columns of the file are left out.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, restval="", strict=True)
            columns = [(name or "").strip().lower() for name in reader.fieldnames or []]
            _check_columns(file, columns, expected)
            reader.fieldnames = columns
            cells = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f"data.path: {str(file)!r} is not a CSV file in UTF-8: {error}; save it as CSV UTF-8"
        ) from None
    rows = [{name: (row.get(name) or "").strip() for name in COLUMNS} for row in cells]
    for line, row in enumerate(rows, start=2):
        if any(cells[line - 2].get(None, ())):
            raise ValueError(
                f"data.path: {str(file)!r}, row {line} has more cells than the header; "
                "put quotes around cells that contain a comma"
            )
        if not row["path"]:
            raise ValueError(f"data.path: {str(file)!r}, row {line}: the column 'path' is empty")
        for name in ("split", "group"):
            row[name] = "" if is_missing(row[name]) else row[name]
        split = split_of(row["split"])
        if row["split"] and not split:
            raise ValueError(
                f"data.path: {str(file)!r}, row {line}: expected 'train', 'val', 'test' or an "
                f"empty cell in the column 'split'; received {row['split']!r}"
            )
        row["split"] = split
    if not rows:
        raise ValueError(f"data.path: {str(file)!r} has no rows below its header")
    _refuse_two_names(file, cells)
    warnings = _unused_columns(file, columns, cells)
    root = _root(file, rows)
    for row in rows:
        row["path"] = _below(root, row["path"])
    return root, rows, warnings


def _refuse_two_names(file: Path, cells: list[dict[str, str]]) -> None:
    """Raises ValueError if different names, such as `dev` and `eval`, would become the same split.

    The user may mean different splits by them. Names without another meaning, such as `val` and
    `validation`, may be mixed. Different names for train are allowed as well.
    """
    names = defaultdict(set)
    for row in cells:
        name = (row.get("split") or "").strip().lower()
        names[split_of(name)].add(name)
    for split in ("val", "test"):
        if len(names[split]) > 1 and not names[split] <= PLAIN:
            raise ValueError(
                f"data.path: {str(file)!r}: the splits {shortened(sorted(names[split]))} would all "
                f"become {split}; expected one name for each split: train, val, test"
            )


def _unused_columns(file: Path, columns: list[str], cells: list[dict[str, str]]) -> list[str]:
    """Returns warnings about unused columns whose names suggest that they hold splits or groups.

    Raises:
      ValueError: the column 'split' is missing, and another column has names of splits.
    """
    warnings = []
    for name in columns:
        if name in COLUMNS or not name:
            continue
        values = {(row.get(name) or "").strip() for row in cells} - {""}
        splits = set(map(split_of, values))
        if "split" not in columns and len(splits) > 1 and "" not in splits:
            raise ValueError(
                f"data.path: {str(file)!r}: the column {name!r} has names of splits "
                f"({shortened(sorted(values))}); rename the column to 'split', or remove it"
            )
        words = set(re.findall(r"[a-z]+", name))
        if "group" not in columns and words & GROUP_WORDS and len(values) < len(cells):
            warnings.append(
                f"the column {name!r} is not used; if rows with the same value must stay in one "
                "split, rename the column to 'group'"
            )
        elif "split" not in columns and words & SPLIT_COLUMN_WORDS:
            warnings.append(
                f"the column {name!r} is not used; if it says which rows are train, val or test, "
                "rename the column to 'split' and its values to 'train', 'val' and 'test'"
            )
    return warnings


def _root(file: Path, rows: list[dict[str, str]]) -> Path:
    """Returns the folder that the paths in a CSV file are relative to.

    This is the folder of the file. But if the file is a link, and more of the paths exist in the
    folder of the link's target than in the folder of the link, it is the folder of the target.
    """
    if not file.is_symlink():
        return file.parent
    places = (file.parent, Path(os.path.realpath(file)).parent)
    counts = [sum(os.path.lexists(place / row["path"]) for row in rows) for place in places]
    return places[counts[1] > counts[0]]


def _below(root: Path, name: str) -> str:
    """Returns a path in normal form, relative to `root` and with `/`.

    A path that leads out of `root` is returned as it is.
    """
    if not os.path.lexists(root / name):
        name = name.replace("\\", "/")  # Written on Windows.
    path = Path(os.path.normpath(root / name))
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else name


def _check_columns(file: Path, columns: list[str], expected: str) -> None:
    several = [name for name in columns if re.fullmatch(r"labels|label[ _]?\d+", name)]
    if "label" not in columns:
        several += [name for name in columns if name.startswith(("label_", "label "))]
    elif columns.count("label") > 1:
        several.append("label")
    if several:
        raise ValueError(
            f"data.path: {str(file)!r} has the column {several[0]!r}, but several labels per "
            f"example are not supported; expected one column 'label' with one {expected} per row"
        )
    missing = [name for name in ("path", "label") if name not in columns]
    if missing:
        raise ValueError(
            f"data.path: {str(file)!r} has no column {missing[0]!r}; expected the columns "
            f"path,label and optionally split,group; received {', '.join(columns) or 'nothing'}"
            f"{_other_separator(columns)}"
        )


def _other_separator(columns: list[str]) -> str:
    marks = [mark for mark in ";\t|" if any(mark in name for name in columns)]
    return f"; separate columns by commas instead of {marks[0]!r}" if marks else ""


def _refuse_several(file: Path, rows: list[dict[str, str]], expected: str) -> None:
    labels = defaultdict(set)
    for row in rows:
        labels[row["path"]].add(row["label"])
    for path, names in labels.items():
        if len(names) > 1:
            given = " and ".join(sorted(names)[:2])
            raise ValueError(
                f"data.path: {str(file)!r}: {path!r} has several labels, {given}; expected one "
                f"{expected} per example"
            )


def _refuse_row(name: str, root: Path, nouns: str) -> str | None:
    path = Path(os.path.normpath(root / name))
    if not path.is_relative_to(root):
        return f"a path outside of the CSV's folder; move the CSV to a folder above its {nouns}"
    return refuse(path, root) or leaves(path, root)  # A folder on the path may be a link.
