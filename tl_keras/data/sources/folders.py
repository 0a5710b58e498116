"""Lists examples in class folders without reading the files. Does not import TensorFlow.

The name of a class folder is the label of the files below it, for every task.
"""

import os
from collections import Counter
from pathlib import Path

from tl_keras.config.data import TABLES
from tl_keras.config.paths import ARCHIVES
from tl_keras.config.whole import RunConfig
from tl_keras.data.examples import SPLITS, Listed, Listing, Quarantined
from tl_keras.data.paths import LINKED_FOLDER, printable, refuse
from tl_keras.data.sources import layout
from tl_keras.data.sources.layout import split_of
from tl_keras.data.sources.suffixes import named_as_examples
from tl_keras.data.sources.tree import (
    Folder,
    has_files,
    may_hold_examples,
    names_of,
    opened,
    opened_class,
)
from tl_keras.data.sources.walking import walk
from tl_keras.data.wording import shortened
from tl_keras.modalities import nouns, plain_nouns
from tl_keras.run import marks

SPLITS_EXPECTED = "expected train/, and optionally val/ and test/, each with one folder per class"


def _expected(modality: str) -> str:
    inside = nouns(modality)[1]
    return f"expected one folder per class, such as ants/ and bees/, with {inside} inside"


def list_folder(config: RunConfig) -> Listing:
    """Returns the files of class folders, with or without split folders above or below them.

    Raises:
      ValueError: the folder is missing, unreadable or empty, or its layout is ambiguous.
    """
    root, modality = Path(config.data.path), config.modality
    expected = _expected(modality)
    if marks.is_ours(root):
        raise ValueError(
            f"data.path: {str(root)!r} is a run folder or cache of tl_keras; {expected}"
        )
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise ValueError(f"data.path: {str(root)!r} {what}; expected a folder of class folders")
    listing = Listing(root, [])
    top = opened(root)
    _warn_of_unused(top, listing)
    if not top.folders:
        raise ValueError(
            f"data.path: {str(root)!r} has no class folders; {expected}{_hint(top, listing)}"
        )
    classes = _classes(root, top.folders, listing, modality)
    for folder, label, split in classes:
        list_class(folder, label, split, listing)
    if not listing.files and not listing.quarantined:
        raise ValueError(
            f"data.path: {str(root)!r} has no files in class folders; {expected}"
            + "".join(f"; {warning}" for warning in listing.warnings[:1])
        )
    if len({label for _, label, _ in classes}) == 1 and (hint := _table_hint(top)):
        raise ValueError(
            f"data.path: {str(root)!r} has only one folder of {plain_nouns(modality)[1]}, "
            f"{classes[0][1]!r}; {expected}{hint}"
        )
    _warn_of_empty(classes, listing)
    return named_as_examples(listing, modality)


def _hint(top: "Folder", listing: Listing) -> str:
    """Returns what a data folder has instead of class folders, as the end of a message."""
    for entry in listing.quarantined[:1]:
        return f"; {entry.file!r} is {entry.reason}"
    if archives := [name for name in top.files if name.lower().endswith(ARCHIVES)]:
        return f"; unpack {archives[0]!r} first"
    return _table_hint(top)


def _table_hint(top: "Folder") -> str:
    """Returns a hint, as the end of a message, if tables in the folder may list the labels."""
    files = [name for name in top.files if os.path.splitext(name)[1].lower() in TABLES]
    splits = [name for name in files if split_of(os.path.splitext(name)[0])]
    if len(splits) > 1:
        return (
            f"; if {shortened(splits)} are the splits of a table, join them into one table with a "
            "column 'split' whose values are train, val and test, and set data.path to this table"
        )
    return f"; if {files[0]!r} lists the labels, set data.path to this file" if files else ""


def _warn_of_unused(folder: Folder, listing: Listing) -> None:
    """Warns of files in `folder` that lie in no class folder, and quarantines links to folders."""
    inside = folder.path.relative_to(listing.root)
    for name in folder.links:
        file = printable((inside / name).as_posix())
        listing.quarantined.append(Quarantined(file, LINKED_FOLDER))
    if not folder.files:
        return
    where = "" if folder.path == listing.root else f" of {inside.as_posix()}/"
    if len(folder.files) == 1:
        message = f"{folder.files[0]!r}{where} is not in a class folder and is not used"
    else:
        message = (
            f"{len(folder.files)} files{where} are not in a class folder and are not used: "
            f"{shortened(folder.files)}"
        )
    if any(name.lower().endswith(ARCHIVES) for name in folder.files):
        message += "; unpack archives to use them"
    listing.warnings.append(message)


Classes = list[tuple[Path, str, str]]  # Folder, class, split ("": to be carved).


