"""What people hand to `predict`: image files, folders, arrays, PIL images; one or many of them."""

import io
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tl_keras.modalities.image.pillow import quiet_pillow, upright_rgb

EXPECTED = (
    "expected image files, folders, arrays (height, width, 3) uint8 or PIL images, one or a list"
)


@dataclass(frozen=True)
class Given:
    """An image that is in memory.

    Attributes:
      name: what stands in its row as `file`.
      raw: `(height, width, 3) uint8` RGB, upright.
    """

    name: str
    raw: np.ndarray


def as_given(values: Any) -> list[Path | Given]:
    """A list of paths and images from one or many of them.

    Raises:
      TypeError: something is neither.
    """
    return [_one(value, i) for i, value in enumerate(_many(values))]


def _many(pictures: Any) -> Iterable[Any]:
    if isinstance(pictures, str | os.PathLike | Image.Image):
        return [pictures]
    if isinstance(pictures, np.ndarray) and pictures.ndim == 0:
        return [pictures.item()]
    if isinstance(pictures, np.ndarray) and pictures.ndim < 4 and pictures.dtype.kind in "biuf":
        return [pictures]
    strange = isinstance(pictures, bytes | bytearray | memoryview | Mapping | io.IOBase)
    if strange or not isinstance(pictures, Iterable):
        raise TypeError(f"predict: {EXPECTED}; received {type(pictures).__name__}")
    return pictures


def _one(picture: Any, place: int) -> Path | Given:
    name = f"#{place}"
    if isinstance(picture, str | os.PathLike) and isinstance(os.fspath(picture), str):
        if not os.fspath(picture):  # As a path it would be the current folder.
            raise TypeError(f"predict: {EXPECTED}; received an empty name at {name}")
        return Path(os.path.expanduser(picture))
    if isinstance(picture, Image.Image):
        own = getattr(picture, "filename", "") or name
        try:
            with quiet_pillow():
                picture = upright_rgb(picture)
        except (ValueError, OSError) as error:  # Closed, or a damaged file.
            raise ValueError(f"predict: the PIL image at {name} cannot be read: {error}") from None
        name = own
    if not isinstance(picture, np.ndarray):
        raise TypeError(f"predict: {EXPECTED}; received {type(picture).__name__} at {name}")
    if picture.dtype != np.uint8 or picture.shape[2:] != (3,) or 0 in picture.shape:
        raise TypeError(
            f"predict: {EXPECTED}; received an array {picture.shape} {picture.dtype} at {name}"
        )
    return Given(name, picture)
