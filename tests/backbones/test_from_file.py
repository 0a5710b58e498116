"""Backbones from a user's own model: their features, cut points and error messages."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf
from families import images_of_noise, shake
from input_readers import made, pictures
from keras import layers
from own_models import SETTINGS, SIZE, residual, save

from tl_keras.backbones import applications, from_file
from tl_keras.config.model import ModelConfig
from tl_keras.modalities.image.config import ImageConfig
from tl_keras.training.network import freeze
from tl_keras.training.network import model as models
from tl_keras.training.network.digests import digest, graph_digest

# Keras 3.15 saves variables by np.array(variable), whose __array__ lacks NumPy 2's `copy`.
# Delete when https://github.com/keras-team/keras no longer warns in `model.save`.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't:DeprecationWarning"
)


def mobilenet(**arguments):
    arguments = {"include_top": False, "input_shape": (SIZE, SIZE, 3), **arguments}
    model = keras.applications.MobileNet(alpha=0.25, weights=None, **arguments)
    shake(model)
    return model


def sequential():
    return keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            layers.Normalization(mean=[100.0] * 3, variance=[900.0] * 3),
            layers.Conv2D(4, 3, strides=2, activation="relu", name="first"),
            layers.MaxPooling2D(),
            layers.Conv2D(8, 3, name="second"),
            layers.BatchNormalization(),
            layers.ReLU(name="second_relu"),
            layers.Flatten(),
            layers.Dense(6, name="last"),
        ]
    )


def nested():
    """The model of Keras's transfer-learning guide: augmentation, then a frozen inner model."""
    image = keras.Input((SIZE, SIZE, 3))
    x = keras.Sequential([layers.RandomFlip(), layers.RandomRotation(0.1)])(image)
    pooled = [residual(SIZE), layers.GlobalAveragePooling2D()]
    base = keras.Sequential([keras.Input((SIZE, SIZE, 3)), *pooled])
    base.trainable = False
    x = layers.Dropout(0.3, name="dropout")(base(x * 1.0, training=False))
    return keras.Model(image, layers.Dense(9, name="features")(x))


def adapted():
    normalization = layers.Normalization()
    normalization.adapt(images_of_noise(SIZE, 4).astype("float32"))
    image = keras.Input((SIZE, SIZE, 3), dtype="uint8")
    x = layers.Conv2D(4, 3, strides=2)(normalization(image))
    x = layers.PReLU(shared_axes=[1, 2])(x)
    return keras.Model(image, layers.Conv2D(6, 3)(x))


def pipeline():
    augmentation = layers.Pipeline([layers.RandomFlip(), layers.Solarization(0.5, 0.5)])
    convolutions = [layers.Conv2D(4, 3, strides=2), layers.ReLU(), layers.Conv2D(6, 3)]
    image = keras.Input((SIZE, SIZE, 3))
    x = layers.Pipeline([augmentation, layers.Rescaling(1 / 255), *convolutions])(image)
    return keras.Model(image, layers.Dense(5)(layers.GlobalAveragePooling2D()(x)))


MODELS = {
    "mobilenet": mobilenet,
    "residual": residual,
    "sequential": sequential,
    "nested": nested,
    "adapted": adapted,
    "pipeline": pipeline,
}


@pytest.fixture(scope="module", params=MODELS)
def saved(request, tmp_path_factory):
    """A user's model and its file."""
    keras.utils.set_random_seed(0)
    model = MODELS[request.param]()
    return save(model, tmp_path_factory.mktemp("own") / f"{request.param}.keras")


def _pooled(array):
    array = np.asarray(array)
    return array.mean((1, 2)) if array.ndim == 4 else array


def _prepared(images, preprocessing):
    pixels = images.astype("float32")
    if preprocessing == "caffe":
        return pixels[..., ::-1] - np.asarray(applications.CAFFE_MEAN, "float32")
    if preprocessing == "torch":
        mean, std = np.asarray(applications.IMAGENET_MEAN), np.asarray(applications.IMAGENET_STD)
        return ((pixels / 255 - mean) / std).astype("float32")
    return pixels / 127.5 - 1 if preprocessing == "tf" else pixels


