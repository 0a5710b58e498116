"""Class folders as a source: what is labelled how, before any file is read, without TensorFlow.

Class folders are the usual name of the layout: a folder's name is the label of the files below it,
whatever the task.
"""

import os
from collections import Counter
from pathlib import Path

from tl_keras.config.paths import ARCHIVES
from tl_keras.config.whole import RunConfig
from tl_keras.data.examples import SPLITS, Listed, Listing, Quarantined
from tl_keras.data.paths import LINKED_FOLDER, printable, refuse
from tl_keras.data.sources import layout
from tl_keras.data.sources.layout import split_of
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

SPLITS_EXPECTED = "expected train/, and maybe val/ and test/, with one folder a class in each"


def _expected(modality: str) -> str:
    inside = nouns(modality)[1]
    return f"expected one folder a class, as in ants/ and bees/, with {inside} inside"


def list_folder(config: RunConfig) -> Listing:
    """Class folders, with or without folders of splits above them or below them.

    Raises:
      ValueError: the folder is missing, unreadable or empty, or its layout can be read in two ways.
    """
    root, modality = Path(config.data.path), config.modality
    expected = _expected(modality)
    if marks.is_ours(root):
        raise ValueError(f"data.path: {str(root)!r} is a run or a cache of tl_keras; {expected}")
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
            f"data.path: {str(root)!r} has one folder of {plain_nouns(modality)[1]}, "
            f"{classes[0][1]!r}; {expected}{hint}"
        )
    _warn_of_empty(classes, listing)
    return listing


def _hint(top: "Folder", listing: Listing) -> str:
    """What there is in the place of class folders, for the message."""
    for entry in listing.quarantined[:1]:
        return f"; {entry.file!r} is {entry.reason}"
    if archives := [name for name in top.files if name.lower().endswith(ARCHIVES)]:
        return f"; unpack {archives[0]!r} first"
    return _table_hint(top)


def _table_hint(top: "Folder") -> str:
    """That a CSV file beside the folders may be the list of their labels."""
    files = [name for name in top.files if name.lower().endswith(".csv")]
    return f"; if {files[0]!r} lists the labels, name this file instead" if files else ""


def _warn_of_unused(folder: Folder, listing: Listing) -> None:
    """Mentions files and links that lie beside the class folders of a folder."""
    inside = folder.path.relative_to(listing.root)
    for name in folder.links:
        file = printable((inside / name).as_posix())
        listing.quarantined.append(Quarantined(file, LINKED_FOLDER))
    if not folder.files:
        return
    where = "" if folder.path == listing.root else f" of {inside.as_posix()}/"
    if len(folder.files) == 1:
        message = f"{folder.files[0]!r}{where} lies in no class folder and is not used"
    else:
        message = (
            f"{len(folder.files)} files{where} lie in no class folder and are not used: "
            f"{shortened(folder.files)}"
        )
    if any(name.lower().endswith(ARCHIVES) for name in folder.files):
        message += "; archives are to be unpacked"
    listing.warnings.append(message)


Classes = list[tuple[Path, str, str]]  # Folder, class, split ("": to be carved).


def _classes(root: Path, top: list[Path], listing: Listing, modality: str) -> Classes:
    """Which folders are of which class and split.

    Raises:
      ValueError: the layout can be read in two ways, or a folder of a split cannot be read.
    """
    splits = {folder: split_of(folder.name) for folder in top}
    inside = {folder: (opened if splits[folder] else opened_class)(folder) for folder in top}
    # A folder for runs of ours, as runs/ is, may hold a log beside them.
    top = [f for f in top if may_hold_examples(inside[f], modality) or not _holds_our_own(f)]
    others = [folder for folder in top if not splits[folder]]
    trains = [folder for folder in top if splits[folder] == "train"]
    if trains and (not others or any(inside[folder].folders for folder in trains)):
        beside = [inside[folder] for folder in others]
        _settle_others(root, trains[0], beside, listing, modality)
        _settle_splits({folder: split for folder, split in splits.items() if split}, listing)
        found = []
        for path in top:
            if splits[path]:
                place = _unwrapped(inside[path], listing)
                _warn_of_unused(place, listing)
                found += [(own, own.name, splits[path]) for own in place.folders]
        return found
    filled = [inside[folder] for folder in top if has_files(inside[folder])]
    for folder in filled:
        if layout.is_unlabelled(folder.path.name):
            raise ValueError(
                f"data.path: {folder.path.name!r} would be a class; move it out of {str(root)!r}: "
                f"data.unlabelled takes {plain_nouns(modality)[1]} without labels"
            )
    _refuse_hidden_splits(root, filled, modality)
    with_splits = [folder for folder in filled if folder.holds_splits]
    if with_splits:
        _refuse_some_with_splits(filled, with_splits)
        for folder in filled:
            _warn_of_unused(folder, listing)
        below = [(own, folder.path.name) for folder in filled for own in folder.folders]
        return [(own, label, split_of(own.name)) for own, label in below]
    _warn_of_equal_names(filled, listing)
    return [(folder, folder.name, "") for folder in top]


def _unwrapped(folder: Folder, listing: Listing) -> Folder:
    """The folder of a split, or one inside that alone holds its classes, as train/images/."""
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


