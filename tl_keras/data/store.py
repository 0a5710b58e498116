"""Arrays that are kept on disk between runs, under a key that says what they are.

`arrays/KEY.npy` is memory-mapped; `arrays/KEY.json` beside it, written last, says what it
holds and its checksum. An entry without it, or that does not match it, is computed again.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import time
import zlib
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from filelock import FileLock, Timeout

from tl_keras.config.cache import CacheConfig
from tl_keras.maybe import Maybe
from tl_keras.run import marks
from tl_keras.run.files import TEMPORARY, remove_unfinished, replacing, write_json

HOW_TO_MOVE = "as by --set cache.path=DIR or the environment variable XDG_CACHE_HOME"
CHUNK = 1 << 24  # bytes
HEADER = 128  # bytes of a .npy file before its numbers
UNFINISHED = "unfinished"  # The kind of an array that has no record.
KEY = re.compile(r"[0-9a-f]{40}")  # The names of the cache's own arrays, see `Request`.


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
    path = config.path or platformdirs.user_cache_dir("tl_keras", appauthor=False)
    if path.startswith("~"):  # It was not expanded: the user has no home folder.
        raise ValueError(
            "cache.path: this user has no home folder to keep a cache in; expected another folder, "
            f"{HOW_TO_MOVE}"
        )
    return Path(path).absolute()


ARRAYS, AUDIT, TFDS = "arrays", "audit", "tfds"  # Subfolders of the cache.


def subfolder(config: CacheConfig, name: str) -> Path:
    """A subfolder of the cache to write in. Each carries our mark, so that `cache.path` may also be
    a folder of somebody else's.

    Raises:
      ValueError: a folder of this name is not ours, or cannot be written.
    """
    path = folder(config) / name
    try:
        marks.claim(path, "cache", "cache.path")
    except OSError as error:
        raise ValueError(
            f"cache.path: {str(path)!r} cannot be written: {error.strerror}; expected another "
            f"folder, {HOW_TO_MOVE}"
        ) from None
    return path


@dataclass(frozen=True)
class Request:
    """An array that is asked for.

    Attributes:
      key: plain JSON values, all that decides it; `kind` names it for people.
    """

    key: dict[str, Any]
    shape: tuple[int, ...]
    dtype: str

    @property
    def name(self) -> str:
        """Of the array's files, without suffix: a digest of the key."""
        return hashlib.sha256(json.dumps(self.key, sort_keys=True).encode()).hexdigest()[:40]

    @property
    def bytes(self) -> int:
        """Of the array's file."""
        return HEADER + int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize


def keep(
    config: CacheConfig,
    key: dict[str, Any],
    shape: tuple[int, ...],
    dtype: type,
    compute: Callable[[np.ndarray], None],
) -> Kept:
    """The array of a key; see `keep_all`. `compute` fills it in place."""
    request = Request(key, shape, np.dtype(dtype).name)
    return keep_all(config, [request], lambda arrays: compute(arrays[0]))[0]


def keep_all(
    config: CacheConfig,
    requests: Sequence[Request],
    compute: Callable[[list[Maybe[np.ndarray]]], None],
) -> list[Kept]:
    """The arrays asked for, memory-mapped read-only; `compute` fills those that are not there yet.

    Two processes may ask for the same: one computes, the other waits and reads. Arrays that cannot
    fit into `cache.max_bytes` together are computed in memory and not kept.

    Args:
      requests: different ones.
      compute: fills a list of arrays, one a request, in place, to the same values each time. Those
        that are there already are not in the list: None is in their place.
    """
    started = time.monotonic()
    if sum(request.bytes for request in requests) > config.max_bytes:
        arrays: list[Maybe[np.ndarray]]
        arrays = [np.empty(request.shape, request.dtype) for request in requests]
        compute(arrays)
        return [Kept(array, False, time.monotonic() - started) for array in arrays]
    folder_of_arrays = subfolder(config, ARRAYS)
    paths = [folder_of_arrays / f"{request.name}.npy" for request in requests]
    with contextlib.ExitStack() as stack:
        for path in sorted(paths):  # In one order, so that no two processes wait for each other.
            stack.enter_context(FileLock(path.with_suffix(".lock")))
        arrays = [_open(p, request) for p, request in zip(paths, requests, strict=True)]
        missing = [i for i, array in enumerate(arrays) if array is None]
        for i in set(range(len(paths))) - set(missing):
            with contextlib.suppress(OSError):  # Removed by another process: it is mapped already.
                os.utime(paths[i])
        if missing:
            for i in missing:
                remove_unfinished(folder_of_arrays, paths[i].name)
            size = sum(requests[i].bytes for i in missing)
            make_room(config, size, {path.stem for path in paths})
            _check_disk(folder_of_arrays, size)
            _write({i: (paths[i], requests[i]) for i in missing}, len(paths), compute)
            for i in missing:
                arrays[i] = np.load(paths[i], mmap_mode="r")
    seconds = time.monotonic() - started
    return [Kept(array, i not in missing, seconds) for i, array in enumerate(arrays)]


