"""One small member of each family of backbones: built once for all tests that walk over them."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tl_keras.backbones import applications

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Family:
    """What the tests know of a family beside its row in BACKBONES."""

    module: str  # of its preprocess_input
    blocks: int
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
    """The family's backbone at its smallest size, in which the signal stays alive."""
    import keras  # Here: conftest.py imports this module, whatever is tested.

    keras.utils.set_random_seed(0)
    size = applications.BACKBONES[name].min_size
    model = applications.build(name, FAMILIES[name].options, (size, size, 3))
    shake(model)
    return model


def shake(model: "keras.Model", seed: int = 0) -> None:
    """Gives batch norm the statistics of some noise."""
    import keras

    # With the statistics 0 and 1 that Keras starts from, the signal dies on its way (features of
    # 1e-17 in MobileNet): give each batch norm those of some noise, in one pass.
    keras.utils.set_random_seed(seed)
    norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
    model(np.random.default_rng(seed).uniform(0, 255, (4, *model.input_shape[1:])), training=True)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
        variance = layer.moving_variance.numpy()  # A channel that is silent here may not explode.
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
    # x * (1 / 127.5) against x / 127.5: one rounding of float32, and what depth makes of it.
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert expected.std() > 1e-3
    np.testing.assert_allclose(actual, expected, atol=1e-4 * np.abs(expected).max())