def _settle_others(
    root: Path, train: Path, others: list[Folder], listing: Listing, modality: str
) -> None:
    """Raises ValueError where examples lie beside train/ in a folder that is not a split; warns of
    folders without examples."""
    examples = plain_nouns(modality)[1]
    for other in filter(has_files, others):
        name = other.path.name
        if may_hold_examples(other, modality):
            raise ValueError(
                f"data.path: {name!r} stands beside {train.name}/, which holds folders, in "
                f"{str(root)!r}; expected only train/, val/ (or validation/) and test/, or only "
                f"class folders: move or rename {name!r}; data.unlabelled takes {examples} "
                "without labels"
            )
        listing.warnings.append(f"{name!r} holds no {examples} and is not used")


def _settle_splits(splits: dict[Path, str], listing: Listing) -> None:
    """Says which folders are taken for splits, unless their names leave no doubt.

    Raises:
      ValueError: two folders are one split to be measured on.
    """
    named = {split: [f.name for f in splits if splits[f] == split] for split in SPLITS}
    for split in ("val", "test"):
        if len(named[split]) > 1:
            raise ValueError(
                f"data.path: {shortened(named[split])} would all be {split}; expected one folder "
                "for each split: rename or remove the others"
            )
    if len(named["train"]) > 1 or any(f.name.lower() not in layout.PLAIN for f in splits):
        told = [f"{split} is {shortened(own)}" for split, own in named.items() if own]
        told += [f"{split} is carved from train" for split, own in named.items() if not own]
        listing.warnings.append(f"splits: {', '.join(told)}")


def _refuse_hidden_splits(root: Path, filled: list[Folder], modality: str) -> None:
    """Raises ValueError where the top folders are splits by name, or one folder holds all others:
    as classes, a model would learn the split."""
    named = {folder.path.name: layout.splits_in(folder.path.name) for folder in filled}
    if named and all(named.values()) and len(set.union(*named.values())) > 1:
        inner = sorted(set.union(*(folder.names for folder in filled)))
        holding = f" and hold {shortened(inner)}" if inner else ""
        lacks_train = not any("train" in own for own in named.values())
        advice = "add train/" if lacks_train else "rename them"
        raise ValueError(
            f"data.path: the folders of {str(root)!r}, {shortened(list(named))}, are named after "
            f"splits{holding}; {SPLITS_EXPECTED}: {advice}"
        )
    if len(filled) == 1 and len(filled[0].folders) > 1 and not filled[0].files:
        (only,) = filled
        raise ValueError(
            f"data.path: {str(root)!r} has one folder, {only.path.name!r}, with the folders "
            f"{names_of(only)} in it; {_expected(modality)}: as with data.path "
            f"{str(only.path)!r}"
        )


def _refuse_some_with_splits(filled: list[Folder], with_splits: list[Folder]) -> None:
    """Raises ValueError where some class folders hold splits and others do not."""
    for other in filled:
        if other not in with_splits:
            first = with_splits[0]
            raise ValueError(
                f"data.path: {first.path.name!r} holds {names_of(first)}, and "
                f"{other.path.name!r} does not; expected splits in every class folder or in none"
            )


def _warn_of_equal_names(filled: list[Folder], listing: Listing) -> None:
    """Warns of folders of one name below several class folders: these may be the classes."""
    counts = Counter(name for folder in filled for name in folder.names)
    common = sorted(name for name, count in counts.items() if count > 1)
    nested = bool(filled) and all(folder.folders and not folder.files for folder in filled)
    if len(common) > 1 or common and nested:
        tops = shortened([folder.path.name for folder in filled])
        listing.warnings.append(
            f"the classes are the folders {tops}; {shortened(common)} stand in several of them: if "
            "those are the classes, merge the folders of one name, or list the files in a CSV"
        )


def list_class(folder: Path, label: str, split: str, listing: Listing) -> None:
    """Adds every file below a class folder, at any depth."""

    def unreadable(error: OSError) -> None:
        name = Path(error.filename).relative_to(listing.root).as_posix()
        reason = f"a folder that cannot be read: {error.strerror}"
        listing.quarantined.append(Quarantined(printable(name), reason))

    for path, names in walk(folder, unreadable):
        for name in names:
            full = Path(path, name)
            file = full.relative_to(listing.root).as_posix()
            reason = refuse(full, listing.root)
            if layout.IN_CLOUD.fullmatch(name):
                reason = "it is in iCloud and not on this machine: download it"
            if reason:
                listing.quarantined.append(Quarantined(printable(file), reason))
            else:
                listing.files.append(Listed(file, label, split))


def list_unlabelled(folder: Path) -> Listing:
    """All files of a folder of any layout, without labels."""
    listing = Listing(folder, [])
    list_class(folder, "", "", listing)
    return listing


def _warn_of_empty(classes: Classes, listing: Listing) -> None:
    """Warns of class folders without usable files."""
    filled = {listed.label for listed in listing.files}
    empty = [own for own in classes if own[1] not in filled and not _holds_our_own(own[0])]
    if names := sorted({label for _, label, _ in empty}):
        listing.warnings.append(f"class folders without usable files: {shortened(names)}")


def _holds_our_own(folder: Path) -> bool:
    return any(
        marks.is_ours(Path(path, name)) for path, folders, _ in os.walk(folder) for name in folders
    )
