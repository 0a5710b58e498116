"""Augments token ids at random: replaces tokens by the mask token.

Augmentation is a pure function of a text and of uniform random numbers, so the same numbers give
the same view again. A view is as long as the text.
"""

import tensorflow as tf

from tl_keras.modalities.text.config import Masking

Augmentations = tuple[Masking, ...]
MASK = 103  # [MASK] in BERT's vocabularies


def num_columns(augmentations: Augmentations) -> int:
    """Returns how many uniform random numbers these operations need to make one view."""
    return len(augmentations)


def mixes(augmentations: Augmentations) -> bool:
    """Returns whether any operation mixes texts of a batch with each other: none does."""
    return False


def augment(ids: tf.Tensor, uniform: tf.Tensor, augmentations: Augmentations) -> tf.Tensor:
    """Returns one random view of each text, `(batch, length) int32`."""
    for i, entry in enumerate(augmentations):
        places = tf.range(tf.shape(ids)[1], dtype=tf.float32)
        # A pseudo-random number for each place: the fractional part of a large product.
        drawn = tf.math.floormod((uniform[:, i : i + 1] + 0.5) * (places + 1) * 7919.17, 1.0)
        ids = tf.where((drawn < entry.share) & (ids > MASK), MASK, ids)
    return ids


def mix(
    ids: tf.Tensor, targets: tf.Tensor, augmentations: Augmentations, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the texts and targets unchanged, since texts are not mixed."""
    return ids, targets
