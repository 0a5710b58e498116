"""Augments token ids at random: hides or deletes tokens.

A view is a randomly changed version of a text. It depends only on the token ids and on one row of
uniform random numbers, so the same numbers give the same view again, whatever the padding is. The
tokens for start and end stay. A view is never longer than the text, and keeps at least one token of
the text.
"""

import tensorflow as tf

from tl_keras.modalities.text.config import Operation

Operations = tuple[Operation, ...]

COLUMNS = 2  # uniform numbers that each operation reads


def num_columns(augmentations: Operations) -> int:
    """Returns how many uniform random numbers these operations need to make one view."""
    return COLUMNS * len(augmentations)


def mixes(augmentations: Operations) -> bool:
    """Returns whether any operation mixes texts of a batch with each other: none does."""
    return False


def augment(ids: tf.Tensor, uniform: tf.Tensor, augmentations: Operations) -> tf.Tensor:
    """Returns one random view of each text, `(batch, length) int32`.

    The operations are applied in the given order.

    Args:
      ids: `(batch, length) int32`; zeros at the end of a row are padding.
      uniform: `(batch, num_columns(augmentations)) float32` in [0, 1).
      augmentations: operations of `TextConfig.augmentations`.
    """
    for i, operation in enumerate(augmentations):
        u = uniform[:, COLUMNS * i : COLUMNS * (i + 1)]
        inner = ids != 0
        for frame in (operation.start, operation.end):
            inner &= ids != (0 if frame is None else frame)
        if operation.name == "span":
            chosen = _span(u, inner, operation.share)
        else:
            chosen = inner & (_numbers(u, tf.shape(ids)[1]) < operation.share)
        # A view without any token says nothing about its label.
        chosen &= tf.reduce_any(inner & ~chosen, 1, keepdims=True)
        if operation.mask is None:
            ids = _without(ids, chosen)
        else:
            ids = tf.where(chosen, operation.mask, ids)
    return ids


def _numbers(u: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """Returns a pseudo-random number in [0, 1) for each token, `(batch, length) float32`.

    Each is a hash (the last steps of MurmurHash3) of the position and of the two numbers in `u`.
    """
    seeds = tf.cast(u * (1 << 24), tf.uint32)
    places = tf.cast(tf.range(length), tf.uint32)
    factors = (tf.constant(n, tf.uint32) for n in (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D))
    first, second, third = factors
    value = (seeds[:, :1] * first + seeds[:, 1:] * second) + places * third
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        shifted = tf.bitwise.right_shift(value, tf.constant(shift, tf.uint32))
        value = tf.bitwise.bitwise_xor(value, shifted) * tf.constant(factor, tf.uint32)
    # 24 bits, which float32 holds exactly; 32 could round up to 1.
    return tf.cast(tf.bitwise.right_shift(value, tf.constant(8, tf.uint32)), tf.float32) / (1 << 24)


def _span(u: tf.Tensor, inner: tf.Tensor, share: float) -> tf.Tensor:
    """Chooses a span of neighbouring tokens, at most `share` of them; `(batch, length) bool`.

    Args:
      inner: the tokens of the texts, without start, end and padding, `(batch, length) bool`.
    """
    ranks = tf.cumsum(tf.cast(inner, tf.int32), axis=1) - 1
    count = tf.reduce_sum(tf.cast(inner, tf.int32), 1, keepdims=True)
    longest = tf.floor(share * tf.cast(count, tf.float32))
    length = tf.cast(u[:, :1] * (longest + 1), tf.int32)
    start = tf.cast(u[:, 1:] * tf.cast(count - length + 1, tf.float32), tf.int32)
    return inner & (ranks >= start) & (ranks < start + length)


def _without(ids: tf.Tensor, chosen: tf.Tensor) -> tf.Tensor:
    """Deletes the chosen tokens: later tokens move up, and zeros follow at the end."""
    length = tf.shape(ids)[1]
    places = tf.range(length)
    order = tf.argsort(tf.where(chosen, places + length, places), axis=1)
    return tf.gather(tf.where(chosen, 0, ids), order, batch_dims=1)


def mix(
    ids: tf.Tensor, targets: tf.Tensor, augmentations: Operations, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the texts and targets unchanged, since texts are not mixed."""
    return ids, targets
