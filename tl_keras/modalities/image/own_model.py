"""Layers around a user's own image model: normalisation before it, pooling after it."""

from typing import Any

import keras
from absl import logging

from tl_keras.backbones import applications
from tl_keras.modalities.image.config import INPUT, ImageConfig

LOOKS = "images"  # For messages: what the model takes as input.


def start(settings: ImageConfig, preprocessing: str | None, dtype: str) -> keras.Model:
    """Returns a model that converts a prepared image to the input that a user's model expects.

    Args:
      preprocessing: the normalisation, such as `torch`, see `applications.Backbone`. None: pixels
        stay in 0..255.
      dtype: input dtype of the user's model.
    """
    image = keras.Input(settings.shape, dtype=settings.dtype, name=INPUT)
    if preprocessing in (None, "included") and dtype != "uint8":
        scaled = keras.layers.Rescaling(1.0, dtype="float32", name="normalise")(image)
    else:
        scaled = applications.normalise(image, preprocessing or "included")
    return applications.with_stable_names(keras.Model(image, scaled), "start")


def features(x: Any) -> Any:
    """Returns the features of the user's model, `(batch, channels)`.

    Args:
      x: output of the user's model: features, or a feature map `(batch, height, width, channels)`,
        which is averaged over height and width.

    Raises:
      ValueError: the output has neither two nor four axes.
    """
    if len(x.shape) == 4:
        return keras.layers.GlobalAveragePooling2D(name="pool")(x)
    if len(x.shape) != 2:
        raise ValueError(
            f"returns a tensor of shape {tuple(x.shape)}; expected features (batch, channels) or "
            "a feature map (batch, height, width, channels): add pooling and save the model again"
        )
    return x


def warn(file: str, normalises: bool, preprocessing: str | None) -> None:
    """Logs a warning if neither the model nor `model.preprocessing` normalises pixels."""
    if preprocessing is None and not normalises:
        logging.warning(
            "model.backbone: %r has no layer that normalises pixels, so it gets values in 0..255. "
            "If it was trained on other values, set model.preprocessing: tf (-1..1), torch (mean "
            "and deviation of ImageNet) or caffe (BGR minus the mean). If it was trained on "
            "0..255, set model.preprocessing: included, and this warning goes away",
            file,
        )
