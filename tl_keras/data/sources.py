"""Sources of files: what is labelled how, before any file is read. Imports no TensorFlow."""

import csv
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from tl_keras.config import DataConfig
from tl_keras.data.examples import Listed, Listing, Quarantined

SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
# What operating systems leave in folders of pictures; no user put it there.
DROPPINGS = {"thumbs.db", "desktop.ini", "__macosx", "$recycle.bin"}


def list_folder(config: DataConfig) -> Listing:
    """Class folders, with or without train/, val/ (or validation/) and test/ above them.

    Raises:
      ValueError: the folder is missing, unreadable, empty, or mixes split and class folders.
    """
    root = Path(config.path)
    if not root.is_dir():
        what = "is no folder" if root.exists() else "does not exist"
        raise ValueError(f"data.path: {str(root)!r} {what}; expected a folder of class folders")
    listing = Listing(root, [])
    top = _folders(root, listing)
    if not top:
        found = "".join(f"; {entry.file!r} is {entry.reason}" for entry in listing.quarantined[:1])
        raise ValueError(f"data.path: {str(root)!r} has no class folders; {EXPECTED}{found}")
    for folder, split in _split_folders(root, top).items():
        for label in _folders(folder, listing) if split else [folder]:
            list_class(label, split, listing)
    if not listing.files and not listing.quarantined:
        raise ValueError(f"data.path: {str(root)!r} has no files in class folders; {EXPECTED}")
    return listing


EXPECTED = "expected one folder a class, as in ants/ and bees/, with images inside"


def _split_folders(root: Path, top: list[Path]) -> dict[Path, str]:
    """Folder to split name; "" for a class folder in a layout without splits."""
    splits = {folder: SPLIT_FOLDERS.get(folder.name.lower(), "") for folder in top}
    others = [folder.name for folder, split in splits.items() if not split]
    train = [folder for folder, split in splits.items() if split == "train"]
    if not train or others and not any(_holds_folders(folder) for folder in train):
        return dict.fromkeys(top, "")  # No train/, or a class that is called train.
    if others:
        raise ValueError(
            f"data.path: {others[0]!r} stands beside {train[0].name}/, which holds folders, in "
            f"{str(root)!r}; expected only train/, val/ (or validation/) and test/, or only class "
            "folders: move or rename one of the two"
        )
    return splits


def _holds_folders(folder: Path) -> bool:
    return any(entry.is_dir() and not _passed_over(entry.name) for entry in _entries(folder))


def _passed_over(name: str) -> bool:
    """Hidden, or left by an operating system: neither used nor listed."""
    return name.startswith(".") or name.lower() in DROPPINGS


def _entries(folder: Path) -> list[os.DirEntry]:
    try:
        return sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
        raise ValueError(f"data.path: {str(folder)!r} {reason}") from None


def _folders(folder: Path, listing: Listing) -> list[Path]:
    """Visible folders in order; whatever else lies there is mentioned."""
    found = []
    for entry in _entries(folder):
        if _passed_over(entry.name):
            continue
        if entry.is_dir(follow_symlinks=False):
            found.append(Path(entry.path))
        elif entry.is_symlink() and entry.is_dir():
            name = Path(entry.path).relative_to(listing.root).as_posix()
            listing.quarantined.append(Quarantined(printable(name), LINKED_FOLDER))
        else:
            listing.warnings.append(f"{entry.name!r} lies in no class folder and is not used")
    return found


LINKED_FOLDER = "a link to a folder; links are not followed"


def list_class(folder: Path, split: str, listing: Listing) -> None:
    """Adds every file below a class folder, at any depth."""

    def unreadable(error: OSError) -> None:
        name = Path(error.filename).relative_to(listing.root).as_posix()
        reason = f"a folder that cannot be read: {error.strerror}"
        listing.quarantined.append(Quarantined(printable(name), reason))

    for path, folders, files in os.walk(folder, onerror=unreadable):
        folders[:] = sorted(name for name in folders if not _passed_over(name))
        for name in sorted(files) + [n for n in folders if os.path.islink(os.path.join(path, n))]:
            if _passed_over(name):
                continue
            full = Path(path, name)
            file = full.relative_to(listing.root).as_posix()
            reason = refuse(full, listing.root)
            if reason:
                listing.quarantined.append(Quarantined(printable(file), reason))
            else:
                listing.files.append(Listed(file, folder.name, split))


def refuse(path: Path, root: Path) -> str | None:
    """Why a path must not be read, None if it may: names and links, not content."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return "its name is not valid UTF-8; rename it"
    if not os.path.islink(path):
        return _unreachable(path)
    if not os.path.exists(path):
        return "a link to nothing"
    return LINKED_FOLDER if os.path.isdir(path) else _leaves(path, root)


def _unreachable(path: Path) -> str | None:
    try:
        os.stat(path)
    except (FileNotFoundError, ValueError):  # ValueError: a name with a zero byte.
        return "does not exist"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None


def _leaves(path: Path, root: Path) -> str | None:
    inside = Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))
    return None if inside else "a link that leaves the folder"


def printable(name: str) -> str:
    """A name that can be written as UTF-8, whatever bytes the file system gave."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def list_csv(config: DataConfig) -> Listing:
    """Rows of a CSV file with columns `path`, `label`, and maybe `split` and `group`.

    Paths are relative to the file's folder.

    Raises:
      ValueError: no such file, no such columns, a bad split, several labels, or numbers to predict.
    """
    file = Path(config.path)
    if not file.is_file():
        raise ValueError(f"data.path: {str(file)!r} does not exist; expected a CSV file")
    rows = _read_rows(file)
    _refuse_other_tasks(file, rows)
    listing = Listing(file.parent, [])
    for name, label, split, group in dict.fromkeys(tuple(row.values()) for row in rows):
        reason = _refuse_row(name, file.parent)
        if reason:
            listing.quarantined.append(Quarantined(name, reason))
        else:
            listing.files.append(Listed(name, label, SPLIT_FOLDERS.get(split.lower(), ""), group))
    return listing


