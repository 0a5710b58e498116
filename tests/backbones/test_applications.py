import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from families import FAMILIES, assert_close, images_of_noise, make_plain

from tl_keras.backbones import applications
from tl_keras.modalities.image.config import ImageConfig

# Keras 3.15 saves variables by np.array(variable), whose __array__ lacks NumPy 2's `copy`.
# Delete when https://github.com/keras-team/keras no longer warns in `model.save`.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't:DeprecationWarning"
)

MOBILENET = ("MobileNet", {"alpha": 0.25}, ImageConfig(size=32))


def test_raw_pixels_give_the_features_of_preprocessing_and_the_plain_model(family, tmp_path):
    name, model = family
    options, module = FAMILIES[name].options, FAMILIES[name].module
    images = images_of_noise(model.input_shape[1], count=2)
    plain = make_plain(name, options, model.input_shape[1])
    plain.set_weights(model.get_weights())
    preprocess = getattr(keras.applications, module).preprocess_input
    features = np.asarray(model(images))
    assert_close(features, plain(preprocess(images.astype("float32"))))
    assert features.dtype == np.float32
    # Otherwise the comparison would prove nothing: all images would have the same features.
    assert np.abs(features[0] - features[1]).max() > 0.01 * np.abs(features).max()
    if name == "MobileNet":  # The comparison notices missing preprocessing.
        with pytest.raises(AssertionError):
            assert_close(features, plain(images.astype("float32")))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded(images), features)
    assert [o.name for o in loaded.operations] == [o.name for o in model.operations]


def test_every_keras_application_has_a_row():
    names = {name for name in dir(keras.applications) if name[0].isupper()}
    assert names == set(applications.BACKBONES)


@pytest.mark.parametrize("name", ["Xception", "MobileNetV3Small"])
def test_names_do_not_depend_on_the_process(name):
    x = keras.Input((4,))
    keras.layers.ReLU()(x + x)
    first, second = (applications.build(name, {}, ImageConfig(size=96)) for _ in range(2))
    names = [operation.name for operation in first.operations]
    assert names == [operation.name for operation in second.operations]
    assert [w.path for w in first.weights] == [w.path for w in second.weights]
    assert {"add", "add_1"} <= set(names)
    assert len(set(names)) == len(names)
    assert first.name == name


def test_mixed_precision_gives_float32_features_and_leaves_the_policy():
    before = keras.config.dtype_policy()
    model = applications.build(*MOBILENET, dtype="mixed_bfloat16")
    assert keras.config.dtype_policy() == before
    assert model.output.dtype == "float32"
    assert model.get_layer("conv_pw_1").compute_dtype == "bfloat16"
    assert model.get_layer("normalise").compute_dtype == "float32"


def test_importing_and_checking_need_no_tensorflow():
    code = (
        "import sys; from tl_keras.backbones.applications import check; "
        "from tl_keras.modalities.image.config import ImageConfig; "
        "check('VGG16', {}, ImageConfig(size=32), 'imagenet'); "
        "assert not {'keras', 'tensorflow', 'h5py'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("MobileNetv2", {}),
            r"model\.backbone: unknown backbone 'MobileNetv2'; did you mean 'MobileNetV2'\?",
        ),
        (("zzz", {}), r"model\.backbone: unknown .* 'zzz'; valid: Xception, .*ConvNeXtXLarge"),
        (("VGG16", {"alpha": 1}), r"options\.alpha: VGG16 has no such option; it takes no options"),
        (("MobileNet", {"alfa": 1}), r"model\.options\.alfa: .* did you mean 'alpha'\?"),
        (("MobileNet", {"alpha": 9}), r"model\.options\.alpha: .* number in 0.1..4.0, received 9"),
        (("MobileNet", {"alpha": float("nan")}), r"model\.options\.alpha: .* received nan"),
        (("MobileNet", {"alpha": "big"}), r"options\.alpha: must be a number .* received 'big'"),
        (("MobileNet", {"alpha": True}), r"model\.options\.alpha: .* received True"),
        (("MobileNet", {"depth_multiplier": 1.5}), r"depth_multiplier: .* whole number in 1\.\.8"),
        (("MobileNetV3Small", {"minimalistic": 1}), r"minimalistic: must be true or false"),
        (
            ("Xception", {}, ImageConfig(size=70)),
            r"image\.size: Xception needs at least 71 px, received 70",
        ),
        (
            ("MobileNet", {"alpha": 0.3}, ImageConfig(size=96), "imagenet"),
            r"model\.options\.alpha: no ImageNet weights exist for 0\.3; .* 0\.25, 0\.5, 0\.75, 1",
        ),
    ],
)
def test_what_check_rejects(arguments, message):
    with pytest.raises(ValueError, match=message):
        applications.check(*arguments)
