"""Class folders as a source: what is labelled how, before any file is read, without TensorFlow."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tl_keras.config import ARCHIVES, DataConfig
from tl_keras.data import layout
from tl_keras.data.examples import Listed, Listing, Quarantined
from tl_keras.data.layout import some, split_of
from tl_keras.data.paths import LINKED_FOLDER, printable, refuse

EXPECTED = "expected one folder a class, as in ants/ and bees/, with images inside"
SPLITS_EXPECTED = "expected train/, and maybe val/ and test/, with one folder a class in each"


def list_folder(config: DataConfig) -> Listing:
    """Class folders, with or without folders of splits above them or below them.

    Raises:
      ValueError: the folder is missing, unreadable or empty, or its layout can be read in two ways.
    """
    root = Path(config.path)
    if layout.is_our_own(root):
        raise ValueError(f"data.path: {str(root)!r} is a run or a cache of tl_keras; {EXPECTED}")
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise ValueError(f"data.path: {str(root)!r} {what}; expected a folder of class folders")
    listing = Listing(root, [])
    try:
        top = _open(root)
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
        raise ValueError(f"data.path: {str(root)!r} {reason}") from None
    _tell(top, listing)
    if not top.folders:
        raise ValueError(
            f"data.path: {str(root)!r} has no class folders; {EXPECTED}{_instead(top, listing)}"
        )
    classes = _classes(root, top.folders, listing)
    for folder, label, split in classes:
        list_class(folder, label, split, listing)
    if not listing.files and not listing.quarantined:
        raise ValueError(
            f"data.path: {str(root)!r} has no files in class folders; {EXPECTED}"
            + "".join(f"; {warning}" for warning in listing.warnings[:1])
        )
    _warn_of_empty(classes, listing)
    return listing


def _instead(top: "_Folder", listing: Listing) -> str:
    """What there is in the place of class folders, for the message."""
    for entry in listing.quarantined[:1]:
        return f"; {entry.file!r} is {entry.reason}"
    archives = [name for name in top.files if name.lower().endswith(ARCHIVES)]
    return f"; unpack {archives[0]!r} first" if archives else ""


@dataclass
class _Folder:
    """What lies directly in a folder, in order of names; what is passed over is not in it.

    Attributes:
      own: names of folders that are runs or caches of ours.
    """

    path: Path
    folders: list[Path] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    own: list[str] = field(default_factory=list)

    @property
    def names(self) -> set[str]:
        """Of its folders."""
        return {folder.name for folder in self.folders}


def _open(path: Path) -> _Folder:
    found = _Folder(path)
    for entry in sorted(os.scandir(path), key=lambda entry: entry.name):
        if layout.is_passed_over(entry.name):
            continue
        if entry.is_dir(follow_symlinks=False):
            place = Path(entry.path)
            if layout.is_our_own(place):
                found.own.append(entry.name)
            else:
                found.folders.append(place)
        elif entry.is_symlink() and os.path.isdir(entry.path):  # A loop of links is none.
            found.links.append(entry.name)
        else:
            found.files.append(entry.name)
    return found


def _looked_into(path: Path) -> _Folder:
    """What lies in a folder; nothing where it cannot be read, which `list_class` will say."""
    try:
        return _open(path)
    except OSError:
        return _Folder(path)


def _tell(found: _Folder, listing: Listing) -> None:
    """Mentions what lies beside the folders of a folder and is not used."""
    inside = found.path.relative_to(listing.root)
    for name in found.links:
        listing.quarantined.append(
            Quarantined(printable((inside / name).as_posix()), LINKED_FOLDER)
        )
    if not found.files:
        return
    where = "" if found.path == listing.root else f" of {inside.as_posix()}/"
    if len(found.files) == 1:
        told = f"{found.files[0]!r}{where} lies in no class folder and is not used"
    else:
        told = (
            f"{len(found.files)} files{where} lie in no class folder and are not used: "
            f"{some(found.files)}"
        )
    archives = [name for name in found.files if name.lower().endswith(ARCHIVES)]
    listing.warnings.append(f"{told}; archives are to be unpacked" if archives else told)


Classes = list[tuple[Path, str, str]]  # Folder, class, split ("": to be carved).


def _classes(root: Path, top: list[Path], listing: Listing) -> Classes:
    """Which folders are of which class and split.

    Raises:
      ValueError: that can be read in two ways.
    """
    splits = {folder: split_of(folder.name) for folder in top}
    others = [folder for folder in top if not splits[folder]]
    inside = {folder: _looked_into(folder) for folder in top}
    trains = [folder for folder in top if splits[folder] == "train"]
    if trains and (not others or any(inside[folder].folders for folder in trains)):
        others = [folder for folder in others if _has_files(folder)]
        if others:
            raise ValueError(
                f"data.path: {others[0].name!r} stands beside {trains[0].name}/, which holds "
                f"folders, in {str(root)!r}; expected only train/, val/ (or validation/) and "
                "test/, or only class folders: move or rename one of the two"
            )
        found = []
        for folder in top:
            if splits[folder]:
                _tell(inside[folder], listing)
                found += [(own, own.name, splits[folder]) for own in inside[folder].folders]
        return found
    _refuse_hidden_splits(root, top, inside)
    if _holds_splits(inside):
        below = [(own, folder) for folder in top for own in inside[folder].folders]
        return [(own, folder.name, split_of(own.name)) for own, folder in below]
    common = layout.shared(own.names for own in inside.values())
    if len(common) > 1:
        listing.warnings.append(
            f"folders of the same names, {some(common)}, stand in several of "
            f"{some([folder.name for folder in top])}: the latter are taken for the classes; if "
            "the former are, put those of one name into one folder, or list the files in a CSV"
        )
    return [(folder, folder.name, "") for folder in top]


def _refuse_hidden_splits(root: Path, top: list[Path], inside: dict[Path, _Folder]) -> None:
    """Raises ValueError where folders that look like classes are none: a model would learn to tell
    splits apart."""
    named = {folder.name: layout.splits_in(folder.name) for folder in top}
    if all(named.values()) and len(set.union(*named.values())) > 1:
        missing = "" if any("train" in own for own in named.values()) else ", and none to train on"
        inner = sorted(set.union(*(inside[folder].names for folder in top)))
        holding = f", which hold {some(inner)}" if inner else ""
        raise ValueError(
            f"data.path: the folders of {str(root)!r}, {some(list(named))}, are named after "
            f"splits{missing}{holding}; {SPLITS_EXPECTED}: rename them"
        )
    if len(top) == 1 and len(inside[top[0]].folders) > 1 and not inside[top[0]].files:
        raise ValueError(
            f"data.path: {str(root)!r} has one folder, {top[0].name!r}, with the folders "
            f"{some(sorted(inside[top[0]].names))} in it; {EXPECTED}: as with data.path "
            f"{str(top[0])!r}"
        )


def _holds_splits(inside: dict[Path, _Folder]) -> bool:
    """Whether every class folder holds splits and nothing else, train among them."""
    return all(
        own.folders
        and not own.files
        and all(map(split_of, own.names))
        and "train" in map(split_of, own.names)
        for own in inside.values()
    )


def _has_files(folder: Path) -> bool:
    return any(names for _, names in _walk(folder))


def _walk(
    folder: Path, unreadable: Callable[[OSError], None] | None = None
) -> Iterator[tuple[str, list[str]]]:
    """Each folder at any depth with its files, and links to folders, in order of names."""
    for path, folders, files in os.walk(folder, onerror=unreadable):
        folders[:] = sorted(
            name
            for name in folders
            if not layout.is_passed_over(name) and not layout.is_our_own(Path(path, name))
        )
        links = [name for name in folders if os.path.islink(os.path.join(path, name))]
        names = [name for name in sorted(files) if not layout.is_passed_over(name)]
        names += [name for name in files if layout.IN_CLOUD.fullmatch(name)]
        yield path, names + links


def list_class(folder: Path, label: str, split: str, listing: Listing) -> None:
    """Adds every file below a class folder, at any depth."""

    def unreadable(error: OSError) -> None:
        name = Path(error.filename).relative_to(listing.root).as_posix()
        reason = f"a folder that cannot be read: {error.strerror}"
        listing.quarantined.append(Quarantined(printable(name), reason))

    for path, names in _walk(folder, unreadable):
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


def _warn_of_empty(classes: Classes, listing: Listing) -> None:
    """Names folders that are no classes, since they have no files: somebody may wait for one."""
    filled = {listed.label for listed in listing.files}
    empty = [own for own in classes if own[1] not in filled and not _holds_our_own(own[0])]
    if names := sorted({label for _, label, _ in empty}):
        listing.warnings.append(f"not among the classes, since no file is usable: {some(names)}")


def _holds_our_own(folder: Path) -> bool:
    return any(
        layout.is_our_own(Path(path, name))
        for path, folders, _ in os.walk(folder)
        for name in folders
    )
