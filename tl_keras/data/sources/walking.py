"""Walks through a folder in order of names."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from tl_keras.data.sources import layout
from tl_keras.run import marks


def walk(
    folder: Path, unreadable: Callable[[OSError], None] | None = None
) -> Iterator[tuple[str, list[str]]]:
    """Yields each folder at any depth with the names of its files and links to folders."""
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
