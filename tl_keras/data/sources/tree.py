"""Lists the content of a single folder, to recognise class folders and split folders."""

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
    """The folders, files and folder links that lie directly in a folder, in order of their names.

    Ignored names, see `layout.is_passed_over`, and folders of tl_keras are left out.
    """

    path: Path
    folders: list[Path] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)

    @property
    def names(self) -> set[str]:
        """The names of the folders in this folder."""
        return {folder.name for folder in self.folders}

    @property
    def holds_splits(self) -> bool:
        """Whether all folders in this folder are named after splits, one of them after train."""
        splits = set(map(split_of, self.names))
        return "train" in splits and "" not in splits


def opened(path: Path) -> Folder:
    """Returns the content of a folder.

    Raises:
      ValueError: the folder cannot be read.
    """
    folder = Folder(path)
    try:
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except OSError as error:
        raise ValueError(f"data.path: {str(path)!r} cannot be read: {error.strerror}") from None
    for entry in entries:
        if layout.is_passed_over(entry.name):
            continue
        if entry.is_dir(follow_symlinks=False):
            if not marks.is_ours(Path(entry.path)):
                folder.folders.append(Path(entry.path))
        elif entry.is_symlink() and os.path.isdir(entry.path):  # False for a loop of links.
            folder.links.append(entry.name)
        else:
            folder.files.append(entry.name)
    return folder


def opened_class(path: Path) -> Folder:
    """Returns the content of a folder; an empty `Folder` if the folder cannot be read.

    `list_class` later quarantines a folder that cannot be read.
    """
    try:
        return opened(path)
    except ValueError:
        return Folder(path)


def names_of(folder: Folder) -> str:
    """Returns the names of the folders in a folder, shortened for a message."""
    return shortened(sorted(folder.names))


def has_files(folder: Folder) -> bool:
    """Returns whether a folder, or any folder below it, has files."""
    return bool(folder.files) or any(names for _, names in walk(folder.path))


def may_hold_examples(folder: Folder, modality: str) -> bool:
    """Returns whether any file in a folder, at any depth, has a suffix that an example may have."""
    # The files that are listed already come first: a class folder may hold a million files.
    return _may_be_examples(folder.files, modality) or any(
        _may_be_examples(names, modality) for _, names in walk(folder.path)
    )


def _may_be_examples(names: Iterable[str], modality: str) -> bool:
    """Returns whether any of the file names has a suffix that an example may have."""
    others = part(modality, "config").OTHER_SUFFIXES
    return any(os.path.splitext(name)[1].lower() not in others for name in names)
