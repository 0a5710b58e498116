"""Images, the same every time: bytes to pixels, pixels to `(size, size, 3) uint8 RGB`."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps

from tl_keras.config import DataConfig
from tl_keras.data.audit import IMAGE_FORMATS, unbounded_pillow

# An image this many times the target or larger is decoded at a fraction in training.
FRACTION_MARGIN = 2


def decode(path: tf.Tensor, decoder: tf.Tensor, size: int, fraction: bool) -> tf.Tensor:
    """`(height, width, 3) uint8 RGB` of a file, upright.

    Args:
      path: scalar string, absolute.
      decoder: scalar string, `jpeg`, `png` or `pillow`, as the audit found.
      size: px that the image will be resized to.
      fraction: decode JPEGs at 1/2, 1/4 or 1/8 where at least twice `size` px are left.
    """
    branches = {
        "jpeg": lambda: _decode_jpeg(tf.io.read_file(path), size, fraction),
        "png": lambda: tf.io.decode_png(tf.io.read_file(path), channels=3),
    }
    cases = [(tf.equal(decoder, name), branch) for name, branch in branches.items()]
    image = tf.case(cases, default=lambda: _decode_with_pillow(path))
    return tf.ensure_shape(image, (None, None, 3))


def _decode_jpeg(content: tf.Tensor, size: int, fraction: bool) -> tf.Tensor:
    def at(ratio: int) -> Callable[[], tf.Tensor]:
        return lambda: tf.io.decode_jpeg(
            content, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE"
        )

    if not fraction:
        return at(1)()
    short = tf.reduce_min(tf.image.extract_jpeg_shape(content)[:2])
    enough = [(short >= FRACTION_MARGIN * size * ratio, at(ratio)) for ratio in (8, 4, 2)]
    return tf.case(enough, default=at(1))


def _decode_with_pillow(path: tf.Tensor) -> tf.Tensor:
    # Eagerly, names come and images go as arrays.
    def read(name: bytes | np.ndarray) -> np.ndarray:
        return read_rgb(Path(np.asarray(name).item().decode()))

    return tf.convert_to_tensor(tf.numpy_function(read, [path], tf.uint8))


def read_rgb(path: Path) -> np.ndarray:
    """`(height, width, 3) uint8 RGB` of any supported file: upright, alpha over white, 8 bits."""
    with unbounded_pillow(), Image.open(path, formats=IMAGE_FORMATS) as image:
        image.load()
        return to_rgb(ImageOps.exif_transpose(image))


def to_rgb(image: Image.Image) -> np.ndarray:
    """`(height, width, 3) uint8 RGB` of a decoded Pillow image."""
    if image.mode.startswith("I"):
        # 16 bits to 8 by the upper byte, as TensorFlow does; Pillow itself would clip.
        grey = (np.asarray(image).astype(np.int64) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=-1)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"))


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
    image = tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)
    if config.resize == "pad":
        image = tf.image.resize_with_crop_or_pad(image, size, size)
    return tf.ensure_shape(image, (size, size, 3))
