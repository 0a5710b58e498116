"""One small backbone of each family of Keras Applications."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tl_keras.backbones import applications
from tl_keras.modalities.image.config import ImageConfig

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Family:
    """What the tests know about a family in addition to its row in BACKBONES."""

    module: str  # module of its `preprocess_input`
    blocks: int  # number of its blocks
    options: dict = field(default_factory=dict)


FAMILIES = {
    "MobileNet": Family("mobilenet", 13, {"alpha": 0.25}),
    "MobileNetV2": Family("mobilenet_v2", 18, {"alpha": 0.35}),
    "MobileNetV3Small": Family("mobilenet_v3", 12),
    "EfficientNetB0": Family("efficientnet", 17),
    "EfficientNetV2B0": Family("efficientnet_v2", 22),
    "ResNet50": Family("resnet", 16),
    "ResNet50V2": Family("resnet_v2", 16),
    "VGG16": Family("vgg16", 5),
    "DenseNet121": Family("densenet", 58),
    "Xception": Family("xception", 14),
    "InceptionV3": Family("inception_v3", 11),
    "InceptionResNetV2": Family("inception_resnet_v2", 44),
    "NASNetMobile": Family("nasnet", 2),
    "ConvNeXtTiny": Family("convnext", 18),
}


def make(name: str) -> "keras.Model":
    """Returns the family's backbone at its smallest size, with batch norm statistics of noise."""
    import keras  # Here, because conftest.py imports this module for tests without Keras, too.

    keras.utils.set_random_seed(0)
    size = applications.BACKBONES[name].min_size
    model = applications.build(name, FAMILIES[name].options, ImageConfig(size=size))
    shake(model)
    return model


def shake(model: "keras.Model", seed: int = 0) -> None:
    """Sets the statistics of batch norm to those of random noise."""
    import keras

    # With Keras's initial statistics 0 and 1, activations vanish in deep networks (MobileNet's
    # features are 1e-17). One pass over noise gives each batch norm realistic statistics.
    keras.utils.set_random_seed(seed)
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
    model(np.random.default_rng(seed).uniform(0, 255, (4, *model.input_shape[1:])), training=True)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
        # A channel that is constant on the noise must not get huge activations on other inputs.
        variance = layer.moving_variance.numpy()
        layer.moving_variance.assign(np.maximum(variance, variance.mean()))


def images_of_noise(size, count=1):
    shape = (count, size, size, 3)
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


def make_plain(name, options, size, weights=None):
    import keras

    constructor = getattr(keras.applications, name)
    return constructor(
        include_top=False, pooling="avg", weights=weights, input_shape=(size, size, 3), **options
    )


def assert_close(actual, expected):
    # `x * (1 / 127.5)` and `x / 127.5` differ by one rounding of float32, which depth amplifies.
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert expected.std() > 1e-3
    np.testing.assert_allclose(actual, expected, atol=1e-4 * np.abs(expected).max())
