"""Files to pixels by Pillow, as the audit tries it and decoding does it. Imports no TensorFlow.

How a file becomes pixels is said in `embedded/device/predict.py`, which runs on devices by itself.
"""

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageFile

from tl_keras.modalities.image.device import predict

_lock, _held = threading.Lock(), []


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
        warnings.filters.remove(own)


def read_rgb(file: Path | BinaryIO) -> np.ndarray:
    """`(height, width, 3) uint8 RGB` of any supported file: upright, alpha over white, 8 bits."""
    with quiet_pillow():
        return predict.decode(file)
