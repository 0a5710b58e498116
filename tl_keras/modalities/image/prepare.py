"""Images, the same every time: bytes to pixels, pixels to `(size, size, 3) uint8 RGB`."""

import io
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import PIL
import tensorflow as tf

from tl_keras.modalities.image.check import Checked
from tl_keras.modalities.image.config import ImageConfig
from tl_keras.modalities.image.pillow import read_rgb

BY = {"pillow": PIL.__version__}  # What a prepared image rests on, beside TensorFlow.

# An image this many times the target or larger is decoded at a fraction in training.
FRACTION_MARGIN = 2
AT_ONCE = 64


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


def decoder(
    checked: Sequence[Checked], settings: ImageConfig, fraction: bool
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """From the index of a file and what it holds to its prepared image, in a graph.

    Args:
      checked: of each file what its check found.
      fraction: whether large JPEGs are decoded at a fraction of their size, to train on alone.
    """
    if fraction:
        kinds = [kind_of(own.decoder, own.short, settings.size) for own in checked]
    else:
        kinds = [Kind(own.decoder) for own in checked]
    present = sorted(set(kinds))
    codes = tf.constant([present.index(kind) for kind in kinds], tf.int32)

    def one(i: tf.Tensor, content: tf.Tensor) -> tf.Tensor:
        branches = [lambda kind=kind: decode_content(content, kind) for kind in present]
        # A branch costs a fifth of the speed, and most data sets have one kind of file.
        image = branches[0]() if len(present) == 1 else tf.switch_case(codes[i], branches)
        return prepare(image, settings)

    return one


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


def prepare(image: tf.Tensor, settings: ImageConfig) -> tf.Tensor:
    """`(size, size, 3) uint8` from `(height, width, 3) uint8`, by `image.resize`."""
    size, inside = settings.size, (settings.size, settings.size)
    height, width = tf.unstack(tf.shape(image)[:2])
    if settings.resize == "crop":
        short = tf.minimum(height, width)
        image = tf.image.resize_with_crop_or_pad(image, short, short)
    elif settings.resize == "pad":
        # Not tf.image.resize_with_pad: of very long images it makes 0 px, and fails.
        long = tf.maximum(height, width)
        inside = tf.maximum(tf.stack([height, width]) * size // long, 1)
    image = tf.image.resize(image, inside, antialias=settings.antialias)
    image = tf.round(image)
    if settings.antialias:  # Its weights may add up to a little over 1; clipping costs a tenth.
        image = tf.clip_by_value(image, 0, 255)
    image = tf.cast(image, tf.uint8)
    if settings.resize == "pad":
        image = tf.image.resize_with_crop_or_pad(image, size, size)
    return tf.ensure_shape(image, (size, size, 3))


def served(content: tf.Tensor, settings: ImageConfig) -> tf.Tensor:
    """A prepared image of what a JPEG, PNG, BMP or GIF file holds, by TensorFlow's operators alone.

    EXIF orientation and transparency are ignored.
    """
    # JPEGs apart: `decode_image` would decode them fast, and otherwise than in training.
    image = tf.cond(
        tf.io.is_jpeg(content),
        lambda: tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(content, channels=3, expand_animations=False),
    )
    return prepare(image, settings)


def embedded(images: np.ndarray, settings: ImageConfig) -> np.ndarray:
    """`(n, size, size, 3) uint8` of images that the package drew, `(n, height, width, 3) uint8`."""
    size = settings.size
    if images.shape[1] == size:
        return images
    array = np.empty((len(images), size, size, 3), np.uint8)

    @tf.function(autograph=False)
    def resize(some: tf.Tensor) -> tf.Tensor:
        resized = tf.image.resize(some, (size, size), antialias=settings.antialias)
        # Antialiasing's weights may add up to a little over 1.
        return tf.clip_by_value(tf.round(resized), 0, 255)

    for start in range(0, len(images), AT_ONCE):
        some = images[start : start + AT_ONCE]
        array[start : start + len(some)] = resize(tf.constant(some)).numpy()
    return array
