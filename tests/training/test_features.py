"""Activations of a prefix: equal to the model's, kept under all that decides them."""

import keras
import numpy as np
import pytest

from tl_keras.backbones import applications
from tl_keras.config import text as configs
from tl_keras.data import batches, store
from tl_keras.data.inputs import Inputs, Training, prepared_split
from tl_keras.data.load import load
from tl_keras.modalities.image.config import Augmentation
from tl_keras.training import features
from tl_keras.training.network import freeze
from tl_keras.training.network.fold_batch_norm import Inference


@pytest.fixture(scope="module")
def config(tree, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("features"))
    return configs.from_tree({**tree, "cache": {"path": folder}})


@pytest.fixture(scope="module")
def data(config):
    dataset = load(config)
    return dataset, prepared_split(dataset, "val", config)


@pytest.fixture(scope="module")
def backbone(config):
    return applications.build(config.model.backbone, config.model.options, (32, 32, 3))


def cut_at(backbone, share: float) -> str:
    return freeze.resolve(backbone, applications.BACKBONES["MobileNet"].block, share).cut


def tried(config, data, backbone, *shares: float) -> features.Prefixes:
    cuts = [cut_at(backbone, share) for share in shares]
    return features.prefixes(backbone, cuts, data[1].array, config.model)


def kept(config, data, found: features.Prefixes, *names: str) -> dict[str, store.Kept]:
    dataset, inputs = data
    shown = features.unaugmented(inputs, dataset, "val", config)
    return features.compute(found, names or list(found.cuts), shown, config.cache)


def test_one_pass_gives_the_activations_of_every_depth(config, data, backbone):
    found = tried(config, data, backbone, 0.75, 0.25, 0.5)
    depths = [cut_at(backbone, share) for share in (0.25, 0.5, 0.75)]
    assert list(found.cuts) == [*depths, backbone.operations[-1].name]
    for name, array in kept(config, data, found).items():
        prefix = keras.Model(backbone.input, backbone.get_layer(name).output)
        expected = prefix.predict_on_batch(np.asarray(data[1].array))
        dtype = found.cuts[name].dtype
        assert array.array.dtype == dtype
        # Half precision has 11 bits; other sizes of batch may sum in another order.
        tolerance = {"rtol": 2**-11, "atol": 1e-5} if dtype == "float16" else {"atol": 1e-5}
        np.testing.assert_allclose(array.array, expected, **tolerance)


def test_features_stay_float32_and_deeper_cuts_take_longer(config, data, backbone):
    found = tried(config, data, backbone, 0.25, 0.75)
    dtypes = [cut.dtype for cut in found.cuts.values()]
    assert (dtypes[0], dtypes[-1]) == ("float16", "float32")
    seconds = [cut.seconds for cut in found.cuts.values()]
    assert 0 < seconds[0] <= seconds[1] <= seconds[2]


def test_what_half_precision_would_change_is_kept_whole():
    """A suffix that takes the difference of two channels that are almost equal, and large."""
    inputs = keras.Input((1, 1, 2))
    middle = keras.layers.Activation("linear", name="middle")(inputs)
    dense = keras.layers.Dense(1, use_bias=False, name="difference")
    model = keras.Model(inputs, keras.layers.Flatten()(dense(middle)))
    model.get_layer("difference").set_weights([np.array([[1.0], [-1.0]])])
    config = configs.from_tree({"data": {"source": "digits"}}).model
    for distance, dtype in ((0.01, "float32"), (50.0, "float16")):
        images = np.full((4, 1, 1, 2), 100.0, np.float32) + np.array([0, distance], np.float32)
        found = features.prefixes(model, ["middle"], images, config)
        assert found.cuts["middle"].dtype == dtype, distance


def test_activations_beyond_half_precision_are_kept_whole():
    inputs = keras.Input((2,))
    large = keras.layers.Rescaling(1e6, name="large")(inputs)
    model = keras.Model(inputs, keras.layers.Rescaling(1e-6)(large))
    config = configs.from_tree({"data": {"source": "digits"}}).model
    found = features.prefixes(model, ["large"], np.ones((2, 2), np.float32), config)
    assert found.cuts["large"].dtype == "float32"


def test_second_time_comes_from_disk_and_equal(config, data, backbone):
    found = tried(config, data, backbone, 0.1)
    name = cut_at(backbone, 0.1)
    first, second = (kept(config, data, found, name)[name] for _ in range(2))
    assert (first.cached, second.cached) == (False, True)
    np.testing.assert_array_equal(first.array, second.array)