def _assert_equal(actual, expected):
    assert expected.std() > 1e-4
    np.testing.assert_allclose(actual, expected, atol=1e-5 * np.abs(expected).max())


def test_raw_pixels_give_the_models_own_features(saved):
    model, file = saved
    images = images_of_noise(SIZE, 2)
    backbone = from_file.build(file, "included", SETTINGS)
    pixels = images if model.inputs[0].dtype == "uint8" else images.astype("float32")
    found = np.asarray(backbone(images, training=False))
    _assert_equal(found, _pooled(model(pixels, training=False)))
    np.testing.assert_array_equal(backbone(images), found)  # Also without `training`.
    assert (backbone.input.dtype, found.dtype) == ("uint8", np.float32)
    assert not any(isinstance(layer, keras.Model) for layer in backbone.layers)
    assert np.abs(found[0] - found[1]).max() > 1e-3 * np.abs(found).max()


@pytest.mark.parametrize("preprocessing", ["tf", "torch", "caffe"])
def test_preprocessing_means_the_same_as_for_keras_applications(preprocessing, tmp_path):
    model, file = save(residual(), tmp_path / "a.keras")
    images = images_of_noise(SIZE, 2)
    found = np.asarray(from_file.build(file, preprocessing, SETTINGS)(images))
    _assert_equal(found, _pooled(model(_prepared(images, preprocessing))))
    other = np.asarray(from_file.build(file, "included", SETTINGS)(images))
    assert np.abs(found - other).max() > 0.01 * np.abs(found).max()


