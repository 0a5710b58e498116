"""Fixtures that all tests share: tiny pictures of three shapes, and finished runs on them."""

import gc
import os
from pathlib import Path

import handmade
import pytest
from families import FAMILIES, make
from shapes import draw

# Frequent garbage collection over TensorFlow's own objects would take a fifth of the time. Instead,
# garbage is collected after each large test, see `collected`.
gc.set_threshold(500_000)
MANY_OBJECTS = 50_000
LARGEST = "InceptionResNetV2"  # The largest of the families' backbones.


@pytest.fixture(autouse=True)
def collected():
    """Collects the garbage of a large test after it, among young objects only."""
    yield
    if gc.get_count()[0] > MANY_OBJECTS:
        gc.collect(1)


@pytest.fixture(scope="module", autouse=True)
def collected_whole():
    """Collects the garbage of a module's fixtures after a module with large tests."""
    yield
    if gc.get_count()[2]:
        gc.collect()
        if not gc.get_freeze_count():
            # TensorFlow's converter collects on each call. Without freezing the imported objects,
            # that takes a tenth of a small run.
            gc.freeze()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """72 pictures in three class folders."""
    return draw(tmp_path_factory.mktemp("pictures"), 24)


@pytest.fixture(scope="session")
def tree(pictures, tmp_path_factory) -> dict:
    """The config, as nested dicts, of a run of seconds: tiny images, the embedded backbone."""
    return {
        "data": {"path": str(pictures), "test": 0.25, "val": 0.25},
        "image": {"size": 32},
        "model": {"backbone": "MobileNet", "options": {"alpha": 0.5}, "weights": "glyphs"},
        "fit": {"epochs": 3, "batch_size": 8, "freeze": 0.5, "learning_rate": 1e-3},
        "cache": {"path": str(tmp_path_factory.mktemp("cache"))},
    }


@pytest.fixture(scope="session")
def quick(tree, tmp_path_factory) -> dict:
    """`tree` with a backbone of four convolutions and flips as the only augmentation.

    Tracing both takes a fraction of the time. The backbone accepts images of any size.
    """
    import keras

    keras.utils.set_random_seed(0)
    inputs = x = keras.Input((None, None, 3))
    for i, width in enumerate((8, 16, 24, 32)):
        how = {"strides": 2 if i else 1, "padding": "same", "use_bias": False}
        x = keras.layers.Conv2D(width, 3, **how, name=f"conv_{i}")(x)
        x = keras.layers.BatchNormalization(name=f"norm_{i}")(x)
        x = keras.layers.ReLU(name=f"relu_{i}")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    file = tmp_path_factory.mktemp("backbone") / "quick.keras"
    keras.Model(inputs, x).save(file)
    image = {**tree["image"], "augment": [{"flip": "horizontal"}]}
    return {**tree, "image": image, "model": {"backbone": str(file)}}


@pytest.fixture(scope="session")
def finished_run(tree, tmp_path_factory):
    """A finished run of `tree` with all default formats exported. Tests must not change it."""
    import tl_keras

    return tl_keras.finetune(tree, tmp_path_factory.mktemp("runs") / "finished")


@pytest.fixture(scope="session")
def quick_run(quick, tmp_path_factory):
    """A finished run of `quick` with one format exported. Tests must not change it."""
    import tl_keras

    asked = {**quick, "export": {"formats": ["float32"]}}
    return tl_keras.finetune(asked, tmp_path_factory.mktemp("runs") / "quick")


# Built one after the other, because all fourteen together take over a gigabyte of memory.
@pytest.fixture(scope="session", params=FAMILIES)
def family(request):
    """The name and the backbone of each family in turn. Tests must not change the backbone."""
    if request.param == LARGEST and not os.environ.get("TL_KERAS_TEST_LARGE"):
        pytest.skip(f"TL_KERAS_TEST_LARGE is not set: {LARGEST}, of 780 layers, takes long")
    gc.freeze()  # Later collections then visit only the objects of this family.
    yield request.param, make(request.param)
    gc.collect()
    gc.unfreeze()


@pytest.fixture
def real_data() -> Path:
    """The folder of real data sets; the test is skipped if there is none."""
    return _folder("TL_KERAS_TEST_DATA", "real data sets")


@pytest.fixture
def real_weights() -> Path:
    """The folder of ImageNet weights; the test is skipped if there is none."""
    return _folder("TL_KERAS_TEST_WEIGHTS", "ImageNet weights")


def _folder(variable: str, what: str) -> Path:
    if not os.environ.get(variable):
        pytest.skip(f"{variable} is not set: no {what} on this machine")
    return Path(os.environ[variable])


@pytest.fixture
def workdir(tmp_path) -> Path:
    """The folder of a finished run, written by hand with hostile names, for tests of the report."""
    return handmade.make(tmp_path)
