"""Images that do not come from a user's files.

`digits` are real handwritten digits, and `glyphs` are rendered letters and symbols. The module also
says how data sets of TensorFlow Datasets hold images.
"""

import functools
from typing import Any

import numpy as np

from tl_keras.maybe import Maybe
from tl_keras.modalities.drawn_source import Drawn
from tl_keras.modalities.image.drawn import digits, glyph_masks

HELD_OUT = 10_000  # glyphs; val and test get the fractions data.val and data.test of this number
AT_ONCE = 1024
FEATURE = "image"  # name of the feature in TensorFlow Datasets
SUFFIXES = {b"\xff\xd8": ".jpg", b"\x89P": ".png", b"GI": ".gif", b"BM": ".bmp", b"RI": ".webp"}


def is_feature(feature: Any) -> bool:
    """Returns whether a feature of TensorFlow Datasets holds images."""
    import tensorflow_datasets as tfds

    return isinstance(feature, tfds.features.Image)


def check_feature(feature: Any, name: str) -> None:
    """Raises ValueError if the images of a data set are not uint8."""
    if feature.np_dtype != np.uint8:
        raise ValueError(
            f"data.name: {name!r} has images of {np.dtype(feature.np_dtype)}; expected uint8 pixels"
        )


def suffix_of(content: bytes) -> str:
    """Returns the file suffix for an encoded image, by its first bytes."""
    return SUFFIXES.get(content[:2], ".img")


def draw_digits(config: Any) -> Drawn:
    """Returns the images of `data.source: digits`, which are still to be split."""
    images, labels = digits.render()
    files = [f"digits/{i:04d}" for i in range(len(labels))]
    return Drawn(digits.CLASSES, np.ascontiguousarray(images), labels, files)


def draw_glyphs(config: Any) -> Drawn:
    """Returns the images of `data.source: glyphs`, in the size `image.size`.

    Images of val and test are rendered now. Images of train are rendered whenever training reads
    them.
    """
    from tl_keras.modalities.image.drawn import glyphs

    data, size = config.data, config.image.size
    num_val, num_test = round(data.val * HELD_OUT), round(data.test * HELD_OUT)
    seed = 2 * data.split_seed  # Even seeds are for val and test, odd seeds for train.
    images, labels = _draw(seed, num_val + num_test, size)
    _, drawn_labels = _draw(seed + 1, data.num_examples, 0)
    return Drawn(
        glyph_masks.CLASSES,
        images,
        labels,
        [f"glyphs/{i:06d}" for i in range(len(labels))],
        {"val": slice(0, num_val), "test": slice(num_val, None)},
        [
            (f"glyphs/train/{i:06d}", int(label), f"glyphs {seed + 1} {i}")
            for i, label in enumerate(drawn_labels)
        ],
        functools.partial(glyphs.render, seed + 1, size=size),
    )


def _draw(seed: int, count: int, size: int) -> tuple[Maybe[np.ndarray], np.ndarray]:
    """Renders glyphs; returns images `(count, size, size, 3) uint8` and labels `(count,) int64`.

    Args:
      size: px, height = width. If 0, nothing is rendered, and the images are None.
    """
    import tensorflow as tf

    from tl_keras.modalities.image.drawn import glyphs

    # In a graph, TensorFlow skips the rendering if only the labels are returned.
    @tf.function(autograph=False)
    def chunk(indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images, labels = glyphs.render(seed, indices, size or 64)
        return (images, labels) if size else (labels, labels)

    starts = range(0, count, AT_ONCE)
    drawn = [
        chunk(tf.range(start, min(start + AT_ONCE, count), dtype=tf.int64)) for start in starts
    ]
    labels = np.concatenate([labels.numpy() for _, labels in drawn])
    images = np.concatenate([images.numpy() for images, _ in drawn]) if size else None
    return images, labels


SOURCES = {"digits": draw_digits, "glyphs": draw_glyphs}
