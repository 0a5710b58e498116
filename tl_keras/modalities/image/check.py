"""Checks whether a file is a readable image: its header, size and pixels. Imports no TensorFlow."""

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import imagehash
import PIL
from PIL import Image, UnidentifiedImageError

from tl_keras.data.wording import count_of, shortened
from tl_keras.modalities.image import copies
from tl_keras.modalities.image.config import ImageConfig
from tl_keras.modalities.image.decoding import formats
from tl_keras.modalities.image.decoding.pillow import FORMATS, orientation, quiet_pillow, to_rgb
from tl_keras.modalities.image.decoding.refused_by_tensorflow import check_jpeg, check_png

# The first bytes of each format. They identify the format even if the rest of a file is damaged.
STARTS = {
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "GIF": rb"GIF8[79]a",
    "BMP": rb"BM.{4}\0\0\0\0",
    "WEBP": rb"RIFF....WEBP",
}
HUFFMAN_FRAMES = (0xC0, 0xC1, 0xC2)  # JPEG's baseline, extended and progressive DCT
# TensorFlow's own decoding limits, which apply whatever `image.max_pixels` is: px, and px a side.
MOST_PIXELS, LONGEST_SIDE = (1 << 29) - 1, 1_000_000
FIELDS = 2  # Increase this number when `Checked` gets a new field.
# A remembered check is repeated if one of these values has changed.
BY = [PIL.__version__, imagehash.__version__, FIELDS]
# Of 255. An image is almost black if its brightest value is lower, as with 14 bits stored in 16.
DARK = 64


@dataclass(frozen=True)
class Checked:
    """The result of checking one file; `reason` says why it cannot be used, and is "" if it can."""

    digest: str = ""  # SHA-256 of the content, hex
    width: int = 0  # px
    height: int = 0  # px
    decoder: str = "pillow"
    looks: str = ""  # perceptual hashes, see `copies.looks`; "" if they were not requested
    peak: int = 255  # the brightest value of any channel, 0..255
    reason: str = ""

    @property
    def short(self) -> int:
        """The length of the image's shorter side, px."""
        return min(self.width, self.height)


def bound(settings: ImageConfig) -> int:
    """Returns `image.max_pixels`, on which checks depend. If it changes, checks are repeated."""
    return settings.max_pixels


def session() -> AbstractContextManager:
    """Returns a context manager for the checks of many files, in which Pillow gives no warnings."""
    return quiet_pillow()


def read(
    file: Path | BinaryIO,
    content: Callable[[], bytes],
    digest: str,
    settings: ImageConfig,
    looks: bool,
) -> Checked:
    """Decodes an image file, and returns its size, decoder and brightest value.

    For an unusable file, the function either returns a `Checked` with a `reason`, or raises any
    exception of the decoder, which `blame` converts to a reason.

    Args:
      file: a path, or an open file.
      content: a function that returns all bytes of the file.
      digest: SHA-256 of the content, hex; it is copied to the result.
      looks: whether to compute perceptual hashes, by which near-duplicates are found.
    """
    with Image.open(file, formats=FORMATS) as image:
        width, height = image.size
        if reason := _refuse_size(width, height, settings.max_pixels):
            return Checked(digest, width, height, reason=reason)
        frame = None
        if image.format == "PNG":
            check_png(content())
        elif image.format in ("JPEG", "MPO"):
            frame = check_jpeg(content())
        if frame in HUFFMAN_FRAMES:
            # Decoding at a reduced size (down to 1/8) takes half the time and still detects
            # truncation.
            image.draft(None, (copies.THUMBNAIL, copies.THUMBNAIL))
        image.load()
        # Only after `load`, which also reads metadata stored after the pixels, such as EXIF.
        decoder = choose_decoder(image, frame)
        peak = to_rgb(image).max() if decoder == "pillow" else _peak(image)
        hashes = copies.looks(image) if looks else ""
        return Checked(digest, width, height, decoder, hashes, int(peak))


def blame(start: bytes, error: Exception) -> str:
    """Returns why a file cannot be read as an image.

    Args:
      start: the first bytes of the file.
      error: the exception that the decoder raised.
    """
    matches = (name for name, first in STARTS.items() if re.match(first, start, re.DOTALL))
    name = next(matches, None)
    if name is None:
        expected = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        return formats.named(start) or f"not an image: expected {expected}"
    if isinstance(error, UnidentifiedImageError):
        return f"truncated or damaged: the header of this {name} cannot be read"
    return f"truncated or damaged: {str(error) or repr(error)}"


def _peak(image: Image.Image) -> int:
    """Returns the highest value of all pixels and channels of a grey or RGB image."""
    extrema: Any = image.getextrema()
    return max(high for _, high in ([extrema] if image.mode == "L" else extrema))


def _refuse_size(width: int, height: int, max_pixels: int) -> str:
    size = f"{width} x {height} px"
    if width * height > max_pixels:
        return f"{size} is over image.max_pixels, {max_pixels}"
    if width * height > MOST_PIXELS or max(width, height) > LONGEST_SIDE:
        return (
            f"{size} is over TensorFlow's limits: {MOST_PIXELS} px in all and {LONGEST_SIDE} px a "
            "side"
        )
    return ""


def choose_decoder(image: Image.Image, frame: int | None) -> str:
    """Returns the decoder of a file: `jpeg`, `png` (TensorFlow's, which are fast) or `pillow`.

    TensorFlow's decoders are chosen only for files from which they give the same pixels as Pillow.
    TensorFlow ignores EXIF orientation, drops alpha, keeps only the upper 8 of 16 bits, and may not
    read arithmetic-coded or lossless JPEGs.

    Args:
      frame: the result of `check_jpeg`: how the pixels of a JPEG are coded; None for other files.
    """
    plain = image.mode in ("L", "RGB") and "transparency" not in image.info
    if not plain or orientation(image) != 1:
        return "pillow"
    if image.format == "PNG":
        return "png"
    return "jpeg" if frame in HUFFMAN_FRAMES else "pillow"


def warnings(checked: Mapping[str, Checked]) -> list[str]:
    """Returns a list: one warning that names the almost black images, or none if there are none."""
    dark = [file for file, image in checked.items() if not image.reason and image.peak < DARK]
    if not dark:
        return []
    peak = max(checked[file].peak for file in dark)
    return [
        f"almost black: {count_of(dark, 'image')} with no value above {peak} of 255: "
        f"{shortened(dark)}; typical causes are 12-bit pictures stored as 16 bits, and masks whose "
        "pixels are class numbers; scale the values of such images to 0..255"
    ]
