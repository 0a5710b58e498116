"""Random augmentation of batches of images.

A view is a randomly changed version of an image. It depends only on the image and on one row of
uniform random numbers, so the same numbers give the same view again. (Keras's augmentation layers,
mapped in parallel over a tf.data pipeline, give different views in two runs.) All geometric
operations of a view are combined into one resampling.
"""

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tl_keras.modalities.image.config import MIXING, Augmentation, RandAugment

Augmentations = tuple[Augmentation, ...]

# Number of uniform numbers that each operation reads. `mixup` and `cutmix` take a seed: see `mix`.
COLUMNS = {
    "flip": 2,
    "rotation": 1,
    "zoom": 1,
    "translation": 2,
    "contrast": 1,
    "brightness": 1,
    "color": 2,
    "rand_augment": 12,
    "erasing": 5,
}
GREY = (0.299, 0.587, 0.114)  # Rec. 601 luma


def num_columns(augmentations: Augmentations) -> int:
    """Returns how many uniform random numbers these operations need to make one view."""
    return sum(COLUMNS.get(entry.name, 0) for entry in augmentations)


def mixes(augmentations: Augmentations) -> bool:
    """Returns whether any operation mixes images of a batch with each other."""
    return any(entry.name in MIXING for entry in augmentations)


def augment(images: tf.Tensor, uniform: tf.Tensor, augmentations: Augmentations) -> tf.Tensor:
    """Returns one random view of each image, `(batch, size, size, 3) uint8`.

    Geometric operations come first, in one resampling; the others follow in their given order.

    Args:
      images: `(batch, size, size, 3) uint8`.
      uniform: `(batch, num_columns(augmentations)) float32` in [0, 1).
      augmentations: operations; `mixup` and `cutmix` are ignored here.
    """
    if not num_columns(augmentations):
        return images
    matrices, colours = _plan(uniform, augmentations)
    views = tf.cast(images, tf.float32)
    if matrices:
        joined = matrices[0]
        for matrix in matrices[1:]:
            joined = joined @ matrix
        views = _resample(views, joined)
    for colour in colours:
        views = colour(views)
    return tf.cast(tf.clip_by_value(tf.round(views), 0, 255), tf.uint8)


def _plan(uniform: tf.Tensor, augmentations: Augmentations) -> tuple[list[tf.Tensor], list]:
    """Returns two lists: geometric operations as matrices, and the others as functions.

    Both lists have the order of `augmentations`. The functions take and return float images.
    """
    matrices: list[tf.Tensor] = []
    colours: list[Callable[..., tf.Tensor]] = []
    start = 0
    for entry in augmentations:
        u = uniform[:, start : start + COLUMNS.get(entry.name, 0)]
        start += COLUMNS.get(entry.name, 0)
        strength = getattr(entry, entry.name)
        if entry.name in GEOMETRIC:
            matrices.append(GEOMETRIC[entry.name](u, strength))
        elif entry.name in COLOURS:
            operation = COLOURS[entry.name]
            colours.append(lambda x, f=operation, u=u, strength=strength: f(x, u, strength))
        elif entry.name == "rand_augment":
            drawn, recoloured = _rand_augment(u, strength)
            matrices.extend(drawn)
            colours.extend(recoloured)
    return matrices, colours


