import functools
import os
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from families import FAMILIES, assert_close, images_of_noise, make, make_plain, shake
from keras.src.utils import file_utils

from tl_keras.backbones import applications
from tl_keras.backbones.weights import _unavailable, load_weights
from tl_keras.modalities.image.config import ImageConfig
from tl_keras.training.network.digests import digest

# Keras 3.15 saves variables by np.array(variable), whose __array__ lacks NumPy 2's `copy`.
# Delete when https://github.com/keras-team/keras no longer warns in `model.save`.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't:DeprecationWarning"
)

MOBILENET = ("MobileNet", {"alpha": 0.25}, 32)
EFFICIENTNET = ("EfficientNetB0", {}, 32)


_backbone = functools.cache(make)


def _write_legacy(path, model):
    # Writes the format of the files that Keras Applications downloads.
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        for layer in model.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{i}:0".encode() for i in range(len(layer.weights))]
            group.attrs["weight_names"] = names
            for weight, array in zip(names, layer.get_weights(), strict=True):
                group[weight.decode()] = array


def _blank_mobilenet():
    name, options, size = MOBILENET
    return applications.build(name, options, ImageConfig(size=size))


@functools.cache
def _blank(name, alpha, size):
    return applications.build(name, {"alpha": alpha} if alpha else {}, ImageConfig(size=size))


def _loaded(source, weights):
    model = _blank(source[0], source[1].get("alpha"), source[2])
    for weight in model.weights:  # Weights of an earlier test must not count as loaded.
        weight.assign(np.zeros(weight.shape))
    load_weights(model, *source[:2], ImageConfig(size=source[2]), str(weights))
    return model


def test_legacy_file_gives_plain_keras_numbers(tmp_path):
    plain = make_plain(*MOBILENET)
    shake(plain, seed=2)
    _write_legacy(tmp_path / "plain.h5", plain)
    reference = make_plain(*MOBILENET, weights=str(tmp_path / "plain.h5"))  # Keras reads it too.
    images = images_of_noise(32)
    expected = reference(keras.applications.mobilenet.preprocess_input(images.astype("float32")))
    assert_close(_loaded(MOBILENET, tmp_path / "plain.h5")(images), expected)


# Xception has layers with automatic names, and ConvNeXt has a Sequential inside.
@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("MobileNet", "plain"),
        ("MobileNet", "built"),
        ("Xception", "plain"),
        ("ConvNeXtTiny", "built"),
    ],
)
def test_keras_3_weights_file_loads(name, source, tmp_path):
    model = _backbone(name)
    size = model.input_shape[1]
    origin = model
    if source == "plain":
        origin = make_plain(name, FAMILIES[name].options, size)
        origin.set_weights(model.get_weights())
    origin.save_weights(tmp_path / "a.weights.h5")
    loaded = _loaded((name, FAMILIES[name].options, size), tmp_path / "a.weights.h5")
    assert digest(loaded) == digest(model)


def test_keras_file_and_run_folder_give_the_backbone_without_its_head(tmp_path):
    model = _backbone("MobileNet")
    head = keras.layers.Dense(3, activation="softmax")(keras.layers.Dropout(0.2)(model.output))
    keras.Model(model.input, head).save(tmp_path / "model.keras")
    for weights in (tmp_path, tmp_path / "model.keras"):
        loaded = _loaded(MOBILENET, weights)
        assert digest(loaded) == digest(model)


def test_none_leaves_random_weights():
    model = _blank_mobilenet()
    before = digest(model)
    load_weights(model, *MOBILENET[:2], ImageConfig(size=32), "none")
    assert digest(model) == before


def test_digest_sees_one_changed_weight():
    model = _blank_mobilenet()
    before = digest(model)
    model.weights[-1].assign(model.weights[-1] * 1.001)
    assert digest(model) != before
    assert len(before) == 64


