"""Caches arrays on disk, so that later runs need not compute them again.

`arrays/KEY.npy` holds an array and is memory-mapped; KEY is a digest of all that determines the
array. `arrays/KEY.json`, which is written last, holds a description and the checksum of the array.
An array without this file, or with another checksum, is computed again.
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

HOW_TO_MOVE = "with --set cache.path=DIR or the environment variable XDG_CACHE_HOME"
CHUNK = 1 << 24  # bytes
HEADER = 128  # bytes of a .npy file before its numbers
UNFINISHED = "unfinished"  # The kind of an array without a JSON file.
KEY = re.compile(r"[0-9a-f]{40}")  # Names of arrays of the cache, see `Request.name`.


@dataclass(frozen=True)
class Entry:
    """A cached array, as the command `tl-keras cache` lists it."""

    key: str
    kind: str  # such as "features of MobileNetV2 at block_12_add"
    bytes: int
    used: float  # time of last use, in seconds since 1970


@dataclass(frozen=True)
class Kept:
    """An array that was read from the cache or has just been computed."""

    array: Any  # a NumPy array, or a `ragged.Ragged` that the caller made of it
    cached: bool  # whether the array was in the cache
    seconds: float  # time to read or compute it


def folder(config: CacheConfig) -> Path:
    """Returns the folder of the cache: `cache.path`, else the user's cache folder."""
    path = config.path or platformdirs.user_cache_dir("tl_keras", appauthor=False)
    if path.startswith("~"):  # The user has no home folder, so it was not expanded.
        raise ValueError(
            "cache.path: the default cache is in the home folder, which this user does not have; "
            f"choose another folder {HOW_TO_MOVE}"
        )
    return Path(path).absolute()


ARRAYS, AUDIT, TFDS = "arrays", "audit", "tfds"  # Subfolders of the cache.


def subfolder(config: CacheConfig, name: str) -> Path:
    """Creates and returns a subfolder of the cache.

    A file `.tl_keras` marks each subfolder, so `cache.path` may be a folder with other files.

    Raises:
      ValueError: a folder of this name has files but no `.tl_keras`, or cannot be written.
    """
    path = folder(config) / name
    try:
        marks.claim(path, "cache", "cache.path")
    except OSError as error:
        raise ValueError(
            f"cache.path: {str(path)!r} cannot be written: {error.strerror}; choose another "
            f"folder {HOW_TO_MOVE}"
        ) from None
    return path


@dataclass(frozen=True)
class Request:
    """A request for an array of the cache.

    Attributes:
      key: a dict of JSON values that determine the content of the array. Its entry `kind` describes
        the array in words.
    """

    key: dict[str, Any]
    shape: tuple[int, ...]
    dtype: str

    @property
    def name(self) -> str:
        """The name, without suffix, of the files of the array: a digest of `key`."""
        return hashlib.sha256(json.dumps(self.key, sort_keys=True).encode()).hexdigest()[:40]

    @property
    def bytes(self) -> int:
        """The size of the array file in bytes."""
        return HEADER + int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize


def keep(
    config: CacheConfig,
    key: dict[str, Any],
    shape: tuple[int, ...],
    dtype: type,
    compute: Callable[[np.ndarray], None],
) -> Kept:
    """Returns the cached array of `key`, see `keep_all`.

    If the cache lacks the array, `compute` receives a new one and fills it in place.
    """
    request = Request(key, shape, np.dtype(dtype).name)
    return keep_all(config, [request], lambda arrays: compute(arrays[0]))[0]


