"""The checks of a backbone's file before Keras is imported."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tl_keras.backbones import model_file
from tl_keras.modalities.image.config import ImageConfig


def layer(name, **config):
    return {"module": "keras.layers", "class_name": name, "config": config}


def write(path, *layers, shape=(None, 32, 32, 3), class_name="Functional"):
    layers = [layer("InputLayer", batch_shape=shape), *layers]
    model = {"module": "keras", "class_name": class_name, "config": {"layers": layers}}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(model))
    return str(path)


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        ("MobileNetV2", False),
        ("MobileNetv9", False),
        ("a.keras", True),
        ("a.h5", True),
        ("runs/a", True),
        (Path("a.keras"), True),
        (None, False),
        (3, False),
    ],
)
def test_a_path_is_distinguished_from_a_name(value, answer):
    assert model_file.is_file(value) == answer


@pytest.mark.parametrize("shape", [(None, 32, 32, 3), (None, None, None, 3), (None, None, 32, 3)])
def test_images_that_fit_are_taken(shape, tmp_path):
    dense = layer("Dense", units=3, activation={"module": "builtins", "class_name": "function"})
    model_file.check(write(tmp_path / "a.keras", dense, shape=shape), ImageConfig(size=32))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (
            (None, 96, 96, 3),
            r"^image\.size: '.*' takes only images of 96 px, received 32; set image\.size=96$",
        ),
        ((None, None, 96, 3), r"^image\.size: .* set image\.size=96$"),
        ((None, 96, 32, 3), r"takes images of 96 x 32 px; expected a square input"),
        (
            (None, 32, 32, 1),
            r"takes grey images \(1 channel\); .* x = keras\.Input\(\(32, 32, 3\)\); keras\.Model",
        ),
        (
            (None, 3, 32, 32),
            r"takes 32 channels \(the last axis of \(None, 3, 32, 32\)\); expected 3",
        ),
        (
            (None, "a", "a", 3),
            r"^model\.backbone: .* takes inputs of shape \[None, 'a', 'a', 3\]; expected",
        ),
        ((None, [], {}, 3), r"of shape \[None, \[\], \{\}, 3\]; expected \(batch"),
        ((None, 32.0, 32.0, 3), r"of shape \[None, 32\.0, 32\.0, 3\]; expected \(batch"),
        ((None, 0, 0, 3), r"of shape \[None, 0, 0, 3\]; expected \(batch"),
        ((None, 16000), r"of shape \[None, 16000\]; expected \(batch, height, width, 3\) images"),
    ],
)
def test_images_that_do_not_fit_are_refused(shape, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        model_file.check(write(tmp_path / "a.keras", shape=shape), ImageConfig(size=32))


def files(folder):
    (folder / "folder").mkdir()
    (folder / "a.h5").write_bytes(b"")
    (folder / "no.keras").write_bytes(b"no zip")
    with zipfile.ZipFile(folder / "half.keras", "w") as archive:
        archive.writestr("metadata.json", "{}")
    with zipfile.ZipFile(folder / "list.keras", "w") as archive:
        archive.writestr("config.json", "[]")
    write(folder / "class.keras", class_name="MyModel")
    write(folder / "lambda.keras", layer("Bidirectional", layer=layer("Lambda")))
    stranger = {"module": "mine.layers", "class_name": "Mine", "registered_name": "Mine"}
    write(folder / "mine.keras", layer("TimeDistributed", layer=stranger))
    stranger = {"module": None, "class_name": "Mine", "registered_name": "mine>Mine"}
    write(folder / "registered.keras", stranger)
    stranger = {"module": "builtins", "class_name": "function", "config": "mine>act"}
    write(folder / "act.keras", layer("Dense", activation={**stranger, "registered_name": "f"}))


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("missing.keras", r"'.*missing\.keras' does not exist"),
        (
            "folder",
            r"received the folder '.*'; to start from the weights of an earlier run, set ",
        ),
        ("a.h5", r"a \.keras file; received '.*a\.h5'; .*load_model\(.*\)\.save\("),
        ("no.keras", r"is damaged or not a \.keras file of Keras 3: BadZipFile"),
        ("half.keras", r"is damaged or not a \.keras file of Keras 3: KeyError"),
        ("list.keras", r"is damaged or not a \.keras file of Keras 3: TypeError"),
        ("class.keras", r"contains a MyModel, .*; expected a functional or sequential model"),
        ("lambda.keras", r"contains a Lambda layer, which is code; .* use Keras layers or keras"),
        ("mine.keras", r"contains 'Mine', which is not part of Keras; expected only Keras layers"),
        ("registered.keras", r"contains 'mine>Mine', which is not part of Keras"),
        ("act.keras", r"contains 'mine>act', which is not part of Keras"),
    ],
)
def test_unusable_files_are_the_users_error(file, message, tmp_path):
    files(tmp_path)
    with pytest.raises(ValueError, match=rf"^model\.backbone: .*{message}"):
        model_file.check(str(tmp_path / file), ImageConfig(size=32))


@pytest.mark.parametrize(
    "layers",
    [
        3,
        ["a"],
        [None],
        {"a": 1},
        [{"config": {}}],
        [{"class_name": "InputLayer"}],
        [{"class_name": "InputLayer", "config": []}],
    ],
)
def test_malformed_layers_are_the_users_error(layers, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.keras", "w") as archive:
        model = {"class_name": "Functional", "config": {"layers": layers}}
        archive.writestr("config.json", json.dumps(model))
    message = r"^model\.backbone: '.*a\.keras' is damaged or not a \.keras file of Keras 3: "
    with pytest.raises(ValueError, match=message):
        model_file.check(str(tmp_path / "a.keras"), ImageConfig(size=32))


def test_checking_a_file_needs_no_keras(tmp_path):
    file = write(tmp_path / "a.keras")
    code = (
        "import sys; from tl_keras.backbones import model_file; "
        "from tl_keras.modalities.image.config import ImageConfig; "
        f"model_file.check({file!r}, ImageConfig(size=32)); "
        "assert not {'keras', 'tensorflow', 'h5py'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
