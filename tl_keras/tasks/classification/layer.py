"""The end of the model: from logits to probabilities, and the loss of a training step."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

OUTPUT = "probabilities"


def answer(raw: Any) -> Any:
    """Returns the softmax of logits, in float32 under every dtype policy.

    Half precision would lose small probabilities.
    """
    return keras.layers.Softmax(name=OUTPUT, dtype="float32")(raw)


def losses(columns: tf.Tensor, raw: tf.Tensor) -> tf.Tensor:
    """Returns the cross-entropy of logits `raw` and targets `columns` in nats, `(batch,)`.

    Targets are one-hot, or give the shares of several classes.
    """
    return tf.nn.softmax_cross_entropy_with_logits(columns, raw)


def smoothed(columns: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    """Returns targets of which `share` is spread evenly over all classes (label smoothing)."""
    return columns * (1 - share) + share / columns.shape[-1]


def explained(raw: tf.Tensor, answers: np.ndarray) -> tf.Tensor:
    """Returns the logit of each example's predicted class, `(n,)`; heat maps explain this number.

    Args:
      raw: logits, `(n, classes)`.
      answers: probabilities of the same examples, `(n, classes)`.
    """
    return tf.gather(raw, answers.argmax(-1), batch_dims=1)
