"""Activations of a prefix equal those of the model; their key contains all that decides them."""

import keras
import numpy as np
import pytest

from tl_keras.backbones import applications
from tl_keras.config import text as configs
from tl_keras.data import store
from tl_keras.data.batching import batches
from tl_keras.data.batching.inputs import Inputs, Training, prepared_split
from tl_keras.data.load import load
from tl_keras.modalities.image.config import Augmentation
from tl_keras.training import features
from tl_keras.training.network import freeze
from tl_keras.training.network.fold_batch_norm import Inference
from tl_keras.training.network.prefixes import Prefixes, prefixes_of


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
    return applications.build(config.model.backbone, config.model.options, config.settings)


def cut_at(backbone, share: float) -> str:
    return freeze.resolve(backbone, applications.BACKBONES["MobileNet"].block, share).cut


def prefixes_at(config, data, backbone, *shares: float) -> Prefixes:
    cuts = [cut_at(backbone, share) for share in shares]
    return prefixes_of(backbone, cuts, data[1].array, config.model)


def stored(config, data, prefixes: Prefixes, *names: str) -> dict[str, store.Kept]:
    dataset, inputs = data
    shown = features.unaugmented(inputs, dataset, "val", config)
    return features.compute(prefixes, names or list(prefixes.cuts), shown, config.cache)


def test_one_pass_computes_the_activations_at_every_depth(config, data, backbone):
    prefixes = prefixes_at(config, data, backbone, 0.75, 0.25, 0.5)
    depths = [cut_at(backbone, share) for share in (0.25, 0.5, 0.75)]
    assert list(prefixes.cuts) == [*depths, backbone.operations[-1].name]
    for name, array in stored(config, data, prefixes).items():
        prefix = keras.Model(backbone.input, backbone.get_layer(name).output)
        expected = prefix.predict_on_batch(np.asarray(data[1].array))
        dtype = prefixes.cuts[name].dtype
        assert array.array.dtype == dtype
        # float16 has 11 bits; batches of other sizes may sum in another order.
        tolerance = {"rtol": 2**-11, "atol": 1e-5} if dtype == "float16" else {"atol": 1e-5}
        np.testing.assert_allclose(array.array, expected, **tolerance)


def test_features_stay_float32_and_deeper_cuts_take_longer(config, data, backbone):
    prefixes = prefixes_at(config, data, backbone, 0.25, 0.75)
    dtypes = [cut.dtype for cut in prefixes.cuts.values()]
    assert (dtypes[0], dtypes[-1]) == ("float16", "float32")
    seconds = [cut.seconds for cut in prefixes.cuts.values()]
    assert 0 < seconds[0] <= seconds[1] <= seconds[2]


def test_activations_that_half_precision_would_change_stay_float32():
    """The suffix subtracts two channels that are large and almost equal."""
    inputs = keras.Input((1, 1, 2))
    middle = keras.layers.Activation("linear", name="middle")(inputs)
    dense = keras.layers.Dense(1, use_bias=False, name="difference")
    model = keras.Model(inputs, keras.layers.Flatten()(dense(middle)))
    model.get_layer("difference").set_weights([np.array([[1.0], [-1.0]])])
    config = configs.from_tree({"data": {"source": "digits"}}).model
    for distance, dtype in ((0.01, "float32"), (50.0, "float16")):
        images = np.full((4, 1, 1, 2), 100.0, np.float32) + np.array([0, distance], np.float32)
        prefixes = prefixes_of(model, ["middle"], images, config)
        assert prefixes.cuts["middle"].dtype == dtype, distance


def test_activations_that_overflow_float16_stay_float32():
    inputs = keras.Input((2,))
    large = keras.layers.Rescaling(1e6, name="large")(inputs)
    model = keras.Model(inputs, keras.layers.Rescaling(1e-6)(large))
    config = configs.from_tree({"data": {"source": "digits"}}).model
    prefixes = prefixes_of(model, ["large"], np.ones((2, 2), np.float32), config)
    assert prefixes.cuts["large"].dtype == "float32"


def test_second_request_reads_equal_activations_from_disk(config, data, backbone):
    prefixes = prefixes_at(config, data, backbone, 0.1)
    name = cut_at(backbone, 0.1)
    first, second = (stored(config, data, prefixes, name)[name] for _ in range(2))
    assert (first.cached, second.cached) == (False, True)
    np.testing.assert_array_equal(first.array, second.array)


