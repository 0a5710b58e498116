"""Images, the same every time: bytes to pixels, pixels to `(size, size, 3) uint8 RGB`."""

import io
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tl_keras.config.data import DataConfig
from tl_keras.modalities.image.pillow import read_rgb

# An image this many times the target or larger is decoded at a fraction in training.
FRACTION_MARGIN = 2


class Kind(NamedTuple):
    """How a file is decoded: `jpeg`, `png` or `pillow`, at 1 / `ratio` of its size."""

    decoder: str
    ratio: int = 1  # 1, 2, 4 or 8; other than 1 for `jpeg` alone


def kind_of(decoder: str, short: int, size: int) -> Kind:
    """How a file is decoded for training: at a fraction where twice the target is left.

    Args:
      decoder: as the audit found.
      short: px, the shorter side of the image.
      size: px that the image will be resized to.
    """
    ratios = (8, 4, 2) if decoder == "jpeg" else ()
    return Kind(decoder, next((r for r in ratios if short >= FRACTION_MARGIN * size * r), 1))


def decode(path: tf.Tensor, kind: Kind) -> tf.Tensor:
    """`(height, width, 3) uint8 RGB` of a file, upright; `path` is a scalar string."""
    return decode_content(tf.io.read_file(path), kind)


def decode_content(content: tf.Tensor, kind: Kind) -> tf.Tensor:
    """`decode` of what a file holds, a scalar string."""
    if kind.decoder == "jpeg":
        # The decoder's default is fast and a little off Pillow's pixels.
        accurate = {"ratio": kind.ratio, "dct_method": "INTEGER_ACCURATE"}
        image = tf.io.decode_jpeg(content, channels=3, **accurate)
    elif kind.decoder == "png":
        image = tf.io.decode_png(content, channels=3)
    else:
        image = _decode_with_pillow(content)
    return tf.ensure_shape(image, (None, None, 3))


def _decode_with_pillow(content: tf.Tensor) -> tf.Tensor:
    # Eagerly, strings come and images go as arrays.
    def read(encoded: bytes | np.ndarray) -> np.ndarray:
        return read_rgb(io.BytesIO(np.asarray(encoded, object).item()))

    return tf.convert_to_tensor(tf.numpy_function(read, [content], tf.uint8))


def prepare(image: tf.Tensor, config: DataConfig) -> tf.Tensor:
    """`(size, size, 3) uint8` from `(height, width, 3) uint8`, by `data.resize`."""
    size, inside = config.image_size, (config.image_size, config.image_size)
    height, width = tf.unstack(tf.shape(image)[:2])
    if config.resize == "crop":
        short = tf.minimum(height, width)
        image = tf.image.resize_with_crop_or_pad(image, short, short)
    elif config.resize == "pad":
        # Not tf.image.resize_with_pad: of very long images it makes 0 px, and fails.
        long = tf.maximum(height, width)
        inside = tf.maximum(tf.stack([height, width]) * size // long, 1)
    image = tf.image.resize(image, inside, antialias=config.antialias)
    image = tf.round(image)
    if config.antialias:  # Its weights may add up to a little over 1; clipping costs a tenth.
        image = tf.clip_by_value(image, 0, 255)
    image = tf.cast(image, tf.uint8)
    if config.resize == "pad":
        image = tf.image.resize_with_crop_or_pad(image, size, size)
    return tf.ensure_shape(image, (size, size, 3))
