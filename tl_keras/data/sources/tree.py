"""What one folder holds, as the sources of class folders see it."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tl_keras.data.sources import layout
from tl_keras.data.sources.layout import split_of
from tl_keras.data.sources.walking import walk
from tl_keras.data.wording import shortened
from tl_keras.modalities import part
from tl_keras.run import marks


@dataclass
class Folder:
    """What lies directly in a folder, in order of names, without what is passed over."""

    path: Path
    folders: list[Path] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)

    @property
    def names(self) -> set[str]:
        """Of its folders."""
        return {folder.name for folder in self.folders}

    @property
    def holds_splits(self) -> bool:
        """Whether all its folders are splits, train among them."""
        splits = set(map(split_of, self.names))
        return "train" in splits and "" not in splits


def opened(path: Path) -> Folder:
    found = Folder(path)
    try:
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
        raise ValueError(f"data.path: {str(path)!r} {reason}") from None
    for entry in entries:
        if layout.is_passed_over(entry.name):
            continue
        if entry.is_dir(follow_symlinks=False):
            if not marks.is_ours(Path(entry.path)):
                found.folders.append(Path(entry.path))
        elif entry.is_symlink() and os.path.isdir(entry.path):  # A loop of links is not a folder.
            found.links.append(entry.name)
        else:
            found.files.append(entry.name)
    return found


def opened_class(path: Path) -> Folder:
    """As `opened`; empty where the folder cannot be read, which `list_class` will say."""
    try:
        return opened(path)
    except ValueError:
        return Folder(path)


def names_of(folder: Folder) -> str:
    return shortened(sorted(folder.names))


def has_files(folder: Folder) -> bool:
    return bool(folder.files) or any(names for _, names in walk(folder.path))


def may_hold_examples(folder: Folder, modality: str) -> bool:
    # First what is known: a class folder is seldom deep, and may hold a million files.
    return _may_be_examples(folder.files, modality) or any(
        _may_be_examples(names, modality) for _, names in walk(folder.path)
    )


def _may_be_examples(names: Iterable[str], modality: str) -> bool:
    """Whether any of some files may be an example, by its suffix."""
    others = part(modality, "config").OTHER_SUFFIXES
    return any(os.path.splitext(name)[1].lower() not in others for name in names)