def _open(path: Path, request: Request) -> np.ndarray | None:
    """The array if it is whole, else None."""
    try:
        # First the checksum: NumPy need not read what is damaged.
        if _record(path)["crc32"] != _checksum(path):
            return None
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, KeyError):
        return None
    return array if array.shape == request.shape and array.dtype == request.dtype else None


def _record(path: Path) -> dict[str, Any]:
    """What `path`'s JSON says. Raises OSError or ValueError where there is none that is whole."""
    record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    if not isinstance(record, dict) or not isinstance(record.get("key"), dict):
        raise ValueError(f"{path.with_suffix('.json')} is damaged")
    return record


def _write(
    missing: dict[int, tuple[Path, Request]], count: int, compute: Callable[[list], None]
) -> None:
    """Writes the missing ones of `count` arrays."""
    arrays: list[Any] = [None] * count
    with contextlib.ExitStack() as stack:
        for i, (path, request) in missing.items():
            path.with_suffix(".json").unlink(missing_ok=True)
            temporary = stack.enter_context(replacing(path))
            arrays[i] = np.lib.format.open_memmap(
                temporary, mode="w+", dtype=request.dtype, shape=request.shape
            )
        compute(arrays)
        for i in missing:
            arrays[i].flush()
        arrays.clear()
    for path, request in missing.values():
        write_json(path.with_suffix(".json"), {"key": request.key, "crc32": _checksum(path)})


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
    """What the cache holds, least recently used first.

    Raises:
      ValueError: the folder holds an `arrays/` that is not ours.
    """
    found, arrays = [], folder(config) / ARRAYS
    marks.check(arrays, "cache", "cache.path")
    for path in arrays.glob("*.npy"):
        if not KEY.fullmatch(path.stem):  # A person's own array, or one that is being written.
            continue
        try:
            kind = _record(path)["key"].get("kind", UNFINISHED)
        except (OSError, ValueError):
            kind = UNFINISHED  # Or being written just now.
        with contextlib.suppress(OSError):  # Removed meanwhile.
            status = path.stat()
            found.append(Entry(path.stem, kind, status.st_size, status.st_mtime))
    return sorted(found, key=lambda entry: entry.used)


def make_room(config: CacheConfig, size: float, needed: Container[str] = ()) -> list[Entry]:
    """Removes least recently used arrays until `size` bytes more fit; the removed ones.

    What killed processes left goes first. Entries whose key is `needed` stay.
    """
    kept = entries(config)
    _remove_abandoned(folder(config) / ARRAYS)
    total = sum(entry.bytes for entry in kept)
    removed = []
    for entry in kept:
        if total + size <= config.max_bytes:
            break
        if entry.key in needed:
            continue
        path = folder(config) / ARRAYS / f"{entry.key}.npy"
        with contextlib.suppress(OSError):  # In use on a platform that forbids removal.
            path.unlink(missing_ok=True)
            path.with_suffix(".json").unlink(missing_ok=True)
            removed.append(entry)
            total -= entry.bytes
    return removed


def _remove_abandoned(arrays: Path) -> None:
    """Removes unfinished files whose entry nobody has locked."""
    names = {path.name.split(".", 2)[2] for path in arrays.glob(f"{TEMPORARY}*.*")}
    for name in filter(lambda name: KEY.fullmatch(Path(name).stem), names):
        with contextlib.suppress(Timeout), FileLock((arrays / name).with_suffix(".lock"), 0):
            remove_unfinished(arrays, name)
