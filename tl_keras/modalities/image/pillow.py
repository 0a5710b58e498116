"""Files to pixels by Pillow, as the audit tries it and decoding does it. Imports no TensorFlow.

`device/predict.py`, which runs on devices by itself, makes the same pixels of the same files: the
tests compare the two.
"""

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageFile

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
ORIENTATION = 0x0112  # EXIF tag; 1 is upright
# By EXIF orientation. ImageOps.exif_transpose also rewrites the EXIF, and fails where it cannot.
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_lock = threading.Lock()
_held: list[ExitStack] = []


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Turns Pillow's own bound off, and its warnings on metadata; `max_pixels` is checked instead.
    Truncated images fail even if LOAD_TRUNCATED_IMAGES is set.

    All threads share these settings: the last one to leave restores them.
    """
    with _lock:
        _held.append(_held[0] if _held else _quieten())
    try:
        yield
    finally:
        with _lock:
            restore = _held.pop()
            if not _held:
                restore.close()


def _quieten() -> ExitStack:
    restore = ExitStack()
    # Not catch_warnings, which would undo what other threads do to the filters meanwhile.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    restore.callback(_remove, warnings.filters[0])
    restore.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    Image.MAX_IMAGE_PIXELS = None
    restore.callback(setattr, ImageFile, "LOAD_TRUNCATED_IMAGES", ImageFile.LOAD_TRUNCATED_IMAGES)
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    return restore


def _remove(own: tuple) -> None:
    with suppress(ValueError):
        warnings.filters.remove(own)  # type: ignore[attr-defined]  # It is a list.


def read_rgb(file: Path | BinaryIO) -> np.ndarray:
    """`(height, width, 3) uint8 RGB` of any supported file: upright, alpha over white, 8 bits."""
    with quiet_pillow(), Image.open(file, formats=FORMATS) as image:
        image.load()
        return upright_rgb(image)


def upright_rgb(image: Image.Image) -> np.ndarray:
    """`to_rgb`, turned as the image's EXIF orientation says."""
    turn = UPRIGHT.get(orientation(image))
    return to_rgb(image if turn is None else image.transpose(turn))


def to_rgb(image: Image.Image) -> np.ndarray:
    """`(height, width, 3) uint8 RGB` of a decoded image: alpha over white."""
    if image.mode.startswith("I"):
        # 16 bits to 8 by the upper byte, as TensorFlow does; Pillow itself would clip.
        grey = (np.asarray(image).astype(np.int64) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=-1)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"))


def orientation(image: Image.Image) -> int:
    """The EXIF orientation of a loaded image, 1 to 8; 1, upright, if it is missing or broken."""
    try:
        value: Any = image.getexif().get(ORIENTATION)
    except Exception:  # Pillow raises anything here; the pixels are sound.
        return 1
    return value if value in range(1, 9) else 1
