"""Shared, tiny inputs: pictures of three shapes, and one finished run on them."""

import gc
import os
from pathlib import Path

import handmade
import pytest
from families import FAMILIES, make
from shapes import draw

# A fifth of the time would go to walks over TensorFlow's own objects, again and again. What a test
# leaves is collected after it instead, see `collected`.
gc.set_threshold(500_000)
MANY_OBJECTS = 50_000


@pytest.fixture(autouse=True)
def collected():
    """Afterwards nothing is left of a large test: its garbage is collected among young objects."""
    yield
    if gc.get_count()[0] > MANY_OBJECTS:
        gc.collect(1)


@pytest.fixture(scope="module", autouse=True)
def collected_whole():
    """Afterwards nothing is left of the fixtures of a module with large tests either."""
    yield
    if gc.get_count()[2]:
        gc.collect()
        if not gc.get_freeze_count():
            # TensorFlow's converter collects each time: a tenth of a small run, with all imports.
            gc.freeze()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """72 pictures in three class folders."""
    return draw(tmp_path_factory.mktemp("pictures"), 24)


@pytest.fixture(scope="session")
def tree(pictures, tmp_path_factory) -> dict:
    """A config, as nested dicts, of a run of seconds: tiny images, the embedded backbone."""
    return {
        "data": {"path": str(pictures), "test": 0.25, "val": 0.25},
        "image": {"size": 32},
        "model": {"backbone": "MobileNet", "options": {"alpha": 0.5}, "weights": "glyphs"},
        "fit": {"epochs": 3, "batch_size": 8, "freeze": 0.5, "learning_rate": 1e-3},
        "cache": {"path": str(tmp_path_factory.mktemp("cache"))},
    }


@pytest.fixture(scope="session")
def quick(tree, tmp_path_factory) -> dict:
    """`tree` with four convolutions of any size as its backbone, augmented by flips alone:
    tracing both takes a fraction of the time."""
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
    """A finished run of `tree`, all formats exported. Tests read it and do not change it."""
    import tl_keras

    return tl_keras.finetune(tree, tmp_path_factory.mktemp("runs") / "finished")


@pytest.fixture(scope="session")
def quick_run(quick, tmp_path_factory):
    """A finished run of `quick`, one format exported. Tests read it and do not change it."""
    import tl_keras

    asked = {**quick, "export": {"formats": ["float32"]}}
    return tl_keras.finetune(asked, tmp_path_factory.mktemp("runs") / "quick")


# One family after the other, whichever file asks: fourteen at once take over a gigabyte.
@pytest.fixture(scope="session", params=FAMILIES)
def family(request):
    """Name and backbone of each family in turn. Tests leave the backbone as it is."""
    gc.freeze()  # Collecting walks over this family alone.
    yield request.param, make(request.param)
    gc.collect()
    gc.unfreeze()


@pytest.fixture
def real_data() -> Path:
    """The folder of real data sets, where there is one."""
    return _folder("TL_KERAS_TEST_DATA", "real data sets")


@pytest.fixture
def real_weights() -> Path:
    """The folder of ImageNet weights, where there is one."""
    return _folder("TL_KERAS_TEST_WEIGHTS", "ImageNet weights")


def _folder(variable: str, what: str) -> Path:
    if not os.environ.get(variable):
        pytest.skip(f"{variable} is not set: no {what} on this machine")
    return Path(os.environ[variable])


@pytest.fixture
def workdir(tmp_path) -> Path:
    """A finished run's folder, written by hand with hostile names, for the report."""
    return handmade.make(tmp_path)
