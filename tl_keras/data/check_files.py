"""Which files are readable images: found in parallel before anything slow, and remembered.

Every listed file ends up as a checked one or quarantined with its reason.
"""

import hashlib
import io
import json
import os
import re
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import imagehash
import PIL
from PIL import Image, UnidentifiedImageError

from tl_keras.modalities.image import copies, formats
from tl_keras.modalities.image.device.predict import FORMATS, orientation, to_rgb
from tl_keras.modalities.image.pillow import quiet_pillow
from tl_keras.modalities.image.strict import check_jpeg, check_png
from tl_keras.run.files import write_text
from tl_keras.run.progress import progress
from tl_keras.version import VERSION

# What files of each begin with, however damaged the rest is.
STARTS = {
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "GIF": rb"GIF8[79]a",
    "BMP": rb"BM.{4}\0\0\0\0",
    "WEBP": rb"RIFF....WEBP",
}
HUFFMAN_FRAMES = (0xC0, 0xC1, 0xC2)  # JPEG's baseline, extended and progressive DCT
# What TensorFlow decodes at most, whatever `data.max_pixels` says: px, and px a side.
MOST_PIXELS, LONGEST_SIDE = (1 << 29) - 1, 1_000_000
MAX_BYTES = 1 << 30  # of a file, which TensorFlow reads whole
# What a remembered result rests on, beside the file.
FIELDS = 2  # Raised when `Checked` gets a field.
CHECKED_BY = [VERSION, PIL.__version__, imagehash.__version__, FIELDS]


@dataclass(frozen=True)
class Checked:
    """What one file holds. `reason` says why it cannot be used; "" if it can."""

    digest: str = ""  # SHA-256 of the content, hex
    width: int = 0  # px
    height: int = 0  # px
    decoder: str = "pillow"
    looks: str = ""  # see `copies.looks`; "" where nobody asked
    peak: int = 255  # the brightest value of any channel, 0..255
    reason: str = ""


def check_all(
    root: Path, files: list[str], max_pixels: int, memory: Path, looks: bool = False
) -> dict[str, Checked]:
    """Every file's content, checked; what has not changed since the last time is not read again.

    `memory` is the folder that remembers: size, times of change and bound must be the same.
    `looks` asks for perceptual hashes, for which a file without them is read again.
    """
    remembered = memory / f"{hashlib.sha256(str(root).encode()).hexdigest()[:32]}.json"
    known = _recall(remembered)
    stamps = {file: _stamp(root / file, max_pixels) for file in files}
    checked = {
        file: Checked(**known[file][1])
        for file in files
        if file in known and known[file][0] == stamps[file]
    }
    if looks:
        checked = {file: own for file, own in checked.items() if own.looks or own.reason}
    todo = [file for file in files if file not in checked]
    if todo:
        checked |= _check_in_parallel(root, todo, max_pixels, looks)
        # A file that could not be read has no digest: next time it may be readable.
        entries = {file: [stamps[file], asdict(checked[file])] for file in files}
        entries = {file: entry for file, entry in entries.items() if entry[1]["digest"]}
        write_text(remembered, json.dumps({"by": CHECKED_BY, "files": entries}))
    return {file: checked[file] for file in files}


def _check_in_parallel(
    root: Path, files: list[str], max_pixels: int, looks: bool
) -> dict[str, Checked]:
    with quiet_pillow(), ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda file: check(root / file, max_pixels, looks), files)
        bar = progress(results, "audit", len(files), " files")
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


def check(path: Path, max_pixels: int, looks: bool = False) -> Checked:
    """Reads one file: its digest, and whether it decodes whole. Never raises for a bad file."""
    digest, start = "", b""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            return Checked(reason="not a regular file")
        if status.st_size == 0:
            return Checked(reason="empty file")
        if status.st_size > MAX_BYTES:
            return Checked(reason=f"{status.st_size} bytes is over {MAX_BYTES}")
        digest, start = _digest(path)
        return _decode(path, path.read_bytes, digest, max_pixels, looks)
    # Pillow's plugins raise anything on hostile bytes, and all of it means the same.
    except Exception as error:
        return _refused(digest, start, error)


