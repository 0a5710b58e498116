"""Prepares images without randomness: decodes and resizes them to `(size, size, 3) uint8 RGB`."""

import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL
import tensorflow as tf

from tl_keras.modalities.image.check import Checked
from tl_keras.modalities.image.config import ImageConfig
from tl_keras.modalities.image.decoding.pillow import read_rgb

# For training, a JPEG is decoded at a fraction of its size that is at least this many times the
# target size.
FRACTION_MARGIN = 2
AT_ONCE = 64


def keep(settings: ImageConfig, folder: Path) -> None:
    """Writes nothing, since the settings are all that the preparation of images needs."""


def by(settings: ImageConfig) -> dict[str, str]:
    """Returns the versions of libraries, other than TensorFlow, that affect a prepared image."""
    return {"pillow": PIL.__version__}


def unchanging(settings: ImageConfig) -> dict[str, str]:
    """Returns no digests: the preparation of images reads no files besides them."""
    return {}


class Kind(NamedTuple):
    """How a file is decoded: by `jpeg`, `png` or `pillow`, and at 1 / `ratio` of its size."""

    decoder: str
    ratio: int = 1  # 1, 2, 4 or 8 for `jpeg`, otherwise 1


def kind_of(decoder: str, short: int, size: int) -> Kind:
    """Returns how to decode a file for training: large JPEGs at a reduced size, which is faster.

    The reduced image still has at least twice the target size.

    Args:
      decoder: the decoder that the check of the file chose.
      short: the shorter side of the image, px.
      size: the target size, px.
    """
    ratios = (8, 4, 2) if decoder == "jpeg" else ()
    return Kind(decoder, next((r for r in ratios if short >= FRACTION_MARGIN * size * r), 1))


def decoder(
    checked: Sequence[Checked], settings: ImageConfig, fraction: bool
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Returns a graph function from (index of a file, its content) to the prepared image.

    Args:
      checked: the result of the check of each file.
      fraction: whether large JPEGs are decoded at a fraction of their size, which is faster but
        gives slightly different pixels; for training only.
    """
    if fraction:
        kinds = [kind_of(image.decoder, image.short, settings.size) for image in checked]
    else:
        kinds = [Kind(image.decoder) for image in checked]
    present = sorted(set(kinds))
    codes = tf.constant([present.index(kind) for kind in kinds], tf.int32)

    def one(i: tf.Tensor, content: tf.Tensor) -> tf.Tensor:
        branches = [lambda kind=kind: decode_content(content, kind) for kind in present]
        # Most data sets have one kind of file, and branching would cost a fifth of the speed.
        image = branches[0]() if len(present) == 1 else tf.switch_case(codes[i], branches)
        return prepare(image, settings)

    return one


def decode(path: tf.Tensor, kind: Kind) -> tf.Tensor:
    """Decodes a file to `(height, width, 3) uint8 RGB`, upright.

    Args:
      path: path of the file, a scalar string tensor.
      kind: how to decode the file.
    """
    return decode_content(tf.io.read_file(path), kind)


def decode_content(content: tf.Tensor, kind: Kind) -> tf.Tensor:
    """Decodes the content of a file, a scalar string tensor, as `decode` does."""
    if kind.decoder == "jpeg":
        # The default DCT method is faster, but its pixels differ a little from Pillow's.
        accurate = {"ratio": kind.ratio, "dct_method": "INTEGER_ACCURATE"}
        image = tf.io.decode_jpeg(content, channels=3, **accurate)
    elif kind.decoder == "png":
        image = tf.io.decode_png(content, channels=3)
    else:
        image = _decode_with_pillow(content)
    return tf.ensure_shape(image, (None, None, 3))


def _decode_with_pillow(content: tf.Tensor) -> tf.Tensor:
    # Outside a graph, the content comes as an array, and the image must be converted to a tensor.
    def read(encoded: bytes | np.ndarray) -> np.ndarray:
        return read_rgb(io.BytesIO(np.asarray(encoded, object).item()))

    return tf.convert_to_tensor(tf.numpy_function(read, [content], tf.uint8))


def prepare(image: tf.Tensor, settings: ImageConfig) -> tf.Tensor:
    """Resizes an image of any size to `(size, size, 3) uint8`, as the field `image.resize` says."""
    size, inside = settings.size, (settings.size, settings.size)
    height, width = tf.unstack(tf.shape(image)[:2])
    if settings.resize == "crop":
        short = tf.minimum(height, width)
        image = tf.image.resize_with_crop_or_pad(image, short, short)
    elif settings.resize == "pad":
        # Not tf.image.resize_with_pad: it fails on very long images, whose short side becomes 0 px.
        long = tf.maximum(height, width)
        inside = tf.maximum(tf.stack([height, width]) * size // long, 1)
    image = tf.image.resize(image, inside, antialias=settings.antialias)
    image = tf.round(image)
    # The weights of antialiasing may sum to slightly more than 1. Only then clip: it costs a tenth.
    if settings.antialias:
        image = tf.clip_by_value(image, 0, 255)
    image = tf.cast(image, tf.uint8)
    if settings.resize == "pad":
        image = tf.image.resize_with_crop_or_pad(image, size, size)
    return tf.ensure_shape(image, (size, size, 3))


def for_students(settings: ImageConfig, contents: Iterable[bytes], folder: Path) -> None:
    """Writes nothing, since students take the same images as their teacher."""


def is_served(settings: ImageConfig) -> bool:
    """Returns whether `served` works with these settings, which is always so."""
    return True


def served(contents: tf.Tensor, settings: ImageConfig) -> tf.Tensor:
    """Decodes and resizes JPEG, PNG, BMP or GIF images with TensorFlow operators only.

    Exported models for servers need this. EXIF orientation and transparency are ignored.

    Args:
      contents: the bytes of the files, `(batch,) string`.
    """
    return tf.map_fn(lambda one: _served(one, settings), contents, fn_output_signature=tf.uint8)


def _served(content: tf.Tensor, settings: ImageConfig) -> tf.Tensor:
    # `decode_image` would decode JPEGs with the fast DCT, not as in training.
    image = tf.cond(
        tf.io.is_jpeg(content),
        lambda: tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(content, channels=3, expand_animations=False),
    )
    return prepare(image, settings)


def embedded(images: np.ndarray, settings: ImageConfig) -> np.ndarray:
    """Resizes generated images `(n, height, width, 3) uint8` to `(n, size, size, 3) uint8`."""
    size = settings.size
    if images.shape[1] == size:
        return images
    array = np.empty((len(images), size, size, 3), np.uint8)

    @tf.function(autograph=False)
    def resize(chunk: tf.Tensor) -> tf.Tensor:
        resized = tf.image.resize(chunk, (size, size), antialias=settings.antialias)
        # The weights of antialiasing may sum to slightly more than 1.
        return tf.clip_by_value(tf.round(resized), 0, 255)

    for start in range(0, len(images), AT_ONCE):
        chunk = images[start : start + AT_ONCE]
        array[start : start + len(chunk)] = resize(tf.constant(chunk)).numpy()
    return array
