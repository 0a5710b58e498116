"""A CSV file as a source: what is labelled how, before any file is read. Imports no TensorFlow."""

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
from tl_keras.data.wording import shortened

COLUMNS = ("path", "label", "split", "group")
# In names of columns that may hold splits, or groups, under another name.
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
    """Rows of a CSV file with columns `path`, `label`, and maybe `split` and `group`.

    Paths are relative to the file's folder. Rows without a label are quarantined.

    Raises:
      ValueError: no such file, no such columns, a bad split, several labels, or another task.
    """
    file, literal = Path(config.data.path), config.data.literal_labels
    if not file.is_file():
        raise ValueError(f"data.path: {str(file)!r} does not exist; expected a CSV file")
    names = tasks.of(config.task, "names")
    root, rows, warnings = _read_rows(file, names.LABEL)

    def has_none(label: str) -> bool:
        return not label if literal else is_missing(label)

    labelled = [row for row in rows if not has_none(row["label"])]
    if not labelled:
        raise ValueError(f"data.path: {str(file)!r} has no row with a label")
    _refuse_several(file, labelled, names.LABEL)
    unfit = tasks.of(config.task, "targets").unfit([row["label"] for row in labelled])
    if unfit and not literal:
        raise ValueError(f"data.path: {str(file)!r}: {unfit}")
    doubtful = _doubtful_labels(labelled, names.NOUNS[0])
    listing = Listing(root, [], warnings=[*warnings, *doubtful])
    for name, label, split, group in dict.fromkeys(tuple(row.values()) for row in rows):
        if has_none(label):
            listing.quarantined.append(Quarantined(name, _no_label(label), is_bad=False))
        elif reason := _refuse_row(name, root, modalities.nouns(config.modality)[1]):
            listing.quarantined.append(Quarantined(name, reason))
        else:
            listing.files.append(Listed(name, label, split, group))
    return listing


def _no_label(label: str) -> str:
    return f"no label: {label!r} is how a missing one is written" if label else "no label"


def _doubtful_labels(rows: list[dict[str, str]], noun: str) -> list[str]:
    """Warnings of labels that may mean a missing one and are used as answers."""
    counts = Counter(row["label"] for row in rows if row["label"].lower() in MAY_BE_MISSING)
    return [
        f"the label {name!r} is used as {with_article(noun)}, in {count} rows; if it means that "
        "there is none, remove these rows"
        for name, count in counts.items()
    ]


def _read_rows(file: Path, expected: str) -> tuple[Path, list[dict[str, str]], list[str]]:
    """The folder that paths are relative to; path, label, split and group of each row; warnings."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, restval="", strict=True)
            columns = [(name or "").strip().lower() for name in reader.fieldnames or []]
            _check_columns(file, columns, expected)
            reader.fieldnames = columns
            cells = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f"data.path: {str(file)!r} is no CSV file in UTF-8: {error}; save it as CSV UTF-8"
        ) from None
    rows = [{name: (row.get(name) or "").strip() for name in COLUMNS} for row in cells]
    for line, row in enumerate(rows, start=2):
        if any(cells[line - 2].get(None, ())):
            raise ValueError(
                f"data.path: {str(file)!r}, row {line} has more cells than the header; "
                "put quotes around what contains a comma"
            )
        if not row["path"]:
            raise ValueError(f"data.path: {str(file)!r}, row {line}: path is empty")
        for name in ("split", "group"):
            row[name] = "" if is_missing(row[name]) else row[name]
        split = split_of(row["split"])
        if row["split"] and not split:
            raise ValueError(
                f"data.path: {str(file)!r}, row {line}: split {row['split']!r}; "
                "expected train, val, test or nothing"
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
    """Raises ValueError where two names that may mean different splits would be one."""
    names = defaultdict(set)
    for row in cells:
        name = (row.get("split") or "").strip().lower()
        names[split_of(name)].add(name)
    for split in ("val", "test"):
        if len(names[split]) > 1 and not names[split] <= PLAIN:
            raise ValueError(
                f"data.path: {str(file)!r}: the splits {shortened(sorted(names[split]))} would all "
                f"be {split}; expected one name for each split: train, val, test"
            )


def _unused_columns(file: Path, columns: list[str], cells: list[dict[str, str]]) -> list[str]:
    """Warnings of columns that look like splits or groups under another name.

    Raises:
      ValueError: a column holds names of splits, and the column 'split' is missing.
    """
    warnings = []
    for name in columns:
        if name in COLUMNS or not name:
            continue
        values = {(row.get(name) or "").strip() for row in cells} - {""}
        splits = set(map(split_of, values))
        if "split" not in columns and len(splits) > 1 and "" not in splits:
            raise ValueError(
                f"data.path: {str(file)!r}: the column {name!r} holds splits "
                f"({shortened(sorted(values))}); call it 'split', or remove it"
            )
        words = set(re.findall(r"[a-z]+", name))
        if "group" not in columns and words & GROUP_WORDS and len(values) < len(cells):
            warnings.append(
                f"the column {name!r} is not used; if its rows belong together, call it 'group'"
            )
        elif "split" not in columns and words & SPLIT_COLUMN_WORDS:
            warnings.append(
                f"the column {name!r} is not used; if it says what is train, val and test, call it "
                "'split' and write these words"
            )
    return warnings


def _root(file: Path, rows: list[dict[str, str]]) -> Path:
    """The file's folder; of a link, that of the file it leads to where the examples lie there."""
    if not file.is_symlink():
        return file.parent
    places = (file.parent, Path(os.path.realpath(file)).parent)
    counts = [sum(os.path.lexists(place / row["path"]) for row in rows) for place in places]
    return places[counts[1] > counts[0]]


def _below(root: Path, name: str) -> str:
    """A path relative to the folder, with `/`, written one way; one that leaves it stays as is."""
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
            f"data.path: {str(file)!r} has the column {several[0]!r}: several labels an example "
            f"are not supported; expected one column 'label' with one {expected} a row"
        )
    missing = [name for name in ("path", "label") if name not in columns]
    if missing:
        raise ValueError(
            f"data.path: {str(file)!r} has no column {missing[0]!r}; expected path,label and "
            f"maybe split,group; found {', '.join(columns) or 'nothing'}"
            f"{_other_separator(columns)}"
        )


def _other_separator(columns: list[str]) -> str:
    marks = [mark for mark in ";\t|" if any(mark in name for name in columns)]
    return f"; columns are separated by commas, and here by {marks[0]!r}" if marks else ""


def _refuse_several(file: Path, rows: list[dict[str, str]], expected: str) -> None:
    labels = defaultdict(set)
    for row in rows:
        labels[row["path"]].add(row["label"])
    for path, names in labels.items():
        if len(names) > 1:
            given = " and ".join(sorted(names)[:2])
            raise ValueError(
                f"data.path: {str(file)!r}: {path!r} has several labels, {given}; one {expected} "
                "an example is supported"
            )


def _refuse_row(name: str, root: Path, nouns: str) -> str | None:
    path = Path(os.path.normpath(root / name))
    if not path.is_relative_to(root):
        return f"a path that leaves the folder of the CSV file; put the file above its {nouns}"
    return refuse(path, root) or leaves(path, root)  # Through a folder that is a link.