def test_prefix_then_suffix_equals_the_model_at_each_block(saved):
    _, file = saved
    backbone = from_file.build(file, "included", SETTINGS)
    images = images_of_noise(SIZE)
    expected = np.asarray(backbone(images, training=False))
    ends = [block.cut for block in freeze.blocks(backbone, None)]
    assert ends[-1] == backbone.operations[-1].name == "features"
    assert len(ends) > 1
    for cut in ends[:-1][:: max(1, len(ends) // 4)]:
        prefix, suffix = freeze.split(backbone, cut)
        behind = suffix(prefix(images, training=False), training=False)
        np.testing.assert_array_equal(behind, expected)


def test_names_and_digests_are_the_same_each_time(saved):
    _, file = saved
    first, second = (from_file.build(file, "caffe", SETTINGS) for _ in range(2))
    assert [o.name for o in first.operations] == [o.name for o in second.operations]
    assert digest(first) == digest(second)
    assert graph_digest(first) == graph_digest(second)
    assert graph_digest(first) != graph_digest(from_file.build(file, "tf", SETTINGS))


def test_half_precision_has_equal_weights_and_gives_float32(saved):
    _, file = saved
    config = ModelConfig(backbone=file)
    backbone = models.pretrained(config, ImageConfig(size=SIZE))
    model = models.add_head(backbone, "ab", 0.2)
    twin = models.in_precision(model, config, SETTINGS, "ab", "mixed_bfloat16")
    for a, b in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert twin.get_layer("features").output.dtype == "float32"
    kernels = [layer for layer in models.backbone_of(twin).layers if freeze.has_kernel(layer)]
    assert kernels
    assert {layer.compute_dtype for layer in kernels} == {"bfloat16"}
    images = images_of_noise(SIZE, 2)
    found, expected = (np.asarray(models.backbone_of(x)(images)).ravel() for x in (twin, model))
    # 27 layers on noise, each with a mantissa of 8 bits.
    assert np.corrcoef(found, expected)[0, 1] > 0.9


def test_none_leaves_random_weights_and_a_file_fills_them(saved, tmp_path):
    _, file = saved
    own = models.pretrained(ModelConfig(backbone=file), ImageConfig(size=SIZE))
    fresh = models.pretrained(ModelConfig(backbone=file, weights="none"), ImageConfig(size=SIZE))
    assert graph_digest(own) == graph_digest(fresh)
    assert digest(own) != digest(fresh)
    own.save_weights(tmp_path / "a.weights.h5")
    own.save(tmp_path / "a.keras")
    for name in ("a.weights.h5", "a.keras"):
        weights = str(tmp_path / name)
        filled = models.pretrained(
            ModelConfig(backbone=file, weights=weights), ImageConfig(size=SIZE)
        )
        assert digest(filled) == digest(own)


def test_a_graph_that_corrects_its_variance_is_not_corrected_again(tmp_path):
    """As in Keras's EfficientNet: a deviation instead of the variance, and a layer to fix it."""
    std = np.asarray(applications.IMAGENET_STD, "float32")
    normalization = layers.Normalization()
    normalization.build((None, None, None, 3))
    normalization.set_weights([np.zeros(3, "float32"), std, np.array(0)])
    mended = [layers.Rescaling(1 / 255), normalization, layers.Rescaling(1 / np.sqrt(std))]
    model = keras.Sequential([keras.Input((SIZE, SIZE, 3)), *mended, layers.Conv2D(4, 3)])
    _, file = save(model, tmp_path / "a.keras")
    own = models.pretrained(ModelConfig(backbone=file), ImageConfig(size=SIZE))
    own.save_weights(tmp_path / "b.weights.h5")
    own.save(tmp_path / "model.keras")
    images = images_of_noise(SIZE)
    for weights in (tmp_path, tmp_path / "b.weights.h5"):
        config = ModelConfig(backbone=file, weights=str(weights))
        filled = models.pretrained(config, ImageConfig(size=SIZE))
        np.testing.assert_array_equal(filled(images), own(images))


def test_layers_frozen_in_the_file_train_and_batch_norm_does_not(tmp_path):
    model = nested()
    assert len(model.trainable_weights) == 2
    _, file = save(model, tmp_path / "a.keras")
    backbone = from_file.build(file, "included", SETTINGS)
    assert len(backbone.trainable_weights) == 16
    freeze.freeze_batch_norm(backbone)
    kinds = {weight.path.split("/")[-1] for weight in backbone.trainable_weights}
    assert kinds == {"kernel", "bias"}


def test_reserved_names_are_changed_and_augmentation_is_left_out(tmp_path):
    _, file = save(nested(), tmp_path / "a.keras")
    backbone = from_file.build(file, "included", SETTINGS)
    names = [operation.name for operation in backbone.operations]
    assert {"dropout_2", "features_2", "conv_3"} <= set(names)
    assert names[-1] == "features"
    assert not any("random" in name for name in names)
    images = images_of_noise(SIZE)
    np.testing.assert_array_equal(backbone(images), backbone(images, training=False))
    models.add_head(backbone, "ab", 0.2)


def test_every_layer_of_keras_that_is_random_by_default_is_left_out():
    kinds = [x for x in vars(layers).values() if isinstance(x, type) and hasattr(x, "call")]
    seeded = {kind for kind in kinds if "seed" in inspect.signature(kind).parameters}
    training = {kind: inspect.signature(kind.call).parameters.get("training") for kind in seeded}
    random = {kind for kind in seeded if training[kind] and training[kind].default is True}
    assert random == {*from_file.AUGMENTING, layers.RandomCrop}


def test_blocks_of_a_file_may_each_read_the_image(tmp_path):
    _, file = save(made(pictures), tmp_path / "a.keras")
    backbone = from_file.build(file, "included", SETTINGS)
    ends = [block.cut for block in freeze.blocks(backbone, None)]
    assert ends == ["both_0", "both_1", "features"]
    images = tf.constant(images_of_noise(SIZE))
    for cut in ends[:-1]:
        prefix, suffix = freeze.split(backbone, cut)
        found = suffix(freeze.suffix_inputs(suffix, prefix(images), images))
        np.testing.assert_array_equal(found, backbone(images))


def test_a_layers_name_of_the_file_is_a_freeze_depth(tmp_path):
    _, file = save(residual(), tmp_path / "a.keras")
    backbone = from_file.build(file, None, SETTINGS)
    assert [block.name for block in freeze.blocks(backbone, None)] == [
        *("stem", "out_1", "out_2", "features"),
    ]
    assert freeze.resolve(backbone, None, "out_3").cut == "out_3"
    assert freeze.resolve(backbone, None, 0.5).cut == "out_1"
    with pytest.raises(ValueError, match=r"inside a branch: .* before it is 'out_1'"):
        freeze.resolve(backbone, None, "norm_2")


def test_a_half_precision_model_becomes_float32(tmp_path):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = residual()
    keras.config.set_dtype_policy(before)
    _, file = save(model, tmp_path / "a.keras")
    backbone = from_file.build(file, None, SETTINGS)
    assert {layer.compute_dtype for layer in backbone.layers} <= {"float32", "uint8"}


def test_an_earlier_runs_model_works_with_a_warning_about_its_classifier(finished_run, caplog):
    backbone = from_file.build(str(finished_run.workdir / "model.keras"), None, SETTINGS)
    images = images_of_noise(SIZE, 2)
    expected = keras.models.load_model(finished_run.workdir / "model.keras")(images)
    _assert_equal(np.asarray(backbone(images)), np.asarray(expected))
    message = "ends in a classifier, the layer 'logits': the new head learns from its 3 outputs"
    assert message in caplog.text
    assert "get_layer('dropout')" in caplog.text
    assert "normalises pixels" not in caplog.text


def test_missing_normalisation_and_a_classifier_are_warned_of(tmp_path, caplog):
    top = mobilenet(include_top=True, classes=4)
    _, file = save(keras.Sequential([keras.Input((SIZE, SIZE, 3)), top]), tmp_path / "a.keras")
    from_file.build(file, None, SETTINGS)
    assert "has no layer that normalises pixels" in caplog.text
    assert "set model.preprocessing: tf (-1..1)" in caplog.text
    message = "ends in a classifier, the layer 'conv_preds': the new head learns from its 4 outputs"
    assert message in caplog.text
    advice = "the features before this layer: save a model that ends before the layer 'conv_preds'"
    assert advice in caplog.text
    caplog.clear()
    from_file.build(file, "tf", SETTINGS)
    assert "normalises pixels" not in caplog.text


@pytest.mark.parametrize("is_layer", [True, False])
def test_advice_names_only_what_get_layer_finds(is_layer, tmp_path, caplog):
    image = keras.Input((SIZE, SIZE, 3))
    x = layers.GlobalAveragePooling2D(name="before")(layers.Conv2D(4, 3)(image))
    x = layers.Dense(2, activation="softmax")(x if is_layer else keras.ops.abs(x))
    model, file = save(keras.Model(image, x), tmp_path / "a.keras")
    from_file.build(file, None, SETTINGS)
    assert "ends in a classifier" in caplog.text
    assert ("get_layer('before')" in caplog.text) == is_layer
    assert ("get_layer" in caplog.text) == is_layer
    assert keras.Model(model.input, model.get_layer("before").output).output.shape == (None, 4)


@pytest.mark.parametrize("model", [residual, sequential])
def test_a_model_that_normalises_and_ends_in_features_needs_no_warning(model, tmp_path, caplog):
    from_file.build(save(model(), tmp_path / "a.keras")[1], None, SETTINGS)
    assert not caplog.text


def test_tensors_may_have_names(tmp_path):
    image = keras.Input((SIZE, SIZE, 3), name="pixels")
    features_of = layers.Dense(4)(layers.Flatten()(layers.Rescaling(1 / 255)(image)))
    named = keras.Model({"pixels": image}, {"features": features_of})
    model, file = save(named, tmp_path / "a.keras")
    images = images_of_noise(SIZE, 2)
    expected = model({"pixels": images.astype("float32")})["features"]
    _assert_equal(np.asarray(from_file.build(file, None, SETTINGS)(images)), np.asarray(expected))


def _unbuilt():
    model = keras.Sequential([layers.Rescaling(1 / 255), layers.Flatten()])
    assert not model.built
    return model


def _two_inputs():
    first, second = keras.Input((SIZE, SIZE, 3)), keras.Input((SIZE, SIZE, 3))
    return keras.Model([first, second], first + second)


def _two_outputs():
    image = keras.Input((SIZE, SIZE, 3))
    x = layers.Conv2D(2, 3)(image)
    return keras.Model(image, [x, layers.ReLU()(x)])


def _shared_layer():
    image, shared = keras.Input((SIZE, SIZE, 3)), layers.Conv2D(3, 3, name="twice")
    return keras.Model(image, shared(shared(image)))


def _shared_model():
    image = keras.Input((SIZE, SIZE, 3))
    shared = keras.Sequential([keras.Input((SIZE, SIZE, 3)), layers.ReLU()], name="twice")
    return keras.Model(image, shared(image) + shared(image * 2))


def _sequence():
    image = keras.Input((SIZE, SIZE, 3))
    return keras.Model(image, layers.Reshape((SIZE, SIZE * 3))(image))


def _large():
    return keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(2, 40)])


