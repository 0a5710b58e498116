"""Files that are whole or not there: written beside their place, then renamed."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


TEMPORARY = ".tmp-"  # How names of unfinished files begin; a kill leaves them behind.


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; renamed onto it at the end, removed if the body raises."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The whole name at the end: Keras goes by endings such as `.weights.h5`.
    handle, name = tempfile.mkstemp(prefix=TEMPORARY, suffix=f".{path.name}", dir=path.parent)
    os.close(handle)
    try:
        yield Path(name)
        os.chmod(name, 0o666 & ~_umask())  # mkstemp gives 0600.
        os.replace(name, path)
    finally:
        if os.path.exists(name):
            os.remove(name)


def remove_unfinished(folder: Path, ending: str = "") -> None:
    """Removes what a killed process left; the caller holds the lock of the folder or file."""
    for path in folder.glob(f"{TEMPORARY}*{ending}"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Replaces the file's content as a whole."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Replaces the file's content; NaN is refused, since JSON has none."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
