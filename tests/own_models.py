"""A user's own backbone, and its file."""

import keras
from keras import layers

from tl_keras.modalities.image.config import ImageConfig

SIZE = 32
SETTINGS = ImageConfig(size=SIZE)


def residual(size=None, filters=8):
    image = keras.Input((size, size, 3))
    x = layers.Rescaling(1 / 255, name="own_scale")(image)
    x = layers.Conv2D(filters, 3, strides=2, name="stem")(x)
    for number in (1, 2, 3):
        y = layers.Conv2D(filters, 3, padding="same", name=f"conv_{number}")(x)
        y = layers.BatchNormalization(name=f"norm_{number}")(y)
        x = layers.ReLU(name=f"out_{number}")(x + y)
    return keras.Model(image, x)


def save(model, path):
    model.save(path)
    return model, str(path)