@pytest.mark.parametrize("suffix", [".h5", ".weights.h5", ".keras"])
def test_another_models_file_names_the_first_layer_that_differs(suffix, tmp_path):
    other = applications.build("MobileNet", {"alpha": 0.5}, ImageConfig(size=32))
    path = tmp_path / f"other{suffix}"
    if suffix == ".h5":
        _write_legacy(path, other)
    else:
        other.save(path) if suffix == ".keras" else other.save_weights(path)
    model = _blank_mobilenet()
    before = digest(model)
    message = (
        r"model\.weights: '.*' does not fit MobileNet: layer 1, 'conv1', expects shapes "
        r"\[\(3, 3, 3, 8\)\], received \[\(3, 3, 3, 16\)\] from the file's layer 'conv.*' "
        r"\(the backbone has 54 layers with weights, the file 54\)"
    )
    with pytest.raises(ValueError, match=message):
        load_weights(model, *MOBILENET[:2], ImageConfig(size=32), str(path))
    assert digest(model) == before


def _first_layers(count):
    model = _backbone("MobileNet")
    return keras.Model(model.input, model.layers[count].output)


@pytest.mark.parametrize("suffix", [".h5", ".weights.h5", ".keras"])
def test_shorter_and_longer_files_are_refused(suffix, tmp_path):
    def save(model):
        path = tmp_path / f"{model.name}{suffix}"
        if suffix == ".h5":
            _write_legacy(path, model)
        else:
            model.save(path) if suffix == ".keras" else model.save_weights(path)
        return path

    output = keras.layers.Conv2D(2, 1)(_backbone("MobileNet").layers[-2].output)
    longer = keras.Model(_backbone("MobileNet").input, output)
    message = r"the file also has layer 'conv2d.*file 55\); .* without the classifier \(top\)"
    with pytest.raises(ValueError, match=message):
        _loaded(MOBILENET, save(longer))
    with pytest.raises(ValueError, match=r"layer 53, 'conv_pw_13'"):
        _loaded(MOBILENET, save(_first_layers(-5)))


def _damaged(tmp_path):
    (tmp_path / "no.h5").write_bytes(b"no HDF5")
    (tmp_path / "no.keras").write_bytes(b"no zip")
    with zipfile.ZipFile(tmp_path / "half.keras", "w") as file:
        file.writestr("metadata.json", "{}")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.zeros(3)
    _write_legacy(tmp_path / "cut.h5", _backbone("MobileNet"))
    whole = (tmp_path / "cut.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "a.npz").write_bytes(b"")
    (tmp_path / "empty").mkdir()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("no.h5", "is damaged or not an HDF5 file"),
        ("cut.h5", "is damaged or not an HDF5 file"),
        ("other.h5", "is an HDF5 file without Keras weights"),
        ("no.keras", r"is damaged or not a \.keras file"),
        ("half.keras", "cannot be loaded"),
        ("a.npz", r"expected a \.h5, \.weights\.h5 or \.keras file or a run's folder"),
        ("empty", r"contains no model\.keras; is it the folder of a finished run\?"),
        ("missing.h5", r"the file or folder '.*missing\.h5' does not exist"),
        ("no.hh5", r"the file or folder '.*' does not exist; did you mean '.*no\.h5'\?"),
    ],
)
def test_unusable_files_are_the_users_error(weights, message, tmp_path):
    _damaged(tmp_path)
    with pytest.raises(ValueError, match=rf"(?s)^model\.weights: .*{message}"):
        _loaded(MOBILENET, tmp_path / weights)


def test_a_misspelt_word_is_corrected():
    with pytest.raises(ValueError, match=r"'imagnet' does not exist; did you mean 'imagenet'\?"):
        _loaded(MOBILENET, "imagnet")


def test_a_lambda_in_a_file_is_refused(tmp_path):
    x = keras.Input((2,))
    keras.Model(x, keras.layers.Lambda(lambda y: y)(x)).save(tmp_path / "lambda.keras")
    with pytest.raises(ValueError, match=r"(?s)^model\.weights: .*cannot be loaded: .*safe_mode"):
        _loaded(MOBILENET, tmp_path / "lambda.keras")


