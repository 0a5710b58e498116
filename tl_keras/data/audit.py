"""Which files are readable images: found in parallel before anything slow, and remembered.

Every listed file ends up as a checked one or quarantined with its reason.
"""

import hashlib
import json
import os
import stat
import struct
import threading
import warnings
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import PIL
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from tl_keras.files import write_text
from tl_keras.version import VERSION

IMAGE_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
ORIENTATION = 0x0112  # EXIF tag; 1 is upright
HUFFMAN_FRAMES = (0xC0, 0xC1, 0xC2)  # JPEG's baseline, extended and progressive DCT
CHUNK = 1 << 20  # bytes
# What a remembered result rests on, beside the file.
CHECKED_BY = [VERSION, PIL.__version__]


@dataclass(frozen=True)
class Checked:
    """What one file holds. `reason` says why it cannot be used; "" if it can."""

    digest: str = ""  # SHA-256 of the content, hex
    width: int = 0  # px
    height: int = 0  # px
    decoder: str = "pillow"
    reason: str = ""


def check_all(root: Path, files: list[str], max_pixels: int, memory: Path) -> dict[str, Checked]:
    """Every file's content, checked; what has not changed since the last time is not read again.

    `memory` is the folder that remembers: size, times of change and bound must be the same.
    """
    remembered = memory / f"{hashlib.sha256(str(root).encode()).hexdigest()[:32]}.json"
    known = _recall(remembered)
    stamps = {file: _stamp(root / file, max_pixels) for file in files}
    checked = {
        file: Checked(**known[file][1])
        for file in files
        if file in known and known[file][0] == stamps[file]
    }
    todo = [file for file in files if file not in checked]
    if todo:
        checked |= _check_in_parallel(root, todo, max_pixels)
        # A file that could not be read has no digest: next time it may be readable.
        entries = {file: [stamps[file], asdict(checked[file])] for file in files}
        entries = {file: entry for file, entry in entries.items() if entry[1]["digest"]}
        write_text(remembered, json.dumps({"by": CHECKED_BY, "files": entries}))
    return {file: checked[file] for file in files}


def _check_in_parallel(root: Path, files: list[str], max_pixels: int) -> dict[str, Checked]:
    with unbounded_pillow(), warnings.catch_warnings(), ThreadPoolExecutor(os.cpu_count()) as pool:
        warnings.simplefilter("ignore")  # Pillow's, on metadata that nobody needs here.
        results = pool.map(lambda file: check(root / file, max_pixels), files)
        bar = tqdm(results, "audit", len(files), unit=" files", leave=False)
        return dict(zip(files, bar, strict=True))


def _recall(remembered: Path) -> dict:
    try:
        known = json.loads(remembered.read_text(encoding="utf-8"))
        if known["by"] != CHECKED_BY:
            return {}
        for _, checked in known["files"].values():
            Checked(**checked)
        return known["files"]
    # None yet, or damaged: the files are read again.
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _stamp(path: Path, max_pixels: int) -> list[int]:
    try:
        status = os.stat(path)
    except OSError:
        return []
    # `st_ctime_ns` too: a copy may bring an older file's size and time with it.
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, max_pixels]


_bound_lock, _bound_held = threading.Lock(), []


@contextmanager
def unbounded_pillow() -> Iterator[None]:
    """Turns Pillow's own bound off, which warns below ours; `max_pixels` is checked instead.

    The bound is one for all threads: the last one to leave restores it.
    """
    with _bound_lock:
        _bound_held.append(_bound_held[0] if _bound_held else Image.MAX_IMAGE_PIXELS)
        Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        with _bound_lock:
            bound = _bound_held.pop()
            if not _bound_held:
                Image.MAX_IMAGE_PIXELS = bound


def check(path: Path, max_pixels: int) -> Checked:
    """Reads one file: its digest, and whether it decodes whole. Never raises for a bad file."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            return Checked(reason="not a regular file")
        if status.st_size == 0:
            return Checked(reason="empty file")
        digest = _digest(path)
    except OSError as error:
        return Checked(reason=f"cannot be read: {error.strerror}")
    try:
        return _decode(path, digest, max_pixels)
    except UnidentifiedImageError:
        return Checked(digest, reason=f"not an image: neither {', '.join(IMAGE_FORMATS)}")
    # Pillow's plugins raise anything on hostile bytes, and all of it means the same.
    except Exception as error:
        return Checked(digest, reason=f"truncated or damaged: {str(error) or repr(error)}"[:200])


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _decode(path: Path, digest: str, max_pixels: int) -> Checked:
    with Image.open(path, formats=IMAGE_FORMATS) as image:
        width, height = image.size
        if width * height > max_pixels:
            reason = f"{width} x {height} px is over data.max_pixels, {max_pixels}"
            return Checked(digest, width, height, reason=reason)
        frame = _jpeg_frame(path) if image.format in ("JPEG", "MPO") else None
        decoder = choose_decoder(image, frame)
        if frame in HUFFMAN_FRAMES:
            # At an eighth of the size it decodes in half the time, and truncation still shows.
            image.draft(None, (1, 1))
        image.load()
        if image.format == "PNG":
            _check_png(path)
    return Checked(digest, width, height, decoder)


def choose_decoder(image: Image.Image, frame: int | None) -> str:
    """`jpeg` or `png` where TensorFlow gives Pillow's pixels, else `pillow`.

    TensorFlow applies no EXIF orientation, drops alpha, cuts 16 bits to the upper 8, and does
    not promise to read arithmetic-coded or lossless JPEGs.
    """
    plain = image.mode in ("L", "RGB") and "transparency" not in image.info
    if not plain or image.getexif().get(ORIENTATION, 1) != 1:
        return "pillow"
    if image.format == "PNG":
        return "png"
    return "jpeg" if frame in HUFFMAN_FRAMES else "pillow"


def _check_png(path: Path) -> None:
    """Raises where libpng does and Pillow does not: a bad checksum of pixels, a missing end."""
    with path.open("rb") as stream:
        stream.seek(8)
        kind = b""
        while kind != b"IEND":
            length, kind = struct.unpack(">I4s", stream.read(8))
            checksum = zlib.crc32(stream.read(length), zlib.crc32(kind))
            critical = kind[:1].isupper()
            if struct.unpack(">I", stream.read(4)) != (checksum,) and critical:
                raise ValueError(f"bad checksum in {kind!r}")


def _jpeg_frame(path: Path) -> int | None:
    """The marker of a JPEG's frame, which says how it is coded."""
    with path.open("rb") as stream:
        stream.seek(2)
        for marker, length in _markers(stream):
            if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
                return marker
            stream.seek(length - 2, os.SEEK_CUR)
    return None


def _markers(stream) -> Iterable[tuple[int, int]]:
    """(marker, length) of the JPEG segments up to the first scan."""
    while len(head := stream.read(4)) == 4 and head[0] == 0xFF:
        if head[1] == 0xFF:  # Padding: a marker may begin with any number of 0xFF.
            stream.seek(-3, os.SEEK_CUR)
            continue
        if head[1] == 0xDA:
            return
        yield head[1], int.from_bytes(head[2:], "big")