def _classes(root: Path, top: list[Path], listing: Listing, modality: str) -> Classes:
    """Returns each class folder with its class and its split.

    Raises:
      ValueError: the layout is ambiguous, or the folder of a split cannot be read.
    """
    splits = {folder: split_of(folder.name) for folder in top}
    inside = {folder: (opened if splits[folder] else opened_class)(folder) for folder in top}
    # A folder with runs of tl_keras, such as runs/, may also hold a log.
    top = [f for f in top if may_hold_examples(inside[f], modality) or not _has_runs_or_caches(f)]
    others = [folder for folder in top if not splits[folder]]
    trains = [folder for folder in top if splits[folder] == "train"]
    if trains and (not others or any(inside[folder].folders for folder in trains)):
        beside = [inside[folder] for folder in others]
        _refuse_other_examples(root, trains[0], beside, listing, modality)
        _check_splits({folder: split for folder, split in splits.items() if split}, listing)
        classes = []
        for path in top:
            if splits[path]:
                place = _unwrapped(inside[path], listing)
                _warn_of_unused(place, listing)
                classes += [(inner, inner.name, splits[path]) for inner in place.folders]
        return _without_unlabelled(classes, listing, modality)
    filled = [inside[folder] for folder in top if has_files(inside[folder])]
    for folder in filled:
        if layout.is_unlabelled(folder.path.name):
            raise ValueError(
                f"data.path: {folder.path.name!r} would become a class; move it out of "
                f"{str(root)!r}, and set data.unlabelled to it if its {plain_nouns(modality)[1]} "
                "have no labels"
            )
    _refuse_hidden_splits(root, filled, modality)
    with_splits = [folder for folder in filled if folder.holds_splits]
    if with_splits:
        _refuse_some_with_splits(filled, with_splits)
        for folder in filled:
            _warn_of_unused(folder, listing)
        below = [(inner, folder.path.name) for folder in filled for inner in folder.folders]
        return [(inner, label, split_of(inner.name)) for inner, label in below]
    _warn_of_equal_names(filled, listing)
    return [(folder, folder.name, "") for folder in top]


def _without_unlabelled(classes: Classes, listing: Listing, modality: str) -> Classes:
    """Returns the class folders without a folder such as `train/unsup` that no other split has."""
    counts = Counter(label for _, label, _ in classes)
    kept = []
    for folder, label, split in classes:
        if layout.is_unlabelled(label) and counts[label] == 1:
            listing.warnings.append(_unlabelled(folder, listing.root, modality))
        else:
            kept.append((folder, label, split))
    return kept


def _unlabelled(folder: Path, root: Path, modality: str) -> str:
    """Returns a warning that a folder is not used because its name says that it lacks labels."""
    return (
        f"the folder {folder.relative_to(root).as_posix()!r} is not used, because its name says "
        f"that its {plain_nouns(modality)[1]} have no labels; the command parallel can use them: "
        "set data.unlabelled to this folder"
    )


def _unwrapped(folder: Folder, listing: Listing) -> Folder:
    """Returns the folder that has the class folders of a split.

    This is `folder`, the folder of the split. But while it contains nothing but one folder, and
    this inner folder nothing but folders, the inner folder takes its place.
    """
    place = folder
    while len(place.folders) == 1 and not place.files:
        inner = opened_class(place.folders[0])
        if not inner.folders or inner.files:
            break
        place = inner
    if place is not folder:
        name = place.path.relative_to(listing.root).as_posix()
        listing.warnings.append(f"the classes are the folders in {name}/: {names_of(place)}")
    return place


def _refuse_other_examples(
    root: Path, train: Path, others: list[Folder], listing: Listing, modality: str
) -> None:
    """Raises ValueError if a folder beside train/ has examples but is not a split.

    Only warns if none of its files can be an example.
    """
    examples = plain_nouns(modality)[1]
    for other in filter(has_files, others):
        name = other.path.name
        if layout.is_unlabelled(name):
            listing.warnings.append(_unlabelled(other.path, root, modality))
        elif may_hold_examples(other, modality):
            raise ValueError(
                f"data.path: {str(root)!r} has {name!r} beside {train.name}/, but {name!r} is not "
                "named after a split; expected either train/, val/ (or validation/) and test/ with "
                f"class folders inside, or only class folders; move or rename {name!r}, and set "
                f"data.unlabelled to it if its {examples} have no labels"
            )
        else:
            listing.warnings.append(f"the folder {name!r} has no {examples} and is not used")