def _read_rows(file: Path) -> list[dict[str, str]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, restval="")
            columns = [(name or "").strip().lower() for name in reader.fieldnames or []]
            _check_columns(file, columns)
            reader.fieldnames = columns
            wanted = ("path", "label", "split", "group")
            cells = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"data.path: {str(file)!r} is no CSV file in UTF-8: {error}") from None
    rows = [{name: (row.get(name) or "").strip() for name in wanted} for row in cells]
    for line, row in enumerate(rows, start=2):
        if any(cells[line - 2].get(None, ())):
            raise ValueError(
                f"data.path: {str(file)!r}, row {line} has more cells than the header; "
                "put quotes around what contains a comma"
            )
        if not row["path"] or not row["label"]:
            raise ValueError(f"data.path: {str(file)!r}, row {line}: path or label is empty")
        if row["split"] and row["split"].lower() not in SPLIT_FOLDERS:
            raise ValueError(
                f"data.path: {str(file)!r}, row {line}: split {row['split']!r}; "
                "expected train, val, test or nothing"
            )
        row["path"] = _below(file.parent, row["path"])
    if not rows:
        raise ValueError(f"data.path: {str(file)!r} has no rows below its header")
    return rows


def _below(root: Path, name: str) -> str:
    """A path relative to the folder, with `/`, written one way; one that leaves it stays as is."""
    if not os.path.lexists(root / name):
        name = name.replace("\\", "/")  # Written on Windows.
    path = Path(os.path.normpath(root / name))
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else name


def _check_columns(file: Path, columns: list[str]) -> None:
    several = [name for name in columns if re.fullmatch(r"labels|label[ _]?\d+", name)]
    if "label" not in columns:
        several += [name for name in columns if name.startswith(("label_", "label "))]
    elif columns.count("label") > 1:
        several.append("label")
    if several:
        raise ValueError(
            f"data.path: {str(file)!r} has the column {several[0]!r}: several labels an example "
            "are not supported; expected one column 'label' with one class name a row"
        )
    missing = [name for name in ("path", "label") if name not in columns]
    if missing:
        raise ValueError(
            f"data.path: {str(file)!r} has no column {missing[0]!r}; expected path,label and "
            f"maybe split,group; found {', '.join(columns) or 'nothing'}"
        )


def _refuse_other_tasks(file: Path, rows: list[dict[str, str]]) -> None:
    """Several labels an example, and regression, look like classification until it fails."""
    where = f"data.path: {str(file)!r}"
    supported = "one class name an example is supported"
    labels = defaultdict(set)
    for row in rows:
        labels[row["path"]].add(row["label"])
    for path, names in labels.items():
        if len(names) > 1:
            given = " and ".join(sorted(names)[:2])
            raise ValueError(f"{where}: {path!r} has several labels, {given}; {supported}")
    names = Counter(row["label"] for row in rows)
    for mark in "|;,":
        joint = [name for name in names if mark in name]
        # A comma stands in many class names, so that a few rows with one prove nothing.
        enough = sum(names[name] for name in joint) > (len(rows) / 2 if mark == "," else 0)
        if enough and _share_parts(names, mark):
            example = joint[0]
            raise ValueError(f"{where}: {example!r} looks like several labels; {supported}")
    numbers = [name for name in names if _is_number(name)]
    fractions = [name for name in numbers if not float(name).is_integer()]
    many = len(names) > max(20, len(rows) / 2)
    if len(numbers) == len(names) and (fractions or many):
        example = (fractions or numbers)[0]
        raise ValueError(f"{where}: label {example!r} is a number to predict; {supported}")


def _share_parts(names: Iterable[str], mark: str) -> bool:
    """Whether most names that contain the mark share a part with another: `cat|dog` and `cat`.

    The comma of "tench, Tinca tinca" joins no labels.
    """
    parts = {name: {part.strip() for part in name.split(mark)} for name in names}
    counts = Counter(part for own in parts.values() for part in own)
    joint = [own for own in parts.values() if len(own) > 1]
    return 2 * sum(any(counts[part] > 1 for part in own) for own in joint) > len(joint)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _refuse_row(name: str, root: Path) -> str | None:
    path = Path(os.path.normpath(root / name))
    if not path.is_relative_to(root):
        return "a path that leaves the folder of the CSV file; put the file above its images"
    return refuse(path, root) or _leaves(path, root)  # Through a folder that is a link.
