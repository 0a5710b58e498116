"""Which files can be read: found in parallel before anything slow, and remembered.

Every listed file ends up as a checked one or quarantined with its reason. What a file has to hold,
its modality knows.
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

from tl_keras.modalities import part
from tl_keras.run.files import write_text
from tl_keras.run.progress import progress
from tl_keras.version import VERSION

MAX_BYTES = 1 << 30  # of a file, which TensorFlow reads whole
NUM_BYTES = 512  # the first ones of a file, which say what it is


def checks_of(settings: Any) -> ModuleType:
    """What knows the files of a modality, by the section of the config that is named after it."""
    return part(settings.modality, "check")


def checked_by(settings: Any) -> list:
    """What a remembered check rests on, beside the file."""
    return [VERSION, *checks_of(settings).BY]


def check_all(
    root: Path, files: list[str], settings: Any, memory: Path, looks: bool = False
) -> dict[str, Any]:
    """Every file's content, checked; what has not changed since the last time is not read again.

    Each result is a `Checked` of the modality: `reason` says why the file cannot be used, and is
    empty if it can; `digest` is the SHA-256 of the content in hex.

    Args:
      settings: the section of the examples' modality.
      memory: folder that remembers; a file's size, its times of change and the bound must be equal.
      looks: whether to find what near-duplicates are known by, for which a file without is read
        again.
    """
    remembered = memory / f"{hashlib.sha256(str(root).encode()).hexdigest()[:32]}.json"
    known, kind = _recall(remembered, settings), checks_of(settings).Checked
    stamps = {file: _stamp(root / file, settings) for file in files}
    checked = {
        file: kind(**known[file][1])
        for file in files
        if file in known and known[file][0] == stamps[file]
    }
    if looks:
        checked = {file: own for file, own in checked.items() if own.looks or own.reason}
    todo = [file for file in files if file not in checked]
    if todo:
        checked |= _check_in_parallel(root, todo, settings, looks)
        # A file that could not be read has no digest: next time it may be readable.
        entries: dict[str, list[Any]]
        entries = {file: [stamps[file], asdict(checked[file])] for file in files}
        entries = {file: entry for file, entry in entries.items() if entry[1]["digest"]}
        by = checked_by(settings)
        write_text(remembered, json.dumps({"by": by, "files": entries}))
    return {file: checked[file] for file in files}


def _check_in_parallel(root: Path, files: list[str], settings: Any, looks: bool) -> dict[str, Any]:
    with checks_of(settings).session(), ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda file: check(root / file, settings, looks), files)
        bar = progress(results, "audit", len(files), " files")
        return dict(zip(files, bar, strict=True))


def _recall(remembered: Path, settings: Any) -> dict:
    try:
        known = json.loads(remembered.read_text(encoding="utf-8"))
        if known["by"] != checked_by(settings):
            return {}
        for _, checked in known["files"].values():
            checks_of(settings).Checked(**checked)
        return known["files"]
    # None yet, or damaged: the files are read again.
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _stamp(path: Path, settings: Any) -> list:
    try:
        status = os.stat(path)
    except OSError:
        return []
    # `st_ctime_ns` too: a copy may bring an older file's size and time with it.
    times = [status.st_mtime_ns, status.st_ctime_ns]
    return [status.st_size, *times, checks_of(settings).bound(settings)]


def check(path: Path, settings: Any, looks: bool = False) -> Any:
    """Reads one file: its digest, and whether it decodes whole. Never raises for a bad file."""
    digest, start, checks = "", b"", checks_of(settings)
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            return checks.Checked(reason="not a regular file")
        if status.st_size == 0:
            return checks.Checked(reason="empty file")
        if status.st_size > MAX_BYTES:
            return checks.Checked(reason=f"{status.st_size} bytes is over {MAX_BYTES}")
        digest, start = _digest(path)
        return checks.read(path, path.read_bytes, digest, settings, looks)
    # Decoders raise anything on hostile bytes, and all of it means the same.
    except Exception as error:
        return _refused(checks, digest, start, error)


def check_content(content: bytes, settings: Any) -> Any:
    """`check` of what a file would hold."""
    digest, checks = hashlib.sha256(content).hexdigest(), checks_of(settings)
    try:
        if not content:
            return checks.Checked(digest, reason="empty file")
        return checks.read(io.BytesIO(content), lambda: content, digest, settings, False)
    except Exception as error:  # As above.
        return _refused(checks, digest, content[:NUM_BYTES], error)


def _refused(checks: ModuleType, digest: str, start: bytes, error: Exception) -> Any:
    # The first two without the digest: it may be better the next time.
    if isinstance(error, MemoryError):
        return checks.Checked(reason="takes more memory than there is")
    if isinstance(error, OSError) and error.errno:  # The system's; a decoder's own have none.
        return checks.Checked(reason=f"cannot be read: {error.strerror}")
    return checks.Checked(digest, reason=checks.blame(start, error)[:200])


def _digest(path: Path) -> tuple[str, bytes]:
    """SHA-256 in hex, and the first bytes."""
    with path.open("rb") as stream:
        start = stream.read(NUM_BYTES)
        stream.seek(0)
        return hashlib.file_digest(stream, "sha256").hexdigest(), start