def keep_all(
    config: CacheConfig,
    requests: Sequence[Request],
    compute: Callable[[list[Maybe[np.ndarray]]], None],
) -> list[Kept]:
    """Returns the requested arrays from the cache, memory-mapped read-only, or computes them.

    If two processes request the same array, one computes it and the other waits and reads it.
    If the requested arrays together exceed `cache.max_bytes`, they are computed in memory and not
    cached.

    Args:
      requests: requests with different keys.
      compute: fills arrays in place, always with the same values. It receives a list with one entry
        for each request: a new array, or None if the cache has the array already.
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
        for path in sorted(paths):  # Sorted, so that two processes never wait for each other.
            stack.enter_context(FileLock(path.with_suffix(".lock")))
        arrays = [_open(p, request) for p, request in zip(paths, requests, strict=True)]
        missing = [i for i, array in enumerate(arrays) if array is None]
        for i in set(range(len(paths))) - set(missing):
            with contextlib.suppress(
                OSError
            ):  # Another process removed it, but it is mapped already.
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
    """Returns a cached array; None if it is missing, incomplete or damaged."""
    try:
        # The checksum comes first, so that NumPy does not read a damaged file.
        if _record(path)["crc32"] != _checksum(path):
            return None
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, KeyError):
        return None
    return array if array.shape == request.shape and array.dtype == request.dtype else None


def _record(path: Path) -> dict[str, Any]:
    """Reads the JSON file of an array. Raises OSError or ValueError if it is missing or damaged."""
    record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    if not isinstance(record, dict) or not isinstance(record.get("key"), dict):
        raise ValueError(f"{path.with_suffix('.json')} is damaged")
    return record


def _write(
    missing: dict[int, tuple[Path, Request]], count: int, compute: Callable[[list], None]
) -> None:
    """Computes the missing arrays and writes them to the cache.

    Args:
      missing: a dict from the position of each missing array in the list of requests to its file
        and request.
      count: the length of that list, which also has the requests of arrays that are cached.
    """
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
    # Writing to a memory map on a full disk would end the process with a bus error.
    free = shutil.disk_usage(arrays).free
    if size > free:
        raise ValueError(
            f"cache.path: {str(arrays)!r} has {free / 1e9:.1f} GB of free space, but "
            f"{size / 1e9:.1f} GB are needed; free some space, choose another folder, or set a "
            "lower cache.max_bytes"
        )


def _checksum(path: Path) -> int:
    checksum = 0
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            checksum = zlib.crc32(chunk, checksum)
    return checksum


def entries(config: CacheConfig) -> list[Entry]:
    """Returns the arrays of the cache, least recently used first.

    Raises:
      ValueError: the subfolder `arrays/` has files, but not the file `.tl_keras` that marks it.
    """
    listed, arrays = [], folder(config) / ARRAYS
    marks.check(arrays, "cache", "cache.path")
    for path in arrays.glob("*.npy"):
        if not KEY.fullmatch(path.stem):  # A file of the user, or an array that is being written.
            continue
        try:
            kind = _record(path)["key"].get("kind", UNFINISHED)
        except (OSError, ValueError):
            kind = UNFINISHED  # Or another process is writing it now.
        with contextlib.suppress(OSError):  # Another process may have removed it.
            status = path.stat()
            listed.append(Entry(path.stem, kind, status.st_size, status.st_mtime))
    return sorted(listed, key=lambda entry: entry.used)


def make_room(config: CacheConfig, size: float, needed: Container[str] = ()) -> list[Entry]:
    """Removes least recently used arrays until `size` more bytes fit, and returns the removed ones.

    The bytes of all arrays may be at most `cache.max_bytes`. Unfinished files of killed processes
    are removed first. Arrays with a name in `needed` stay.
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
        with contextlib.suppress(OSError):  # Windows does not remove files in use.
            path.unlink(missing_ok=True)
            path.with_suffix(".json").unlink(missing_ok=True)
            removed.append(entry)
            total -= entry.bytes
    return removed


def _remove_abandoned(arrays: Path) -> None:
    """Removes unfinished array files, unless a process has locked the array to write it."""
    names = {path.name.split(".", 2)[2] for path in arrays.glob(f"{TEMPORARY}*.*")}
    for name in filter(lambda name: KEY.fullmatch(Path(name).stem), names):
        with contextlib.suppress(Timeout), FileLock((arrays / name).with_suffix(".lock"), 0):
            remove_unfinished(arrays, name)
