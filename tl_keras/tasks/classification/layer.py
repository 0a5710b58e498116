"""The end of the model: logits to probabilities, and the loss that a step is trained by."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

OUTPUT = "probabilities"


def answer(raw: Any) -> Any:
    """Probabilities, in float32 under every policy: half precision loses small ones."""
    return keras.layers.Softmax(name=OUTPUT, dtype="float32")(raw)


def losses(columns: tf.Tensor, raw: tf.Tensor) -> tf.Tensor:
    """`(batch,)` cross-entropy in nats; columns may be shares of classes."""
    return tf.nn.softmax_cross_entropy_with_logits(columns, raw)


def smoothed(columns: tf.Tensor, share: tf.Tensor) -> tf.Tensor:
    """Columns of which a share is spread over all classes alike."""
    return columns * (1 - share) + share / columns.shape[-1]


def explained(raw: tf.Tensor, answers: np.ndarray) -> tf.Tensor:
    """`(n,)` the logit of the class that each answer gives."""
    return tf.gather(raw, answers.argmax(-1), batch_dims=1)
