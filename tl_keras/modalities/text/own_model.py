"""Layers around a user's own text model."""

from typing import Any

import keras

from tl_keras.modalities.text.config import INPUT, TextConfig


def start(settings: TextConfig, preprocessing: str | None, dtype: str) -> keras.Model:
    """Returns a model that passes token ids on to a user's model."""
    ids = keras.Input(settings.shape, dtype=settings.dtype, name=INPUT)
    return keras.Model(ids, keras.layers.Identity(dtype=settings.dtype, name="ids")(ids))


def features(x: Any) -> Any:
    """Returns the features of the user's model, `(batch, channels)`.

    Raises:
      ValueError: the output does not have two axes.
    """
    if len(x.shape) != 2:
        raise ValueError(
            f"returns a tensor of shape {tuple(x.shape)}; expected features (batch, channels): add "
            "pooling and save the model again"
        )
    return x


def warn(file: str, normalises: bool, preprocessing: str | None) -> None:
    """Does nothing, since token ids need no normalisation."""
