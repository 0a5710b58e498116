"""Embedded sources of images: `digits`, real and handwritten, and `glyphs`, which are drawn; and
what an image is in TensorFlow Datasets."""

import functools
from typing import Any

import numpy as np

from tl_keras.maybe import Maybe
from tl_keras.modalities.drawn_source import Drawn
from tl_keras.modalities.image.drawn import digits, glyph_masks

HELD_OUT = 10_000  # glyphs, of which data.val and data.test are shares
AT_ONCE = 1024
FEATURE = "image"  # of TensorFlow Datasets
SUFFIXES = {b"\xff\xd8": ".jpg", b"\x89P": ".png", b"GI": ".gif", b"BM": ".bmp", b"RI": ".webp"}


def is_feature(feature: Any) -> bool:
    """Whether a feature of TensorFlow Datasets holds images."""
    import tensorflow_datasets as tfds

    return isinstance(feature, tfds.features.Image)


def check_feature(feature: Any, name: str) -> None:
    """Raises ValueError where the images of a data set are of another type."""
    if feature.np_dtype != np.uint8:
        raise ValueError(
            f"data.name: {name!r} has images of {np.dtype(feature.np_dtype)}; expected uint8"
        )


def suffix_of(content: bytes) -> str:
    """For the name of a file that holds an encoded image."""
    return SUFFIXES.get(content[:2], ".img")


def draw_digits(config: Any) -> Drawn:
    """The digits, all of them; splits are carved."""
    images, labels = digits.render()
    files = [f"digits/{i:04d}" for i in range(len(labels))]
    return Drawn(digits.CLASSES, np.ascontiguousarray(images), labels, files)


def draw_glyphs(config: Any) -> Drawn:
    """Glyphs at `image.size`: val and test are drawn now, train when it is read."""
    from tl_keras.modalities.image.drawn import glyphs

    data, size = config.data, config.image.size
    num_val, num_test = round(data.val * HELD_OUT), round(data.test * HELD_OUT)
    seed = 2 * data.split_seed  # Even seeds draw val and test, odd ones train.
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
    """Images `(count, size, size, 3) uint8` (None for size 0) and labels `(count,) int64`."""
    import tensorflow as tf

    from tl_keras.modalities.image.drawn import glyphs

    # Traced, so that TensorFlow leaves out the drawing where labels alone are asked for.
    @tf.function(autograph=False)
    def chunk(indices):
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
