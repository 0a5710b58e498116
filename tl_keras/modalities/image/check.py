"""Which files are images that can be read: the header, the size, all pixels. No TensorFlow."""

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
from tl_keras.modalities.image import copies, formats
from tl_keras.modalities.image.config import ImageConfig
from tl_keras.modalities.image.pillow import FORMATS, orientation, quiet_pillow, to_rgb
from tl_keras.modalities.image.refused_by_tensorflow import check_jpeg, check_png

# What files of each begin with, however damaged the rest is.
STARTS = {
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "GIF": rb"GIF8[79]a",
    "BMP": rb"BM.{4}\0\0\0\0",
    "WEBP": rb"RIFF....WEBP",
}
HUFFMAN_FRAMES = (0xC0, 0xC1, 0xC2)  # JPEG's baseline, extended and progressive DCT
# What TensorFlow decodes at most, whatever `image.max_pixels` says: px, and px a side.
MOST_PIXELS, LONGEST_SIDE = (1 << 29) - 1, 1_000_000
FIELDS = 2  # Raised when `Checked` gets a field.
BY = [PIL.__version__, imagehash.__version__, FIELDS]  # What a remembered check rests on.
DARK = 64  # of 255: an image whose brightest value is below is almost black (14 bits in 16)


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

    @property
    def short(self) -> int:
        """The shorter side of the image, px."""
        return min(self.width, self.height)


def bound(settings: ImageConfig) -> int:
    """What another value of would have a remembered file checked again."""
    return settings.max_pixels


def session() -> AbstractContextManager:
    """Around the checks of many files."""
    return quiet_pillow()


def read(
    file: Path | BinaryIO,
    content: Callable[[], bytes],
    digest: str,
    settings: ImageConfig,
    looks: bool,
) -> Checked:
    """What an image holds; raises what its decoder raises.

    Args:
      content: gives all of the file's bytes.
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
            # At down to an eighth of the size it decodes in half the time; truncation still shows.
            image.draft(None, (copies.THUMBNAIL, copies.THUMBNAIL))
        image.load()
        # Now that what stands behind the pixels has been read, too.
        decoder = choose_decoder(image, frame)
        peak = to_rgb(image).max() if decoder == "pillow" else _peak(image)
        seen = copies.looks(image) if looks else ""
        return Checked(digest, width, height, decoder, seen, int(peak))


def blame(start: bytes, error: Exception) -> str:
    """Why a file that begins with some bytes cannot be read as an image."""
    name = next((name for name, own in STARTS.items() if re.match(own, start, re.DOTALL)), None)
    if name is None:
        return formats.named(start) or f"not an image: neither {', '.join(FORMATS)}"
    if isinstance(error, UnidentifiedImageError):
        return f"truncated or damaged: the header of this {name} cannot be read"
    return f"truncated or damaged: {str(error) or repr(error)}"


def _peak(image: Image.Image) -> int:
    """The brightest value of a grey or RGB image."""
    extrema: Any = image.getextrema()
    return max(high for _, high in ([extrema] if image.mode == "L" else extrema))


def _refuse_size(width: int, height: int, max_pixels: int) -> str:
    size = f"{width} x {height} px"
    if width * height > max_pixels:
        return f"{size} is over image.max_pixels, {max_pixels}"
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


def warnings(checked: Mapping[str, Checked]) -> list[str]:
    """A warning of images that are readable and all but black."""
    dark = [file for file, own in checked.items() if not own.reason and own.peak < DARK]
    if not dark:
        return []
    peak = max(checked[file].peak for file in dark)
    return [
        f"almost black: {count_of(dark, 'image')} with no value above {peak} of 255: "
        f"{shortened(dark)}; 12-bit pictures stored as 16 bits, and masks of class numbers, look "
        "so: scale their values to 0..255"
    ]
