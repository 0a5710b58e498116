"""The layer that makes logits from the products of states and the vectors of all tokens."""

from typing import Any

import keras


class TiedLogits(keras.layers.Layer):
    """Products of each state with each row of an embedding table, plus a trained bias for each row.

    The layer is part of the network of pre-training alone, and is never saved.

    Attributes:
      vectors: the layer with the embedding table, `(tokens, channels)`.
    """

    def __init__(self, vectors: keras.layers.Embedding, **others: Any):
        super().__init__(**others)
        self.vectors = vectors

    def build(self, shape: Any) -> None:
        """Makes the bias, `(tokens,)`."""
        self.bias = self.add_weight(
            shape=(self.vectors.input_dim,), initializer="zeros", name="bias"
        )

    def call(self, states: Any) -> Any:
        """Returns the logits, `(..., tokens) float32`, of states `(..., channels)`."""
        rows = keras.ops.cast(self.vectors.embeddings, self.compute_dtype)
        return keras.ops.matmul(states, keras.ops.transpose(rows)) + self.bias