def _whole_numbers():
    image = keras.Input((SIZE, SIZE, 3), dtype="int32")
    return keras.Model(image, layers.Rescaling(1 / 255)(image))


def _quantised():
    model = sequential()
    model.get_layer("last").quantize("int8")
    return model


@pytest.mark.filterwarnings("ignore:You are saving a model that has not yet been built")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_unbuilt, r"was saved before its .*; make its first layer keras\.Input\(\(32, 32, 3\)\)"),
        (_two_inputs, r"has 2 inputs; expected one"),
        (_two_outputs, r"has 2 outputs; expected one input, .* model\.outputs\[0\]"),
        (_shared_layer, r"calls layer 'twice' more than once; expected one call of each layer"),
        (_shared_model, r"calls layer 'twice' more than once"),
        (_sequence, r"returns a tensor of shape \(None, 32, 96\); expected features"),
        (_large, r"cannot be built for image\.size 32: .*"),
        (_whole_numbers, r"takes int32; expected uint8 or a float type"),
    ],
)
def test_models_that_cannot_be_backbones_are_the_users_error(make, message, tmp_path):
    _, file = save(make(), tmp_path / "a.keras")
    with pytest.raises(
        ValueError, match=rf"^model\.backbone: (the input of )?'.*a\.keras' {message}"
    ):
        from_file.build(file, None, SETTINGS)


def test_a_quantised_model_is_the_users_error(tmp_path):
    _, file = save(_quantised(), tmp_path / "a.keras")
    message = r"^model\.backbone: layer 'last' of '.*' is quantised \(int8_from_float32\); expected"
    with pytest.raises(ValueError, match=message):
        from_file.build(file, None, SETTINGS)


def test_a_damaged_file_is_the_users_error(tmp_path):
    _, file = save(sequential(), tmp_path / "a.keras")
    whole = (tmp_path / "a.keras").read_bytes()
    for at in (len(whole) // 4, len(whole) // 2, 3 * len(whole) // 4):
        damaged = whole[:at] + bytes(byte ^ 255 for byte in whole[at : at + 64]) + whole[at + 64 :]
        (tmp_path / "a.keras").write_bytes(damaged)
        with pytest.raises(
            ValueError, match=r"^model\.backbone: '.*' (is damaged|cannot be loaded)"
        ):
            from_file.build(file, None, SETTINGS)