def check_content(content: bytes, max_pixels: int) -> Checked:
    """`check` of what a file would hold."""
    digest = hashlib.sha256(content).hexdigest()
    try:
        if not content:
            return Checked(digest, reason="empty file")
        return _decode(io.BytesIO(content), lambda: content, digest, max_pixels, looks=False)
    except Exception as error:  # As above.
        return _refused(digest, content[: formats.NUM_BYTES], error)


def _refused(digest: str, start: bytes, error: Exception) -> Checked:
    # The first two without the digest: it may be better the next time.
    if isinstance(error, MemoryError):
        return Checked(reason="takes more memory than there is")
    if isinstance(error, OSError) and error.errno:  # The system's; Pillow's own have none.
        return Checked(reason=f"cannot be read: {error.strerror}")
    return Checked(digest, reason=_blame(start, error)[:200])


def _blame(start: bytes, error: Exception) -> str:
    name = next((name for name, own in STARTS.items() if re.match(own, start, re.DOTALL)), None)
    if name is None:
        return formats.named(start) or f"not an image: neither {', '.join(FORMATS)}"
    if isinstance(error, UnidentifiedImageError):
        return f"truncated or damaged: the header of this {name} cannot be read"
    return f"truncated or damaged: {str(error) or repr(error)}"


def _digest(path: Path) -> tuple[str, bytes]:
    """SHA-256 in hex, and the first bytes."""
    with path.open("rb") as stream:
        start = stream.read(formats.NUM_BYTES)
        stream.seek(0)
        return hashlib.file_digest(stream, "sha256").hexdigest(), start


def _decode(
    file: Path | BinaryIO, read: Callable[[], bytes], digest: str, max_pixels: int, looks: bool
) -> Checked:
    """What an image holds; raises what its decoder raises.

    Args:
      read: gives all of the file's bytes.
    """
    with Image.open(file, formats=FORMATS) as image:
        width, height = image.size
        if reason := _refuse_size(width, height, max_pixels):
            return Checked(digest, width, height, reason=reason)
        frame = None
        if image.format == "PNG":
            check_png(read())
        elif image.format in ("JPEG", "MPO"):
            frame = check_jpeg(read())
        if frame in HUFFMAN_FRAMES:
            # At down to an eighth of the size it decodes in half the time; truncation still shows.
            image.draft(None, (copies.THUMBNAIL, copies.THUMBNAIL))
        image.load()
        # Now that what stands behind the pixels has been read, too.
        decoder = choose_decoder(image, frame)
        peak = to_rgb(image).max() if decoder == "pillow" else _peak(image)
        seen = copies.looks(image) if looks else ""
        return Checked(digest, width, height, decoder, seen, int(peak))


def _peak(image: Image.Image) -> int:
    """The brightest value of a grey or RGB image."""
    extrema = image.getextrema()
    return max(high for _, high in ([extrema] if image.mode == "L" else extrema))


def _refuse_size(width: int, height: int, max_pixels: int) -> str:
    size = f"{width} x {height} px"
    if width * height > max_pixels:
        return f"{size} is over data.max_pixels, {max_pixels}"
    if width * height > MOST_PIXELS or max(width, height) > LONGEST_SIDE:
        return f"{size} is over {MOST_PIXELS} px, or {LONGEST_SIDE} px a side"
    return ""


def choose_decoder(image: Image.Image, frame: int | None) -> str:
    """`jpeg` or `png` where TensorFlow gives Pillow's pixels, else `pillow`.

    TensorFlow applies no EXIF orientation, drops alpha, cuts 16 bits to the upper 8, and does
    not promise to read arithmetic-coded or lossless JPEGs.
    """
    plain = image.mode in ("L", "RGB") and "transparency" not in image.info
    if not plain or orientation(image) != 1:
        return "pillow"
    if image.format == "PNG":
        return "png"
    return "jpeg" if frame in HUFFMAN_FRAMES else "pillow"
