"""Checks in parallel which files can be read, before all slow steps, and caches the results.

Each listed file is then either usable or quarantined, which means left out with a reason. The
modality, such as image, decides which files are usable.
"""

import hashlib
import io
import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

from tl_keras.data import contents
from tl_keras.modalities import part
from tl_keras.run.files import write_text
from tl_keras.run.progress import progress
from tl_keras.version import VERSION

MAX_BYTES = 1 << 30  # The largest file size: TensorFlow reads a file as a whole.
NUM_BYTES = 512  # How many bytes at the start of a file show its format.


def checks_of(settings: Any) -> ModuleType:
    """Returns the modality's module `check`. `settings` is the config section of the modality."""
    return part(settings.modality, "check")


def checked_by(settings: Any) -> list:
    """Returns the versions that a check depends on: of software, and of the fields of `Checked`.

    A cached check that was made with other versions is not used.
    """
    return [VERSION, *checks_of(settings).BY]


def check_all(
    root: Path, files: list[str], settings: Any, cache_folder: Path, with_hashes: bool = False
) -> dict[str, Any]:
    """Checks files; returns a dict from each file to its result.

    A file may also be a cell of a table, see `contents`. Unchanged files are not read again. Each
    result is a `Checked` of the modality. Its `reason` says why the file cannot be used; it is
    empty if the file can be used. Its `digest` is the SHA-256 of the content (hex).

    Args:
      settings: the config section of the modality.
      cache_folder: the folder with cached checks. A cached check is used if these are the same as
        before: the size of the file, its timestamps (mtime and ctime), and the setting that limits
        files, such as `image.max_pixels`.
      with_hashes: whether the results need perceptual hashes (`looks`), by which near-duplicates
        are found. Files whose cached check lacks them are read again.
    """
    cached = cache_folder / f"{hashlib.sha256(str(root).encode()).hexdigest()[:32]}.json"
    known, kind = _recall(cached, settings), checks_of(settings).Checked
    stamps = {file: _stamp(root / file, settings) for file in files}
    checked = {
        file: kind(**known[file][1])
        for file in files
        if file in known and known[file][0] == stamps[file]
    }
    if with_hashes:
        checked = {file: check for file, check in checked.items() if check.looks or check.reason}
    todo = [file for file in files if file not in checked]
    if todo:
        checked |= _check_in_parallel(root, todo, settings, with_hashes)
        # A file that could not be read has no digest and is not cached: it may be readable later.
        entries: dict[str, list[Any]]
        entries = {file: [stamps[file], asdict(checked[file])] for file in files}
        entries = {file: entry for file, entry in entries.items() if entry[1]["digest"]}
        by = checked_by(settings)
        write_text(cached, json.dumps({"by": by, "files": entries}))
    return {file: checked[file] for file in files}


def _check_in_parallel(
    root: Path, files: list[str], settings: Any, with_hashes: bool
) -> dict[str, Any]:
    with checks_of(settings).session(), ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda file: check(root / file, settings, with_hashes), files)
        bar = progress(results, "audit", len(files), " files")
        return dict(zip(files, bar, strict=True))


def _recall(cached: Path, settings: Any) -> dict:
    try:
        known = json.loads(cached.read_text(encoding="utf-8"))
        if known["by"] != checked_by(settings):
            return {}
        for _, checked in known["files"].values():
            checks_of(settings).Checked(**checked)
        return known["files"]
    # If the cache file is missing or damaged, the files are read again.
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _stamp(path: Path, settings: Any) -> list:
    try:
        status = contents.holder(path).stat()
    except OSError:
        return []
    # `st_ctime_ns` too: a copy may keep the size and modification time of an older file.
    times = [status.st_mtime_ns, status.st_ctime_ns]
    return [status.st_size, *times, checks_of(settings).bound(settings)]


def check(path: Path, settings: Any, with_hashes: bool = False) -> Any:
    """Checks a file and returns its `Checked`, see `check_all`. Bad files do not raise an error.

    Args:
      path: the path of a file, or the address of a cell, see `contents`.
    """
    digest, start, checks = "", b"", checks_of(settings)
    try:
        if contents.holder(path) != path:
            return check_content(contents.read(path), settings, with_hashes, "empty cell")
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            return checks.Checked(reason="not a regular file")
        if status.st_size == 0:
            return checks.Checked(reason="empty file")
        if status.st_size > MAX_BYTES:
            return checks.Checked(
                reason=f"too large: {status.st_size} bytes; the limit is {MAX_BYTES}"
            )
        digest, start = _digest(path)
        return checks.read(path, path.read_bytes, digest, settings, with_hashes)
    # Decoders raise any exception on damaged or hostile bytes, and each means a bad file.
    except Exception as error:
        return _refused(checks, digest, start, error)


def check_content(
    content: bytes, settings: Any, with_hashes: bool = False, empty: str = "empty file"
) -> Any:
    """Returns the result of `check` for the content of a file that is already in memory.

    Args:
      empty: the reason for leaving out an empty content.
    """
    digest, checks = hashlib.sha256(content).hexdigest(), checks_of(settings)
    try:
        if not content:
            return checks.Checked(digest, reason=empty)
        return checks.read(io.BytesIO(content), lambda: content, digest, settings, with_hashes)
    except Exception as error:  # As in `check`.
        return _refused(checks, digest, content[:NUM_BYTES], error)


def _refused(checks: ModuleType, digest: str, start: bytes, error: Exception) -> Any:
    # Without the digest the check is not cached: memory or disk may be available next time.
    if isinstance(error, MemoryError):
        return checks.Checked(reason="does not fit into memory")
    if (
        isinstance(error, OSError) and error.errno
    ):  # Errors of the system have an errno, those of decoders do not.
        return checks.Checked(reason=f"cannot be read: {error.strerror}")
    return checks.Checked(digest, reason=checks.blame(start, error)[:200])


def _digest(path: Path) -> tuple[str, bytes]:
    """Returns two values: the SHA-256 (hex) of a file, and the first `NUM_BYTES` bytes of it."""
    with path.open("rb") as stream:
        start = stream.read(NUM_BYTES)
        stream.seek(0)
        return hashlib.file_digest(stream, "sha256").hexdigest(), start