def test_imagenet_without_a_network_says_which_file_goes_where(monkeypatch):
    def fail(name, origin, **_):
        raise Exception(f"URL fetch failure on {origin}: None -- [Errno -2] Name not known")

    monkeypatch.setattr(file_utils, "get_file", fail)
    monkeypatch.setenv("KERAS_HOME", "/cache")
    # There are no weights for 32 px, so Keras is asked for the weights for 224 px.
    message = (
        r"^model\.weights: the ImageNet weights of MobileNet are not available: URL fetch failure "
        r"on \S+: \[Errno -2\] Name not known\nWithout a network, download "
        r"mobilenet_2_5_224_tf_no_top\.h5 elsewhere and add --set model\.weights=FILE\.h5 with its "
        r"path, or save mobilenet_2_5_224_tf_no_top\.h5 as "
        r"/cache/models/mobilenet_2_5_224_tf_no_top\.h5"
    )
    with pytest.raises(ValueError, match=message):
        _loaded(MOBILENET, "imagenet")


def test_weights_of_another_image_size_are_named():
    error = Exception("URL fetch failure on https://a.b/mobilenet_v2_1.0_160_no_top.h5: None -- x")
    message = _unavailable("MobileNetV2", error)
    either = "mobilenet_v2_1.0_160_no_top.h5 (or mobilenet_v2_1.0_224_no_top.h5, which fits too)"
    assert f"download {either} elsewhere" in message


def test_imagenet_efficientnet_equals_keras_from_every_source(monkeypatch, tmp_path):
    # As published: the file has the deviation instead of the variance, and Keras adds a layer.
    published = make_plain(*EFFICIENTNET)
    normalization = next(x for x in published.layers if isinstance(x, keras.layers.Normalization))
    mean, std = (
        np.array(x, "float32") for x in (applications.IMAGENET_MEAN, applications.IMAGENET_STD)
    )
    normalization.set_weights([mean, std, np.array(0)])
    _write_legacy(tmp_path / "efficientnetb0_notop.h5", published)
    path = str(tmp_path / "efficientnetb0_notop.h5")
    monkeypatch.setattr(file_utils, "get_file", lambda *_, **__: path)

    official = make_plain(*EFFICIENTNET, weights="imagenet")
    shake(official, seed=3)
    _write_legacy(path, official)
    official.save(tmp_path / "plain.keras")
    images = images_of_noise(32)
    expected = official(images.astype("float32"))
    built = _loaded(EFFICIENTNET, "imagenet")
    assert_close(built(images), expected)
    expected_digest = digest(built)
    for weights in (path, tmp_path / "plain.keras"):
        assert digest(_loaded(EFFICIENTNET, weights)) == expected_digest
    # Files saved from `build` already have the right variance, and are not corrected twice.
    features = np.asarray(built(images))
    built.save_weights(tmp_path / "own.weights.h5")
    again = _loaded(EFFICIENTNET, tmp_path / "own.weights.h5")
    np.testing.assert_array_equal(again(images), features)


@pytest.mark.parametrize(
    ("file", "name", "alpha"),
    [
        ("mobilenet_v2_1.0_224_no_top.h5", "MobileNetV2", 1.0),
        ("mobilenet_1.0_224_no_top.h5", "MobileNet", 1.0),
        ("mobilenet_0.25_128_no_top.h5", "MobileNet", 0.25),
    ],
)
def test_real_weights_load(file, name, alpha):
    folder = os.environ.get("TL_KERAS_TEST_WEIGHTS")
    if not folder:
        pytest.skip("TL_KERAS_TEST_WEIGHTS names no folder with the ImageNet weights")
    source = (name, {"alpha": alpha}, 96)
    model = _loaded(source, Path(folder) / file)
    plain = make_plain(*source, weights=str(Path(folder) / file))
    images = images_of_noise(96)
    assert_close(model(images), plain(images.astype("float32") / 127.5 - 1))
