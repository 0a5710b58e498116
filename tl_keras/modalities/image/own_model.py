"""What stands around a user's own model of images: the start before it, the pooling behind it."""

from typing import Any

import keras
from absl import logging

from tl_keras.backbones import applications
from tl_keras.modalities.image.config import INPUT, ImageConfig

LOOKS = "images"  # What the model's input shows, for messages.


def start(settings: ImageConfig, preprocessing: str | None, dtype: str) -> keras.Model:
    """From a prepared image to what a model was trained on.

    Args:
      preprocessing: see `applications.Backbone`; None: values in 0..255.
      dtype: that the model takes.
    """
    image = keras.Input(settings.shape, dtype=settings.dtype, name=INPUT)
    if preprocessing in (None, "included") and dtype != "uint8":
        scaled = keras.layers.Rescaling(1.0, dtype="float32", name="normalise")(image)
    else:
        scaled = applications.normalise(image, preprocessing or "included")
    return applications.with_stable_names(keras.Model(image, scaled), "start")


def features(x: Any) -> Any:
    """Features `(batch, channels)` of a tensor in a graph: a feature map is pooled by average.

    Raises:
      ValueError: the tensor is neither.
    """
    if len(x.shape) == 4:
        return keras.layers.GlobalAveragePooling2D(name="pool")(x)
    if len(x.shape) != 2:
        raise ValueError(
            f"ends in a tensor of shape {tuple(x.shape)}; expected features (batch, channels) or "
            "a feature map (batch, height, width, channels): pool it and save again"
        )
    return x


def warn(file: str, normalises: bool, preprocessing: str | None) -> None:
    """Warns of a model that nobody says takes 0..255 and that does not normalise by itself."""
    if preprocessing is None and not normalises:
        logging.warning(
            "model.backbone: nothing in %r normalises pixels; it gets them as 0..255. If it was "
            "trained otherwise, set model.preprocessing: tf (-1..1), torch (mean and deviation "
            "of ImageNet) or caffe (BGR minus the mean); included: it was trained on 0..255",
            file,
        )
