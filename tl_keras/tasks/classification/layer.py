"""The end of the model: from logits to probabilities, and the loss of a training step."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

OUTPUT = "probabilities"


def answer(raw: Any) -> Any:
    """Returns probabilities in float32 under every policy; half precision loses small values."""
    return keras.layers.Softmax(name=OUTPUT, dtype="float32")(raw)


def losses(columns: tf.Tensor, raw: tf.Tensor) -> tf.Tensor:
    """Returns the cross-entropy in nats, `(batch,)`; `columns` may be shares of several classes."""
    return tf.nn.softmax_cross_entropy_with_logits(columns, raw)


def smoothed(columns: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    """Returns targets of which a share is spread evenly over all classes (label smoothing)."""
    return columns * (1 - share) + share / columns.shape[-1]


def explained(raw: tf.Tensor, answers: np.ndarray) -> tf.Tensor:
    """Returns the logit of the predicted class of each answer, `(n,)`."""
    return tf.gather(raw, answers.argmax(-1), batch_dims=1)
