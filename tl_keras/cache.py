"""Arrays that are kept on disk between runs, under a key that says what they are.

`arrays/KEY.npy` is memory-mapped; `arrays/KEY.json` beside it, written last, says what it
holds and its checksum. An entry without it, or that does not match it, is computed again.
"""

import contextlib
import hashlib
import json
import os
import shutil
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from filelock import FileLock, Timeout

from tl_keras.config import CacheConfig
from tl_keras.files import TEMPORARY, remove_unfinished, replacing, write_json

CHUNK = 1 << 24  # bytes
HEADER = 128  # bytes of a .npy file before its numbers
UNFINISHED = "unfinished"  # The kind of an array that has no record.


@dataclass(frozen=True)
class Entry:
    """One array of the cache, as `tl-keras cache` lists it."""

    key: str
    kind: str  # as in "features of MobileNetV2 at block_12_add"
    bytes: int
    used: float  # seconds since the epoch


@dataclass(frozen=True)
class Kept:
    """An array and how it came: from disk, or computed just now in `seconds`."""

    array: np.ndarray
    cached: bool
    seconds: float


def folder(config: CacheConfig) -> Path:
    """Where the cache is: `cache.path`, else the user's cache folder of this platform."""
    return Path(config.path or platformdirs.user_cache_dir("tl_keras", appauthor=False))


def keep(
    config: CacheConfig,
    key: dict[str, Any],
    shape: tuple[int, ...],
    dtype: type,
    compute: Callable[[np.ndarray], None],
) -> Kept:
    """The array of `key`, memory-mapped read-only; `compute` fills it when there is none yet.

    Two processes may ask for the same key: one computes, the other waits and reads. An array
    that cannot fit into `cache.max_bytes` is computed in memory and not kept.

    Args:
      key: plain JSON values; `kind` names the array for people.
      compute: fills an array of the given shape and dtype in place, to the same values each time.
    """
    started = time.monotonic()
    size = HEADER + int(np.prod(shape)) * np.dtype(dtype).itemsize
    if size > config.max_bytes:
        array = np.empty(shape, dtype)
        compute(array)
        return Kept(array, False, time.monotonic() - started)
    path = folder(config) / "arrays" / f"{_digest(key)}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        array = _open(path, shape, dtype)
        if cached := array is not None:
            os.utime(path)
        else:
            remove_unfinished(path.parent, path.name)
            make_room(config, size)
            _check_disk(path.parent, size)
            _write(path, key, (shape, dtype), compute)
            array = np.load(path, mmap_mode="r")
    return Kept(array, cached, time.monotonic() - started)


def _digest(key: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:40]


def _open(path: Path, shape: tuple[int, ...], dtype: type) -> np.ndarray | None:
    """The array if it is whole, else None."""
    try:
        # First the checksum: NumPy need not read what is damaged.
        if _record(path)["crc32"] != _checksum(path):
            return None
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, KeyError):
        return None
    return array if array.shape == shape and array.dtype == dtype else None


def _record(path: Path) -> dict[str, Any]:
    """What `path`'s JSON says. Raises OSError or ValueError where there is none that is whole."""
    record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    if not isinstance(record, dict) or not isinstance(record.get("key"), dict):
        raise ValueError(f"{path.with_suffix('.json')} is damaged")
    return record


def _write(
    path: Path,
    key: dict[str, Any],
    layout: tuple[tuple[int, ...], type],
    compute: Callable[[np.ndarray], None],
) -> None:
    path.with_suffix(".json").unlink(missing_ok=True)
    shape, dtype = layout
    with replacing(path) as temporary:
        array = np.lib.format.open_memmap(temporary, mode="w+", dtype=dtype, shape=shape)
        compute(array)
        array.flush()
        del array
    write_json(path.with_suffix(".json"), {"key": key, "crc32": _checksum(path)})


def _check_disk(arrays: Path, size: int) -> None:
    # Pages of a memory map that the disk has no room for end the process with a bus error.
    free = shutil.disk_usage(arrays).free
    if size > free:
        raise ValueError(
            f"cache.path: {str(arrays)!r} has {free / 1e9:.1f} GB free, {size / 1e9:.1f} GB are "
            "needed; free some, name another folder, or set a lower cache.max_bytes"
        )


def _checksum(path: Path) -> int:
    checksum = 0
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            checksum = zlib.crc32(chunk, checksum)
    return checksum


def entries(config: CacheConfig) -> list[Entry]:
    """What the cache holds, least recently used first."""
    found = []
    for path in (folder(config) / "arrays").glob("*.npy"):
        if path.name.startswith(TEMPORARY):
            continue
        try:
            kind = _record(path)["key"].get("kind", UNFINISHED)
        except (OSError, ValueError):
            kind = UNFINISHED  # Or being written just now.
        with contextlib.suppress(OSError):  # Removed meanwhile.
            status = path.stat()
            found.append(Entry(path.stem, kind, status.st_size, status.st_mtime))
    return sorted(found, key=lambda entry: entry.used)


def make_room(config: CacheConfig, size: float) -> list[Entry]:
    """Removes least recently used arrays until `size` bytes more fit; the removed ones.

    What killed processes left goes first.
    """
    _remove_abandoned(folder(config) / "arrays")
    kept = entries(config)
    total = sum(entry.bytes for entry in kept)
    removed = []
    for entry in kept:
        if total + size <= config.max_bytes:
            break
        path = folder(config) / "arrays" / f"{entry.key}.npy"
        with contextlib.suppress(OSError):  # In use on a platform that forbids removal.
            path.unlink(missing_ok=True)
            path.with_suffix(".json").unlink(missing_ok=True)
            removed.append(entry)
            total -= entry.bytes
    return removed


def _remove_abandoned(arrays: Path) -> None:
    """Removes unfinished files whose entry nobody has locked."""
    for name in {path.name.split(".", 2)[2] for path in arrays.glob(f"{TEMPORARY}*.*")}:
        with contextlib.suppress(Timeout), FileLock((arrays / name).with_suffix(".lock"), 0):
            remove_unfinished(arrays, name)