def test_only_the_depths_that_are_missing_are_computed(config, data, backbone, monkeypatch):
    names = [cut_at(backbone, share) for share in (0.3, 0.6)]
    found = tried(config, data, backbone, 0.3, 0.6)
    kept(config, data, found, names[0])
    assert [entry.cached for entry in kept(config, data, found, *names).values()] == [True, False]
    monkeypatch.setattr(found.run, "__call__", None, raising=False)
    assert all(entry.cached for entry in kept(config, data, found, *names).values())


def test_all_that_decides_them_is_in_the_key(config, data, backbone):
    dataset, inputs = data
    name = cut_at(backbone, 0.75)
    kept(config, data, tried(config, data, backbone, 0.75), name)
    before = len(store.entries(config.cache))
    other = applications.build(config.model.backbone, config.model.options, (32, 32, 3))
    other.set_weights(backbone.get_weights())
    other.layers[-5].set_weights([w + 1 for w in other.layers[-5].get_weights()])
    # Those weights lie above the cut: the prefix, and so its activations, are the same.
    assert kept(config, data, tried(config, data, other, 0.75), name)[name].cached
    antialiased = config.with_settings(antialias=True)
    found = tried(config, data, backbone, 0.75, 0.9)
    kept(antialiased, data, found, name)
    kept(config, data, found, cut_at(backbone, 0.9))
    fewer = Inputs(inputs.labels[:-1], inputs.array[:-1])
    splits = {**dataset.splits, "val": dataset.splits["val"][:-1]}
    smaller = dataset.__class__(**{**dataset.__dict__, "splits": splits})
    kept(config, (smaller, fewer), found, name)
    assert len(store.entries(config.cache)) == before + 3


def test_views_are_those_of_training_and_each_has_its_own_entry(config, data, backbone):
    dataset, inputs = data
    how = Training("image", 8, 3, (Augmentation(flip="horizontal"),), None, "none", 3)
    found, name = tried(config, data, backbone, 0.5), cut_at(backbone, 0.5)
    plain = features.unaugmented(inputs, dataset, "val", config)
    arrays = {}
    for view in (0, 1):
        shown = features.viewed(plain, inputs, how, view)
        arrays[view] = features.compute(found, [name], shown, config.cache)[name]
        images = np.concatenate(list(batches.view(inputs, 64, how, view)))
        prefix = keras.Model(backbone.input, backbone.get_layer(name).output)
        expected = prefix.predict_on_batch(images)
        np.testing.assert_allclose(arrays[view].array, expected, rtol=2**-11, atol=1e-5)
    assert not np.array_equal(arrays[0].array, arrays[1].array)
    stronger = Training("image", 8, 3, (Augmentation(zoom=0.5),), None, "none", 3)
    shown = features.viewed(plain, inputs, stronger, 0)
    assert not features.compute(found, [name], shown, config.cache)[name].cached


def test_damaged_entry_is_computed_again(config, data, backbone):
    found, name = tried(config, data, backbone, 0.5), cut_at(backbone, 0.5)
    before = np.array(kept(config, data, found, name)[name].array)
    for entry in store.entries(config.cache):
        path = store.folder(config.cache) / "arrays" / f"{entry.key}.npy"
        content = bytearray(path.read_bytes())
        content[-1] ^= 0xFF
        path.write_bytes(content)
    after = kept(config, data, found, name)[name]
    assert not after.cached
    np.testing.assert_array_equal(before, after.array)


def test_mean_of_views_starts_with_the_image_itself_and_goes_on_as_training_does():
    """A model that gives the mean of the left half: mirrored views give that of the right."""
    images = np.zeros((5, 8, 8, 3), np.uint8)
    images[:, :, 4:] = 200
    pixels = keras.Input((8, 8, 3), dtype="uint8")
    left = keras.ops.mean(keras.ops.cast(pixels, "float32")[:, :, :4], axis=(1, 2, 3))
    model = keras.Model(pixels, left)
    inputs = Inputs(np.zeros(5, np.int64), images)
    how = Training("image", 2, 3, (Augmentation(flip="horizontal"),), None, "none", 2)
    np.testing.assert_array_equal(
        features.outputs_of_views(Inference(model), inputs, how, 1), np.zeros(5)
    )
    mirrored = features.outputs_of_views(Inference(model), inputs, how, 41) * 41 / 200
    np.testing.assert_allclose(mirrored, np.round(mirrored), atol=1e-4)
    assert 8 <= mirrored.mean() <= 32  # Of 40 views about half.
    assert len(np.unique(mirrored.round())) > 1  # Each image has its own.
    again = features.outputs_of_views(Inference(model), inputs, how, 41) * 41 / 200
    np.testing.assert_array_equal(mirrored, again)