def test_only_missing_depths_are_computed(config, data, backbone, monkeypatch):
    names = [cut_at(backbone, share) for share in (0.3, 0.6)]
    prefixes = prefixes_at(config, data, backbone, 0.3, 0.6)
    stored(config, data, prefixes, names[0])
    assert [entry.cached for entry in stored(config, data, prefixes, *names).values()] == [
        True,
        False,
    ]
    monkeypatch.setattr(prefixes.run, "__call__", None, raising=False)
    assert all(entry.cached for entry in stored(config, data, prefixes, *names).values())


def test_key_contains_everything_that_determines_activations(config, data, backbone):
    dataset, inputs = data
    name = cut_at(backbone, 0.75)
    stored(config, data, prefixes_at(config, data, backbone, 0.75), name)
    before = len(store.entries(config.cache))
    other = applications.build(config.model.backbone, config.model.options, config.settings)
    other.set_weights(backbone.get_weights())
    other.layers[-5].set_weights([w + 1 for w in other.layers[-5].get_weights()])
    # The changed weights are above the cut, so the prefix and its activations stay the same.
    assert stored(config, data, prefixes_at(config, data, other, 0.75), name)[name].cached
    antialiased = config.with_settings(antialias=True)
    prefixes = prefixes_at(config, data, backbone, 0.75, 0.9)
    stored(antialiased, data, prefixes, name)
    stored(config, data, prefixes, cut_at(backbone, 0.9))
    fewer = Inputs(inputs.labels[:-1], inputs.array[:-1])
    splits = {**dataset.splits, "val": dataset.splits["val"][:-1]}
    smaller = dataset.__class__(**{**dataset.__dict__, "splits": splits})
    stored(config, (smaller, fewer), prefixes, name)
    assert len(store.entries(config.cache)) == before + 3


def test_views_equal_those_of_training_and_are_stored_separately(config, data, backbone):
    dataset, inputs = data
    how = Training("image", 8, 3, (Augmentation(flip="horizontal"),), None, "none", 3)
    prefixes, name = prefixes_at(config, data, backbone, 0.5), cut_at(backbone, 0.5)
    plain = features.unaugmented(inputs, dataset, "val", config)
    arrays = {}
    for view in (0, 1):
        shown = features.viewed(plain, inputs, how, view)
        arrays[view] = features.compute(prefixes, [name], shown, config.cache)[name]
        images = np.concatenate(list(batches.view(inputs, 64, how, view)))
        prefix = keras.Model(backbone.input, backbone.get_layer(name).output)
        expected = prefix.predict_on_batch(images)
        np.testing.assert_allclose(arrays[view].array, expected, rtol=2**-11, atol=1e-5)
    assert not np.array_equal(arrays[0].array, arrays[1].array)
    stronger = Training("image", 8, 3, (Augmentation(zoom=0.5),), None, "none", 3)
    shown = features.viewed(plain, inputs, stronger, 0)
    assert not features.compute(prefixes, [name], shown, config.cache)[name].cached


def test_damaged_entry_is_computed_again(config, data, backbone):
    prefixes, name = prefixes_at(config, data, backbone, 0.5), cut_at(backbone, 0.5)
    before = np.array(stored(config, data, prefixes, name)[name].array)
    for entry in store.entries(config.cache):
        path = store.folder(config.cache) / "arrays" / f"{entry.key}.npy"
        content = bytearray(path.read_bytes())
        content[-1] ^= 0xFF
        path.write_bytes(content)
    after = stored(config, data, prefixes, name)[name]
    assert not after.cached
    np.testing.assert_array_equal(before, after.array)


def test_mean_over_views_covers_the_image_itself_and_views_of_training():
    """The model returns the mean of the left half, so a mirrored view returns that of the right."""
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
    assert 8 <= mirrored.mean() <= 32  # About half of 40 views are mirrored.
    assert len(np.unique(mirrored.round())) > 1  # Each image has its own views.
    again = features.outputs_of_views(Inference(model), inputs, how, 41) * 41 / 200
    np.testing.assert_array_equal(mirrored, again)
