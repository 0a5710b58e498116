import keras
import numpy as np
import pytest
import tensorflow as tf

from tl_keras.training.network import freeze
from tl_keras.training.network.fold_batch_norm import FoldedConvolution, Inference, fold_batch_norm

# Batch norms of the small model below that can be folded into their convolutions.
PLAIN = ["norm_of_plain", "norm_of_biased", "norm_of_depthwise", "norm_of_grouped"]


def _randomise_batch_norm(model, seed=0):
    """Gives each channel of every batch norm other random weights and statistics."""
    generator = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            drawn = [0.5 + generator.random(weight.shape) for weight in layer.get_weights()]
            layer.set_weights(drawn)
    return model


def _images(model, count=3):
    shape = (count, *model.input.shape[1:])
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


def _folded(model):
    return [layer.name for layer in model.layers if isinstance(layer, FoldedConvolution)]


def _small(dtype="float32"):
    """A model with every kind of convolution that can be folded, and some that cannot."""
    layers, norm = keras.layers, keras.layers.BatchNormalization

    def normed(x, layer, **options):
        return norm(name=f"norm_of_{layer.name}", **options)(layer(x))

    image = keras.Input((12, 12, 3), dtype="uint8")
    x = layers.Rescaling(1 / 255)(image)
    x = normed(x, layers.Conv2D(4, 3, use_bias=False, strides=2, name="plain"), scale=False)
    x = normed(x, layers.Conv2D(4, 1, padding="same", dilation_rate=2, name="biased"))
    x = normed(x, layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise"), center=False)
    x = normed(x, layers.Conv2D(8, 1, groups=2, name="grouped"))
    x = normed(x, layers.Conv2D(8, 1, activation="relu", name="activated"))
    x = normed(x, layers.Conv2D(4, 1, name="by_row"), axis=1)
    read_twice = layers.Conv2D(4, 1, name="read_twice")(x)
    x = layers.Add()([read_twice, norm(name="norm_of_read_twice")(read_twice)])
    x = layers.Dense(2, dtype="float32")(layers.GlobalAveragePooling2D()(x))
    return _randomise_batch_norm(keras.Model(image, x))


def test_folded_model_computes_the_same_outputs(family):
    name, model = family
    saved = model.get_weights()
    _randomise_batch_norm(model)
    try:
        folded, images = fold_batch_norm(model), _images(model, count=1)
        expected = np.asarray(model(images, training=False))
        error = np.abs(folded(images, training=False) - expected).max()
    finally:
        model.set_weights(saved)
    assert error < 1e-4 * np.abs(expected).max()
    assert {id(v) for v in folded.variables} == {id(v) for v in model.variables}
    if name in ("MobileNet", "MobileNetV2", "EfficientNetB0", "ResNet50"):
        norms = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
        assert len(_folded(folded)) == len(norms)


def test_only_linear_convolutions_read_by_nothing_but_a_batch_norm_are_folded():
    model = _small()
    folded = fold_batch_norm(model)
    assert _folded(folded) == PLAIN
    expected = model(_images(model), training=False)
    np.testing.assert_allclose(folded(_images(model)), expected, rtol=1e-4, atol=1e-5)


def test_convolution_and_norm_on_either_side_of_a_cut_are_not_folded():
    model = _small()
    prefix, suffix = freeze.split(model, "biased")
    assert _folded(fold_batch_norm(prefix)) == PLAIN[:1]
    assert _folded(fold_batch_norm(suffix)) == PLAIN[2:]


def test_folding_does_not_change_a_training_step():
    steps = {}
    for folds in (False, True):
        keras.utils.set_random_seed(0)
        model = _small()
        freeze.freeze_batch_norm(model)
        network = fold_batch_norm(model) if folds else model
        assert len(network.trainable_variables) == len(model.trainable_variables) == 15
        network.compile("sgd", "mse")
        before = model.get_weights()
        network.train_on_batch(_images(model), np.ones((3, 2), np.float32))
        steps[folds] = [a - b for a, b in zip(model.get_weights(), before, strict=True)]
    for plain, folded in zip(steps[False], steps[True], strict=True):
        np.testing.assert_allclose(folded, plain, rtol=1e-3, atol=1e-6)
    assert sum(np.abs(step).max() > 0 for step in steps[True]) == 15


def test_folding_in_half_precision_adds_one_rounding():
    previous, exact = keras.config.dtype_policy(), _small()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = _small()
    finally:
        keras.config.set_dtype_policy(previous)
    model.set_weights(exact.get_weights())
    folded = fold_batch_norm(model)
    assert {layer.output.dtype for layer in folded.layers if layer.name in PLAIN} == {"bfloat16"}
    images = _images(model, count=64)
    expected = np.asarray(exact(images))
    errors = [np.abs(np.asarray(m(images)) - expected).mean() for m in (model, folded)]
    # An unfolded batch norm computes in float32. The measured ratio is 1.8.
    assert errors[1] < 2.5 * errors[0]


@pytest.mark.parametrize("cut", [None, "biased"])
def test_inference_is_traced_once_and_uses_current_weights(cut):
    model = _small()
    model = freeze.split(model, cut)[1] if cut else model
    infer, calls = Inference(model), []
    shape = (5, *model.input.shape[1:])
    inputs = tf.cast(np.random.default_rng(2).random(shape) * 255, model.input.dtype)
    for count in (1, 5, 3):
        calls.append(infer(inputs[:count]))
        np.testing.assert_allclose(calls[-1], model(inputs[:count]), rtol=1e-4, atol=1e-5)
    assert infer._run.experimental_get_tracing_count() == 1
    model.set_weights([2 * weight for weight in model.get_weights()])
    np.testing.assert_allclose(infer(inputs), model(inputs), rtol=1e-4, atol=1e-5)
    assert infer.shape == (2,)
