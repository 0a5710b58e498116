"""Builds transformer encoders of text, as BERT has them (arXiv 1810.04805), from Keras layers.

The model has one input, token ids. The mask and the positions are computed from the ids, so a cut
exists after every block: see `training.network.cuts`.
"""

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tl_keras.backbones.applications import with_stable_names

if TYPE_CHECKING:
    import keras
    import numpy as np

POOLING = ("mean", "first")
EMBEDDINGS = "embeddings"  # Name of the block of the embeddings.
BLOCK = r"^(embeddings|layer_\d+)_"  # The blocks are the embeddings and each layer.
MASKED = -1e9  # Added to the attention scores of padding.

Activation = Literal["gelu", "gelu_tanh", "relu"]
ACTIVATIONS = ("gelu", "gelu_tanh", "relu")


@dataclass(frozen=True)
class Sizes:
    """The sizes of an encoder.

    Attributes:
      layers: number of transformer layers.
      width: number of channels of each token.
      heads: number of attention heads, a divisor of `width`.
      inner: number of channels inside of the feed-forward part of a layer.
      positions: largest number of tokens of a text.
      pooling: how a text's features are made of the tokens' states: `mean` over the tokens that
        are not padding, or the state of the `first` token.
      embedding: number of channels of the embedding tables; None: `width`.
      activation: the function inside of the feed-forward part; `gelu` is the exact GELU.
      epsilon: added to the variance in layer normalisation.
    """

    layers: int
    width: int
    heads: int
    inner: int
    positions: int
    pooling: str = "mean"
    embedding: int | None = None
    activation: Activation = "gelu"
    epsilon: float = 1e-12


def encoder(name: str, sizes: Sizes, num_tokens: int, dtype: str = "float32") -> "keras.Model":
    """Returns one functional model named `name`, with random weights.

    The model takes token ids `(batch, length) int32`, in which 0 is padding at the end of a text,
    and returns pooled features `(batch, width) float32`.

    Args:
      num_tokens: number of rows of the embedding table.
      dtype: a Keras dtype policy, such as `mixed_bfloat16`. Pooling and the output stay float32.
    """
    import keras

    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    is_token = keras.ops.cast(keras.ops.not_equal(token_ids, 0), "float32")
    x = _embeddings(token_ids, sizes, num_tokens, dtype)
    mask = keras.ops.expand_dims((1.0 - is_token) * MASKED, axis=1)
    mask = keras.ops.expand_dims(mask, axis=1)  # (batch, 1, 1, length)
    for i in range(sizes.layers):
        x = _layer(x, mask, sizes, f"layer_{i}", dtype)
    x = pooled(keras.ops.cast(x, "float32"), is_token, sizes.pooling)
    features = keras.layers.Activation("linear", dtype="float32", name="features")(x)
    return with_stable_names(keras.Model(token_ids, features), name)


def with_weights(
    backbone: "keras.Model", arrays: Iterable[tuple[str, list["np.ndarray"]]]
) -> "keras.Model":
    """Returns the backbone, after setting the weights of the named layers."""
    for layer, values in arrays:
        backbone.get_layer(layer).set_weights(values)
    return backbone


def check_same(name: str, sizes: Sizes, folder: str, of_folder: Sizes) -> None:
    """Checks that the weights of the model in a folder fit a backbone.

    The model may have more layers than the backbone, which then takes the first ones.

    Args:
      name: the backbone.
      sizes: the sizes of the backbone.
      of_folder: the sizes of the model in the folder.

    Raises:
      ValueError: the model in the folder has other sizes.
    """
    for field in dataclasses.fields(Sizes):
        want, have = getattr(sizes, field.name), getattr(of_folder, field.name)
        if want != have and not (field.name == "layers" and have > want):
            raise ValueError(
                f"model.weights: the model in {folder!r} has other {field.name} than {name}: "
                f"{have} instead of {want}; to use that model as it is, set "
                f"model.backbone={folder}"
            )


def auto_values(num_train: int) -> dict[str, Any]:
    """Returns the values of `auto` fields of `fit` for a pretrained encoder.

    The table of token vectors, half of the weights of a small encoder, is frozen. All layers are
    trained, for so many epochs that the training loss ends near 0. They start from a head of
    moderate regularisation, `strength`: from a head whose outputs are almost 0, the same number of
    epochs ends with a high loss. The fine-tuned model is kept without a margin.

    Args:
      num_train: number of training examples.
    """
    epochs = round(min(24.0, max(2.0, 68 / num_train**0.5)))
    return {
        "freeze": EMBEDDINGS,
        "epochs": epochs,
        "learning_rate": 1e-4,
        "start": "regularised",
        "strength": 10.0,
        "margin": 0.0,
    }