def _check_splits(splits: dict[Path, str], listing: Listing) -> None:
    """Warns which folder is used as which split, unless this is clear from the folder names.

    Raises:
      ValueError: several folders would become val, or several would become test.
    """
    named = {split: [f.name for f in splits if splits[f] == split] for split in SPLITS}
    for split in ("val", "test"):
        if len(named[split]) > 1:
            raise ValueError(
                f"data.path: the folders {shortened(named[split])} would all become {split}; "
                "expected one folder for each split; rename or remove all but one"
            )
    if len(named["train"]) > 1 or any(f.name.lower() not in layout.PLAIN for f in splits):
        parts = [f"{split} is {shortened(names)}" for split, names in named.items() if names]
        parts += [f"{split} is carved from train" for split, names in named.items() if not names]
        listing.warnings.append(f"splits: {', '.join(parts)}")


def _refuse_hidden_splits(root: Path, filled: list[Folder], modality: str) -> None:
    """Raises ValueError if supposed class folders seem to be splits, or to contain the classes.

    If folders such as `images_train` and `images_test` were used as classes, the model would learn
    to tell the splits apart. If there is only one folder, and it contains several folders but no
    files, these inner folders may be the real class folders.
    """
    named = {folder.path.name: layout.splits_in(folder.path.name) for folder in filled}
    if named and all(named.values()) and len(set.union(*named.values())) > 1:
        inner = sorted(set.union(*(folder.names for folder in filled)))
        holding = f" and contain {shortened(inner)}" if inner else ""
        lacks_train = not any("train" in splits for splits in named.values())
        advice = "add train/" if lacks_train else "rename the folders"
        raise ValueError(
            f"data.path: the folders {shortened(list(named))} in {str(root)!r} are named after "
            f"splits{holding}; {SPLITS_EXPECTED}; {advice}"
        )
    if len(filled) == 1 and len(filled[0].folders) > 1 and not filled[0].files:
        (only,) = filled
        raise ValueError(
            f"data.path: {str(root)!r} has only the folder {only.path.name!r}, which contains the "
            f"folders {names_of(only)}; {_expected(modality)}; did you mean data.path "
            f"{str(only.path)!r}?"
        )


def _refuse_some_with_splits(filled: list[Folder], with_splits: list[Folder]) -> None:
    """Raises ValueError if some class folders contain split folders and others do not."""
    for other in filled:
        if other not in with_splits:
            first = with_splits[0]
            raise ValueError(
                f"data.path: {first.path.name!r} has the split folders {names_of(first)}, but "
                f"{other.path.name!r} has none; expected split folders in every class folder or in "
                "none"
            )


def _warn_of_equal_names(filled: list[Folder], listing: Listing) -> None:
    """Warns if class folders contain folders of equal names, which may be the real classes."""
    counts = Counter(name for folder in filled for name in folder.names)
    common = sorted(name for name, count in counts.items() if count > 1)
    nested = bool(filled) and all(folder.folders and not folder.files for folder in filled)
    if len(common) > 1 or common and nested:
        tops = shortened([folder.path.name for folder in filled])
        inner = shortened(common)
        listing.warnings.append(
            f"the folders {tops} are taken as the classes, but several of them contain {inner}; if "
            f"{inner} are the classes, merge the folders of the same name, or list the files in a "
            "CSV"
        )


def list_class(folder: Path, label: str, split: str, listing: Listing) -> None:
    """Adds every file in a class folder, at any depth, to `listing`: as usable or quarantined."""

    def unreadable(error: OSError) -> None:
        name = Path(error.filename).relative_to(listing.root).as_posix()
        reason = f"this folder cannot be read: {error.strerror}"
        listing.quarantined.append(Quarantined(printable(name), reason))

    for path, names in walk(folder, unreadable):
        for name in names:
            full = Path(path, name)
            file = full.relative_to(listing.root).as_posix()
            reason = refuse(full, listing.root)
            if layout.IN_CLOUD.fullmatch(name):
                reason = "the file is in iCloud and not on this machine; download it"
            if reason:
                listing.quarantined.append(Quarantined(printable(file), reason))
            else:
                listing.files.append(Listed(file, label, split))


def list_unlabelled(folder: Path) -> Listing:
    """Returns all files of a folder of any layout, without labels."""
    listing = Listing(folder, [])
    list_class(folder, "", "", listing)
    return listing


def _warn_of_empty(classes: Classes, listing: Listing) -> None:
    """Warns of class folders without usable files."""
    filled = {listed.label for listed in listing.files}
    empty = [
        entry for entry in classes if entry[1] not in filled and not _has_runs_or_caches(entry[0])
    ]
    if names := sorted({label for _, label, _ in empty}):
        listing.warnings.append(f"class folders without usable files: {shortened(names)}")


def _has_runs_or_caches(folder: Path) -> bool:
    return any(
        marks.is_ours(Path(path, name)) for path, folders, _ in os.walk(folder) for name in folders
    )
