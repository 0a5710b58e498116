"""Activations of a prefix: equal to the model's, kept under all that decides them."""

import keras
import numpy as np
import pytest

from tl_keras import backbones, cache, features, freeze
from tl_keras import config as configs
from tl_keras.config import Augmentation
from tl_keras.data import batches
from tl_keras.data.batches import Inputs, Training
from tl_keras.data.load import load
from tl_keras.fold import Inference


@pytest.fixture(scope="module")
def config(tree, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("features"))
    return configs.from_tree({**tree, "cache": {"path": folder}})


@pytest.fixture(scope="module")
def data(config):
    dataset = load(config.data, config.cache)
    return dataset, batches.prepared(dataset, "val", config.data, config.cache)


@pytest.fixture(scope="module")
def backbone(config):
    return backbones.build(config.model.backbone, config.model.options, 32)


def prefix_of(backbone, share: float):
    pattern = backbones.BACKBONES["MobileNet"].block
    return freeze.split(backbone, freeze.resolve(backbone, pattern, share).cut)[0]


def test_activations_are_those_of_the_model(config, data, backbone):
    dataset, inputs = data
    prefix = prefix_of(backbone, 0.5)
    found = features.compute(prefix, inputs, dataset, "val", config)
    assert found.inputs.array.shape == (len(inputs), *prefix.output.shape[1:])
    np.testing.assert_array_equal(found.inputs.labels, inputs.labels)
    # Other sizes of batch may sum in another order.
    expected = prefix.predict_on_batch(np.asarray(inputs.array))
    np.testing.assert_allclose(found.inputs.array, expected, atol=1e-5)


def test_second_time_comes_from_disk_and_equal(config, data, backbone):
    dataset, inputs = data
    prefix = prefix_of(backbone, 0.25)
    first = features.compute(prefix, inputs, dataset, "val", config)
    second = features.compute(prefix, inputs, dataset, "val", config)
    assert (first.cached, second.cached) == (False, True)
    np.testing.assert_array_equal(first.inputs.array, second.inputs.array)


def test_all_that_decides_them_is_in_the_key(config, data, backbone):
    dataset, inputs = data
    prefix = prefix_of(backbone, 0.75)
    features.compute(prefix, inputs, dataset, "val", config)
    kept = len(cache.entries(config.cache))
    other = backbones.build(config.model.backbone, config.model.options, 32)
    other.set_weights(backbone.get_weights())
    other.layers[-5].set_weights([w + 1 for w in other.layers[-5].get_weights()])
    features.compute(prefix_of(other, 0.75), inputs, dataset, "val", config)
    antialiased = config.model_copy(
        update={"data": config.data.model_copy(update={"antialias": True})}
    )
    features.compute(prefix, inputs, dataset, "val", antialiased)
    features.compute(prefix_of(backbone, 0.9), inputs, dataset, "val", config)
    fewer = batches.Inputs(inputs.labels[:-1], inputs.array[:-1])
    smaller = dataset.__class__(
        **{**dataset.__dict__, "splits": {**dataset.splits, "val": dataset.splits["val"][:-1]}}
    )
    features.compute(prefix, fewer, smaller, "val", config)
    # Those weights lie above the cut: the prefix, and so its activations, are the same.
    assert len(cache.entries(config.cache)) == kept + 3


def test_damaged_entry_is_computed_again(config, data, backbone):
    dataset, inputs = data
    prefix = prefix_of(backbone, 0.5)
    before = np.array(features.compute(prefix, inputs, dataset, "val", config).inputs.array)
    for entry in cache.entries(config.cache):
        path = cache.folder(config.cache) / "arrays" / f"{entry.key}.npy"
        content = bytearray(path.read_bytes())
        content[-1] ^= 0xFF
        path.write_bytes(content)
    after = features.compute(prefix, inputs, dataset, "val", config)
    assert not after.cached
    np.testing.assert_array_equal(before, after.inputs.array)


def test_keeping_is_worth_it_when_the_prefix_is_slow(config, data, backbone, monkeypatch):
    _, inputs = data
    prefix = prefix_of(backbone, 0.9)
    many = features.worth_keeping(prefix, inputs, epochs=50, max_bytes=1e12)
    assert many.keep
    assert "ms an image to compute" in many.why
    assert not features.worth_keeping(prefix, inputs, epochs=1, max_bytes=1e12).keep
    too_large = features.worth_keeping(prefix, inputs, epochs=50, max_bytes=10)
    assert not too_large.keep
    assert "cache.max_bytes" in too_large.why


def test_mean_of_views_starts_with_the_image_itself_and_goes_on_as_training_does():
    """A model that gives the mean of the left half: mirrored views give that of the right."""
    images = np.zeros((5, 8, 8, 3), np.uint8)
    images[:, :, 4:] = 200
    pixels = keras.Input((8, 8, 3), dtype="uint8")
    left = keras.ops.mean(keras.ops.cast(pixels, "float32")[:, :, :4], axis=(1, 2, 3))
    model = keras.Model(pixels, left)
    inputs = Inputs(np.zeros(5, np.int64), images)
    how = Training(2, 3, (Augmentation(flip="horizontal"),), None, "none", 2)
    np.testing.assert_array_equal(
        features.outputs_of_views(Inference(model), inputs, how, 1), np.zeros(5)
    )
    mirrored = features.outputs_of_views(Inference(model), inputs, how, 41) * 41 / 200
    np.testing.assert_allclose(mirrored, np.round(mirrored), atol=1e-4)
    assert 8 <= mirrored.mean() <= 32  # Of 40 views about half.
    assert len(np.unique(mirrored.round())) > 1  # Each image has its own.
    again = features.outputs_of_views(Inference(model), inputs, how, 41) * 41 / 200
    np.testing.assert_array_equal(mirrored, again)