def token_layers(sizes: Sizes) -> tuple[str, str]:
    """Returns the names of the layer whose output is the tokens' states, and of their table."""
    return f"layer_{sizes.layers - 1}_norm", f"{EMBEDDINGS}_tokens"


def pooled(states: Any, is_counted: Any, pooling: str) -> Any:
    """Returns the features of texts, `(batch, width)`, from the states of their tokens.

    Args:
      states: `(batch, length, width) float32`.
      is_counted: `(batch, length) float32`, 1 for the tokens that a mean counts, else 0.
      pooling: see `Sizes`.
    """
    import keras

    if pooling == "first":
        return keras.ops.take(states, 0, axis=1)
    total = keras.ops.sum(states * keras.ops.expand_dims(is_counted, axis=-1), axis=1)
    count = keras.ops.sum(is_counted, axis=1, keepdims=True)
    return total / keras.ops.maximum(count, 1.0)


def _embeddings(token_ids: Any, sizes: Sizes, num_tokens: int, dtype: str) -> Any:
    from keras import layers, ops

    width = sizes.embedding or sizes.width
    positions = ops.cumsum(ops.ones_like(token_ids), axis=1) - 1
    # Padding may reach beyond the last position.
    positions = ops.minimum(positions, sizes.positions - 1)
    # The row of the table for segment 0, the only segment, is part of each position's row.
    parts = [
        layers.Embedding(num_tokens, width, name="embeddings_tokens", dtype=dtype)(token_ids),
        layers.Embedding(sizes.positions, width, name="embeddings_positions", dtype=dtype)(
            positions
        ),
    ]
    x = layers.Add(name="embeddings_sum", dtype=dtype)(parts)
    x = layers.LayerNormalization(epsilon=sizes.epsilon, name="embeddings_norm", dtype=dtype)(x)
    if width != sizes.width:
        x = layers.Dense(sizes.width, name="embeddings_projection", dtype=dtype)(x)
    return x


def _layer(x: Any, mask: Any, sizes: Sizes, block: str, dtype: str) -> Any:
    """Returns the output of one transformer layer: attention, then the feed-forward part."""
    from keras import layers

    def add(layer: type, *arguments: Any, name: str, **named: Any) -> Callable[[Any], Any]:
        return layer(*arguments, name=f"{block}_{name}", dtype=dtype, **named)

    y = _attention(x, mask, sizes, add)
    x = add(layers.Add, name="attention_sum")([x, y])
    x = add(layers.LayerNormalization, epsilon=sizes.epsilon, name="attention_norm")(x)
    y = add(layers.Dense, sizes.inner, name="inner")(x)
    y = _activated(y, sizes.activation, add)
    y = add(layers.Dense, sizes.width, name="outer")(y)
    x = add(layers.Add, name="sum")([x, y])
    return add(layers.LayerNormalization, epsilon=sizes.epsilon, name="norm")(x)


def _attention(x: Any, mask: Any, sizes: Sizes, add: Callable[..., Callable[[Any], Any]]) -> Any:
    from keras import layers, ops

    channels = sizes.width // sizes.heads

    def heads_of(name: str, order: tuple[int, ...]) -> Any:
        y = add(layers.Dense, sizes.width, name=name)(x)
        y = add(layers.Reshape, (-1, sizes.heads, channels), name=f"{name}_heads")(y)
        return add(layers.Permute, order, name=f"{name}_by_head")(y)

    query = heads_of("query", (2, 1, 3))  # (batch, heads, length, channels)
    query = add(layers.Rescaling, channels**-0.5, name="query_scaled")(query)
    key = heads_of("key", (2, 3, 1))  # (batch, heads, channels, length)
    scores = add(layers.Add, name="scores")([ops.matmul(query, key), mask])
    shares = add(layers.Softmax, name="shares")(scores)
    y = ops.matmul(shares, heads_of("value", (2, 1, 3)))
    y = add(layers.Permute, (2, 1, 3), name="by_token")(y)
    y = add(layers.Reshape, (-1, sizes.width), name="joined")(y)
    return add(layers.Dense, sizes.width, name="attention")(y)


def _activated(x: Any, activation: Activation, add: Callable[..., Callable[[Any], Any]]) -> Any:
    from keras import layers, ops

    if activation == "gelu_tanh":  # Keras's layer has no argument for the approximation.
        return ops.gelu(x, approximate=True)
    return add(layers.Activation, activation, name="activation")(x)
