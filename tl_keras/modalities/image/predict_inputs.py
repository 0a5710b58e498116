"""Converts what a user gives to `predict` to one list, whose entries are paths or images."""

import io
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tl_keras.modalities.image.decoding.pillow import quiet_pillow, upright_rgb

ON_COMMAND_LINE = "image files or folders"
EXPECTED = (
    "expected an image file, a folder, an array (height, width, 3) uint8, a PIL image or a list of "
    "these"
)


@dataclass(frozen=True)
class Given:
    """An image in memory.

    Attributes:
      name: the value of `file` in the row of predictions for this image.
      raw: `(height, width, 3) uint8` RGB, upright.
    """

    name: str
    raw: np.ndarray


def as_given(values: Any) -> list[Path | Given]:
    """Returns one list, in which arrays and PIL images are `Given` and all else is paths.

    Args:
      values: the path of a file or folder, an array or a PIL image; or an iterable of them.

    Raises:
      TypeError: a value has another type, or an array has another shape or dtype.
      ValueError: a PIL image cannot be read.
    """
    return [_one(value, i) for i, value in enumerate(_many(values))]


def _many(pictures: Any) -> Iterable[Any]:
    if isinstance(pictures, str | os.PathLike | Image.Image):
        return [pictures]
    if isinstance(pictures, np.ndarray) and pictures.ndim == 0:
        return [pictures.item()]
    if isinstance(pictures, np.ndarray) and pictures.ndim < 4 and pictures.dtype.kind in "biuf":
        return [pictures]
    unsupported = isinstance(pictures, bytes | bytearray | memoryview | Mapping | io.IOBase)
    if unsupported or not isinstance(pictures, Iterable):
        raise TypeError(f"predict: {EXPECTED}; received {type(pictures).__name__}")
    return pictures


def _one(picture: Any, place: int) -> Path | Given:
    name = f"#{place}"
    if isinstance(picture, str | os.PathLike) and isinstance(os.fspath(picture), str):
        if not os.fspath(picture):  # An empty path would mean the current folder.
            raise TypeError(f"predict: {EXPECTED}; received an empty path as value {name}")
        return Path(os.path.expanduser(picture))
    if isinstance(picture, Image.Image):
        filename = getattr(picture, "filename", "") or name
        try:
            with quiet_pillow():
                picture = upright_rgb(picture)
        except (ValueError, OSError) as error:  # The image is closed, or its file is damaged.
            raise ValueError(
                f"predict: value {name}, a PIL image, cannot be read: {error}"
            ) from None
        name = filename
    if not isinstance(picture, np.ndarray):
        raise TypeError(f"predict: {EXPECTED}; received {type(picture).__name__} as value {name}")
    if picture.dtype != np.uint8 or picture.shape[2:] != (3,) or 0 in picture.shape:
        array = f"an array {picture.shape} {picture.dtype}"
        raise TypeError(f"predict: {EXPECTED}; received {array} as value {name}")
    return Given(name, picture)
