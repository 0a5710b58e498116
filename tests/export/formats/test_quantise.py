"""Quantised files are as exact as eight bits allow."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_nets import converted, net, noise, run

from tl_keras.data.batching.inputs import Inputs
from tl_keras.export import parity
from tl_keras.export.formats import litert, quantise
from tl_keras.tasks.classification import exports


def test_layers_without_a_bias_get_a_corrected_one():
    image = keras.Input((32, 32, 3), dtype="uint8")
    x = keras.layers.Conv2D(8, 3, strides=2, use_bias=False)(keras.layers.Rescaling(1 / 255)(image))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(x))
    model = keras.Model(image, keras.layers.Dense(3, use_bias=False, activation="softmax")(x))
    calibrated = quantise.calibrate(converted(model), noise(20, 0))
    assert len(quantise.candidates(calibrated, "dynamic")) == 2
    assert len(calibrated.corrections["dynamic"]) == 2
    images = Inputs(np.zeros(50, int), noise(50, 1))
    reference = model.predict(images.array, verbose=0)
    assert exports.moved(run(quantise.quantise(calibrated, "int8"), images), reference) < 0.01


def test_relu_after_the_normalisation_survives_quantisation():
    image = keras.Input((32, 32, 3), dtype="uint8")
    x = keras.layers.ReLU()(keras.layers.Rescaling(1 / 127.5, -1)(image))
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, keras.layers.Dense(3, activation="softmax")(x))
    calibrated = quantise.calibrate(converted(model), noise(20, 0))
    images = Inputs(np.zeros(50, int), noise(50, 1))
    reference = model.predict(images.array, verbose=0)
    assert exports.moved(run(quantise.quantise(calibrated, "int8"), images), reference) < 0.01


@pytest.mark.parametrize("front", ["tf", "padded", "caffe"])
def test_int8_file_with_all_operators_float_is_almost_exact(front):
    """The rounding of the input's scale is corrected in the bias of the first layer."""
    model = net(front=front)
    # Kernels without negative weights: an error of half a step in every pixel would add up.
    first = model.get_layer("first")
    first.set_weights([np.abs(first.get_weights()[0]), first.get_weights()[1]])
    calibrated = quantise.calibrate(converted(model), noise(20, 0))
    images = Inputs(np.zeros(50, int), noise(50, 1))
    reference = model.predict(images.array, verbose=0)
    every = quantise.candidates(calibrated, "int8")
    for kept, bound in ((every, 0.002), ((), 0.02)):
        answers = run(quantise.quantise(calibrated, "int8", kept), images)
        assert exports.moved(answers, reference) < bound, len(kept)
    assert parity.float_operators(quantise.quantise(calibrated, "int8")) == {}


def test_channel_with_tiny_weights_keeps_its_bias():
    """With a scale from the weights alone, the bias would not fit into 32 bits."""
    model = net()
    kernel, bias = model.get_layer("next").get_weights()
    kernel[..., :8] *= 1e-9
    bias[:8] = 0.5
    model.get_layer("next").set_weights([kernel, bias])
    calibrated = quantise.calibrate(converted(model), noise(50, 0))
    images = Inputs(np.zeros(50, int), noise(50, 1))
    reference = model.predict(images.array, verbose=0)
    for name in ("int8", "int16x8"):
        answers = run(quantise.quantise(calibrated, name), images)
        assert np.abs(answers - reference).mean() < 0.01, name


@pytest.mark.parametrize("kept", [True, False])
def test_calibration_examples_are_balanced_over_classes(kept):
    labels = np.array([0] * 50 + [1] * 5 + [2] * 5)
    images = np.arange(60, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    table = tf.constant(images)
    read = None if kept else lambda indices: indices.map(lambda i: table[i])
    chosen = litert.calibration_examples(Inputs(labels, images if kept else None, read), 12)
    counts = np.bincount(labels[chosen[:, 0, 0, 0]])
    assert list(counts) == [4, 4, 4]
