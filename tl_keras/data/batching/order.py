"""Decides in which order a training epoch reads the examples."""

import numpy as np
import tensorflow as tf

from tl_keras import tasks
from tl_keras.data.batching.inputs import Training


def order_of(
    labels: np.ndarray, how: Training, epoch: tf.Tensor, lengths: np.ndarray | None = None
) -> tf.Tensor:
    """Returns the indices of the examples of an epoch in training order, `(examples,) int64`.

    If `how.balance` is `oversample`, all strata, such as classes, occur equally often. Then some
    examples are repeated and others are left out.

    Args:
      lengths: the length of each example if their lengths differ; examples of similar length are
        then in the same batch.
    """
    seed = tf.stack([tf.constant(2 * how.seed + 1, tf.int32), epoch])
    order = _shuffled(labels, how, seed)
    return order if lengths is None else _bucketed(order, lengths, how.batch_size, seed)


WINDOW = 16  # Batches whose examples are sorted by length together.


def _bucketed(order: tf.Tensor, lengths: np.ndarray, batch_size: int, seed: tf.Tensor) -> tf.Tensor:
    """Returns the order changed such that the examples of a batch have similar lengths.

    The examples of `WINDOW` batches are sorted by length and divided into batches again. Then the
    batches are shuffled. Examples of an incomplete last batch stay at the end.
    """
    size = min(batch_size, len(lengths))
    count = len(lengths) // size * size
    whole, rest = order[:count], order[count:]
    windows = tf.range(count, dtype=tf.int64) // (size * WINDOW)
    by_length = windows * (int(lengths.max()) + 1) + tf.gather(lengths, whole)
    batches = tf.reshape(tf.gather(whole, tf.argsort(by_length, stable=True)), (-1, size))
    batches = tf.random.experimental.stateless_shuffle(batches, seed + [0, 1_000_000_007])
    return tf.concat([tf.reshape(batches, (-1,)), rest], 0)


def _shuffled(labels: np.ndarray, how: Training, seed: tf.Tensor) -> tf.Tensor:
    count = len(labels)
    if how.balance != "oversample":
        return tf.random.experimental.stateless_shuffle(tf.range(count, dtype=tf.int64), seed)
    # Strata, such as classes, take turns. Each is shuffled, then shuffled again when it is used up.
    strata = tasks.of(how.task, "targets").strata(labels)
    members = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    share = -(-count // len(members))
    rows = []
    for i, member in enumerate(members):
        shape = (-(-share // len(member)), len(member))
        shuffles = tf.argsort(tf.random.stateless_uniform(shape, seed + [i, 7]))
        rows.append(tf.reshape(tf.gather(member, shuffles), (-1,))[:share])
    flat = tf.reshape(tf.stack(rows, axis=1), (-1,))[:count]
    return tf.random.experimental.stateless_shuffle(flat, seed)
