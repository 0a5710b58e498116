"""Decodes image files with Pillow, for the audit and for training. Imports no TensorFlow.

`device/predict.py`, which runs on devices without this package, must decode every file to the same
pixels; tests compare the two.
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
# How to turn an image upright, by EXIF orientation. ImageOps.exif_transpose is not used because it
# also rewrites the EXIF data, and fails if it cannot.
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
    """Context in which Pillow has no limit on image size and gives no warnings about metadata.

    The caller compares the size with `image.max_pixels` instead. Inside, truncated images raise an
    error even if LOAD_TRUNCATED_IMAGES was set. All threads share these settings of Pillow. When
    the last thread leaves its context, they are restored.
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
    # Not catch_warnings: on exit it would undo changes that other threads made to the filters.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    restore.callback(_remove, warnings.filters[0])
    restore.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    Image.MAX_IMAGE_PIXELS = None
    restore.callback(setattr, ImageFile, "LOAD_TRUNCATED_IMAGES", ImageFile.LOAD_TRUNCATED_IMAGES)
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    return restore


def _remove(warning_filter: tuple) -> None:
    with suppress(ValueError):
        warnings.filters.remove(warning_filter)  # type: ignore[attr-defined]  # It is a list.


def read_rgb(file: Path | BinaryIO) -> np.ndarray:
    """Reads an image file as `(height, width, 3) uint8 RGB`, upright and on a white background."""
    with quiet_pillow(), Image.open(file, formats=FORMATS) as image:
        image.load()
        return upright_rgb(image)


def upright_rgb(image: Image.Image) -> np.ndarray:
    """Turns an image upright by its EXIF orientation, and converts it as `to_rgb` does."""
    turn = UPRIGHT.get(orientation(image))
    return to_rgb(image if turn is None else image.transpose(turn))


def to_rgb(image: Image.Image) -> np.ndarray:
    """Converts a decoded image to `(height, width, 3) uint8 RGB`, on white where transparent."""
    if image.mode.startswith("I"):
        # 16 bits become 8 by taking the upper byte, as TensorFlow does; Pillow itself would clip.
        grey = (np.asarray(image).astype(np.int64) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=-1)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"))


def orientation(image: Image.Image) -> int:
    """Returns the EXIF orientation of a decoded image, 1 to 8; 1 (upright) if missing or broken."""
    try:
        value: Any = image.getexif().get(ORIENTATION)
    except Exception:  # Pillow may raise any exception here, although the pixels are intact.
        return 1
    return value if value in range(1, 9) else 1
