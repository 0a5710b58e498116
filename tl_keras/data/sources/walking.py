"""Walks through a folder and all folders below it, in order of names."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from tl_keras.data.sources import layout
from tl_keras.run import marks


def walk(
    folder: Path, unreadable: Callable[[OSError], None] | None = None
) -> Iterator[tuple[str, list[str]]]:
    """Yields `folder` and each folder below it, with the names of its files and folder links.

    Folders of tl_keras and names such as `.git` or `Thumbs.db` are ignored.

    Args:
      unreadable: is called with the error if a folder cannot be read.
    """
    for path, folders, files in os.walk(folder, onerror=unreadable):
        folders[:] = sorted(
            name
            for name in folders
            if not layout.is_passed_over(name) and not marks.is_ours(Path(path, name))
        )
        links = [name for name in folders if os.path.islink(os.path.join(path, name))]
        names = [name for name in sorted(files) if not layout.is_passed_over(name)]
        names += [name for name in files if layout.IN_CLOUD.fullmatch(name)]
        yield path, names + links