def mix(
    images: tf.Tensor, targets: tf.Tensor, augmentations: Augmentations, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mixes each image and its target with another one of the batch, by MixUp or CutMix.

    MixUp is arXiv 1710.09412, CutMix arXiv 1905.04899. Image i is mixed with image i - 1. All
    images of a batch are mixed in the same random ratio. If both operations are configured, each
    batch randomly gets one of them. Returns mixed images and targets.

    Args:
      images: `(batch, size, size, 3) uint8`.
      targets: `(batch, classes) float32`; each row sums to 1.
      augmentations: operations; all except `mixup` and `cutmix` are ignored.
      seed: `(2,) int32`; the result is a pure function of the seed and the batch.
    """
    named = [entry for entry in augmentations if entry.name in MIXES]
    if not named:
        return images, targets
    choice = tf.random.stateless_uniform((), seed, 0, len(named), tf.int32)
    cases = [lambda entry=entry: _mix_one(images, targets, entry, seed + 1) for entry in named]
    return tf.switch_case(choice, cases)


def _mix_one(
    images: tf.Tensor, targets: tf.Tensor, entry: Augmentation, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    alpha = getattr(entry, entry.name)
    views, share = MIXES[entry.name](images, _beta(alpha, seed), seed + 2)
    return views, share * targets + (1 - share) * tf.roll(targets, 1, axis=0)


def _beta(alpha: float, seed: tf.Tensor) -> tf.Tensor:
    """Returns a sample of Beta(alpha, alpha): a / (a + b), for two samples a and b of Gamma(alpha).

    For a small alpha, a and b may both underflow to 0, which gives 0 / 0. Hence the function
    computes log a and log b instead, each from a sample of Gamma(alpha + 1) and a uniform number.
    """
    larger = tf.math.log(tf.random.stateless_gamma((2,), seed, alpha + 1))
    log_a, log_b = tf.unstack(
        larger + tf.math.log(1 - tf.random.stateless_uniform((2,), seed + 1)) / alpha
    )
    return tf.sigmoid(log_a - log_b)


def _mixup(images: tf.Tensor, share: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    first = tf.cast(images, tf.float32)
    mixed = share * first + (1 - share) * tf.roll(first, 1, axis=0)
    return tf.cast(tf.round(mixed), tf.uint8), share


def _cutmix(images: tf.Tensor, share: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    size = images.shape[1]
    side = tf.sqrt(1 - share)
    top, left = tf.unstack(tf.random.stateless_uniform((2,), seed) * (1 - side))
    # The rectangle is rounded to whole pixels, so the share is the one that these pixels cover.
    inside_y, inside_x = _inside(top, side, size), _inside(left, side, size)
    hole = inside_y[:, None] & inside_x[None, :]
    covered = tf.reduce_mean(tf.cast(hole, tf.float32))
    return tf.where(hole[None, :, :, None], tf.roll(images, 1, axis=0), images), 1 - covered


def _inside(start: tf.Tensor, length: tf.Tensor, size: int) -> tf.Tensor:
    """Returns a mask `(..., size) bool` of pixels of a row or column: True inside an interval.

    Args:
      start: start of the interval, as a fraction of the row or column.
      length: length of the interval, as such a fraction.
      size: number of pixels of the row or column.
    """
    centres = (tf.range(size, dtype=tf.float32) + 0.5) / size
    return (centres >= start[..., None]) & (centres < (start + length)[..., None])


MIXES = {"mixup": _mixup, "cutmix": _cutmix}


def _resample(images: tf.Tensor, matrices: tf.Tensor) -> tf.Tensor:
    """Resamples images bilinearly; pixels outside an image are mirrored at its border.

    Args:
      matrices: `(batch, 3, 3)`; they map coordinates in the result to coordinates in the image.
        Coordinates are measured from the centre, as fractions of the image size.
    """
    size = images.shape[1]
    centre = (size - 1) / 2
    inward = tf.constant([[1, 0, -centre], [0, 1, -centre], [0, 0, size]], tf.float32) / size
    outward = tf.constant([[size, 0, centre], [0, size, centre], [0, 0, 1]], tf.float32)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.reshape(outward @ matrices @ inward, (-1, 9))[:, :8],
        output_shape=(size, size),
        interpolation="BILINEAR",
        fill_mode="REFLECT",
        fill_value=0.0,
    )


def _matrix(
    a: Any, b: Any = 0.0, c: Any = 0.0, d: Any = 1.0, x: Any = 0.0, y: Any = 0.0
) -> tf.Tensor:
    """Returns affine matrices `(batch, 3, 3)` with the rows (a b x), (c d y) and (0 0 1).

    Each argument is `(batch,)` or a number.
    """
    rows = [tf.broadcast_to(value, tf.shape(a)) for value in (a, b, x, c, d, y, 0.0, 0.0, 1.0)]
    return tf.reshape(tf.stack(rows, axis=-1), (-1, 3, 3))


def _spread(u: tf.Tensor, strength: float) -> tf.Tensor:
    """Maps uniform numbers in 0..1 to uniform numbers in -strength..strength."""
    return (2 * u - 1) * strength


def _flip(u: tf.Tensor, axes: str) -> tf.Tensor:
    x, y = tf.unstack(tf.where(u < 0.5, -1.0, 1.0), axis=-1)
    one = tf.ones_like(x)
    return _matrix(one if axes == "vertical" else x, d=one if axes == "horizontal" else y)


def _rotate(u: tf.Tensor, turns: float) -> tf.Tensor:
    return _rotation(_spread(u[:, 0], 2 * math.pi * turns))


def _rotation(angle: tf.Tensor) -> tf.Tensor:
    return _matrix(tf.cos(angle), -tf.sin(angle), tf.sin(angle), tf.cos(angle))


def _zoom(u: tf.Tensor, share: float) -> tf.Tensor:
    scale = 1 + _spread(u[:, 0], share)
    return _matrix(scale, d=scale)


def _translate(u: tf.Tensor, share: float) -> tf.Tensor:
    return _matrix(tf.ones_like(u[:, 0]), x=_spread(u[:, 0], share), y=_spread(u[:, 1], share))


Operations = dict[str, Callable[..., tf.Tensor]]
GEOMETRIC: Operations
GEOMETRIC = {"flip": _flip, "rotation": _rotate, "zoom": _zoom, "translation": _translate}


def _per_image(values: tf.Tensor) -> tf.Tensor:
    return values[:, None, None, None]


def _contrast(images: tf.Tensor, u: tf.Tensor, share: float) -> tf.Tensor:
    return _scale_contrast(images, 1 + _spread(u[:, 0], share))


def _scale_contrast(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    mean = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
    return mean + (images - mean) * _per_image(factor)


def _brightness(images: tf.Tensor, u: tf.Tensor, share: float) -> tf.Tensor:
    return images + _per_image(_spread(u[:, 0], 255 * share))


def _color(images: tf.Tensor, u: tf.Tensor, share: float) -> tf.Tensor:
    """Changes saturation and hue at random.

    The factor of the saturation is in 1 - share..1 + share. The hue is rotated by up to share / 10
    of the full circle, either way.
    """
    images = _saturate(images, 1 + _spread(u[:, 0], share))
    # A rotation about the grey axis looks like a turn of HSV's hue, but is linear.
    angle = _spread(u[:, 1], 0.2 * math.pi * share)
    cos, sin = tf.cos(angle)[:, None, None], tf.sin(angle)[:, None, None]
    cross = tf.constant([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], tf.float32) / math.sqrt(3)
    turn = cos * tf.eye(3) + sin * cross + (1 - cos) * tf.ones((3, 3)) / 3
    return tf.einsum("bhwi,bji->bhwj", images, turn)


def _saturate(images: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    grey = tf.reduce_sum(images * GREY, axis=-1, keepdims=True)
    return grey + (images - grey) * _per_image(factor)


def _erase(images: tf.Tensor, u: tf.Tensor, chance: float) -> tf.Tensor:
    """Fills a random rectangle, 2 to 33% of an image's area, with grey (arXiv 1708.04896).

    Args:
      chance: probability that an image gets a rectangle.
    """
    area = 0.02 + 0.31 * u[:, 1]
    aspect = tf.exp(_spread(u[:, 2], math.log(3.3)))
    height = tf.minimum(tf.sqrt(area * aspect), 1)
    width = tf.minimum(tf.sqrt(area / aspect), 1)
    size = images.shape[1]
    inside_y = _inside(u[:, 3] * (1 - height), height, size)
    inside_x = _inside(u[:, 4] * (1 - width), width, size)
    erased = (u[:, 0] < chance)[:, None, None] & inside_y[:, :, None] & inside_x[:, None, :]
    return tf.where(erased[..., None], 127.5, images)


COLOURS: Operations = {
    "contrast": _contrast,
    "brightness": _brightness,
    "color": _color,
    "erasing": _erase,
}


# The operations before these may leave fractional values and values above 255. At strength 0 the
# next two functions must return both unchanged.


def _posterize(images: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    step = _per_image(tf.pow(2.0, tf.round(tf.abs(strength) * 4)))
    return tf.where(step > 1, tf.floor(images / step) * step, images)


def _solarize(images: tf.Tensor, strength: tf.Tensor) -> tf.Tensor:
    threshold = _per_image(256 * (1 - tf.abs(strength)))
    inverted = (threshold < 256) & (images >= threshold)
    return tf.where(inverted, 255 - tf.minimum(images, 255), images)


# RandAugment's operations. Strength is `(batch,)` in -1..1; 0 leaves an image unchanged.
DRAWN_GEOMETRIC: tuple[Callable[..., tf.Tensor], ...] = (
    lambda s: _rotation(s * math.pi / 6),
    lambda s: _matrix(tf.ones_like(s), b=0.3 * s),
    lambda s: _matrix(tf.ones_like(s), c=0.3 * s),
    lambda s: _matrix(tf.ones_like(s), x=0.3 * s),
    lambda s: _matrix(tf.ones_like(s), y=0.3 * s),
)
DRAWN_COLOURS: tuple[Callable[..., tf.Tensor], ...] = (
    lambda x, s: x + _per_image(0.6 * 255 * s),
    lambda x, s: _scale_contrast(x, 1 + 0.9 * s),
    lambda x, s: _saturate(x, 1 + 0.9 * s),
    _posterize,
    _solarize,
)


def _rand_augment(u: tf.Tensor, config: RandAugment) -> tuple[list[tf.Tensor], list]:
    """Chooses `config.layers` random operations for each image (RandAugment, arXiv 1909.13719).

    The strength is random, up to `config.magnitude`; in the paper it is fixed. Returns matrices and
    functions, as `_plan` does.
    """
    matrices, colours = [], []
    count = len(DRAWN_GEOMETRIC) + len(DRAWN_COLOURS)
    for layer in range(config.layers):
        drawn = tf.cast(u[:, 2 * layer] * count, tf.int32)
        strength = _spread(u[:, 2 * layer + 1], config.magnitude)
        for i, operation in enumerate(DRAWN_GEOMETRIC):
            matrices.append(operation(tf.where(drawn == i, strength, 0.0)))
        for i, operation in enumerate(DRAWN_COLOURS, start=len(DRAWN_GEOMETRIC)):
            masked = tf.where(drawn == i, strength, 0.0)
            colours.append(lambda x, f=operation, s=masked: f(x, s))
    return matrices, colours
