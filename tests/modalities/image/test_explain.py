"""The pictures that explain a run: heat maps are right, views are those of training."""

import json
import shutil
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tl_keras.config import text as configs
from tl_keras.config.whole import RunConfig
from tl_keras.data import run_data
from tl_keras.data.batching import batches
from tl_keras.data.batching.inputs import Inputs, Training
from tl_keras.data.examples import Dataset, Example
from tl_keras.modalities.image import explain
from tl_keras.report.facts import confidence
from tl_keras.report.pages import page
from tl_keras.report.read import read
from tl_keras.run import folder as runs
from tl_keras.tasks.classification import metrics
from tl_keras.training import evaluation
from tl_keras.training.network import model as models


def small_model(pool: bool = True) -> keras.Model:
    """Returns a model that averages red and blue in 4 x 4 cells and answers the stronger one."""
    inputs = keras.Input((16, 16, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(inputs)
    if pool:
        x = keras.layers.Conv2D(2, 4, strides=4, use_bias=False, name="cells")(x)
        x = keras.layers.GlobalAveragePooling2D()(x)
    else:
        x = keras.layers.Flatten()(x)
    model = models.add_head(keras.Model(inputs, x), ("red", "blue"), 0.2)
    if pool:
        kernel = np.zeros((4, 4, 3, 2), np.float32)
        kernel[..., 0, 0] = kernel[..., 2, 1] = 1 / 16
        model.get_layer("cells").set_weights([kernel])
        model.get_layer("logits").set_weights([np.eye(2) * 9, np.zeros(2)])
    return model


def patch(colour: int, top: int, left: int) -> np.ndarray:
    image = np.zeros((16, 16, 3), np.uint8)
    image[top : top + 4, left : left + 4, colour] = 255
    return image


def test_heat_is_at_the_coloured_patch():
    images = np.stack([patch(0, 0, 4), patch(2, 12, 8), patch(0, 0, 4)])
    heat = explain.grad_cam(small_model(), images, np.eye(2)[[0, 1, 1]])
    expected = np.zeros((3, 4, 4))
    expected[0, 0, 1] = expected[1, 3, 2] = 1
    # Nothing in the third image supports the answer blue.
    np.testing.assert_allclose(heat, expected, atol=1e-6)


def test_heat_equals_the_paper():
    """Before a mean and a dense layer, Grad-CAM is the feature map weighted by the kernel."""
    model = small_model()
    generator = np.random.default_rng(0)
    kernel = generator.normal(size=(2, 2)).astype(np.float32)
    model.get_layer("logits").set_weights([kernel, np.zeros(2)])
    images = generator.integers(0, 256, (5, 16, 16, 3), np.uint8)
    classes = np.array([0, 1, 1, 0, 1])
    maps = keras.Model(model.input, model.get_layer("cells").output)(images).numpy()
    expected = np.maximum(np.einsum("nhwc,cn->nhw", maps, kernel[:, classes]), 0)
    expected /= np.maximum(expected.max((1, 2), keepdims=True), 1e-12)
    np.testing.assert_allclose(
        explain.grad_cam(model, images, np.eye(2)[classes]), expected, atol=1e-5
    )


def test_every_backbone_has_a_feature_map(family):
    _, backbone = family
    model = models.add_head(backbone, ("a", "b", "c"), 0.2)
    size = model.input.shape[1]
    images = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), np.uint8)
    heat = explain.grad_cam(model, images, np.eye(3)[[0, 2]])
    assert heat.shape[0] == 2 and explain.CELLS <= heat.shape[1] < size
    assert np.isfinite(heat).all() and heat.min() >= 0 and heat.max() <= 1
    assert heat.any()


def test_models_without_a_map_have_no_heat():
    assert (
        explain.grad_cam(small_model(pool=False), np.zeros((1, 16, 16, 3)), np.eye(2)[:1]) is None
    )
    layer = keras.layers.Dense(4)
    inputs = keras.Input((4,))
    assert explain.feature_map(keras.Model(inputs, layer(layer(inputs)))) is None  # Not flat.


def test_overlay_is_grey_except_for_the_heat():
    image = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    heat = np.zeros((4, 4), np.float32)
    heat[0, 0] = 1
    shown = explain.overlay(image, heat).astype(int)
    assert np.ptp(shown[-1, -1]) == 0 and shown[0, 0, 0] - shown[0, 0, 2] > 100


SHAKEN = {"augment": [{"flip": "horizontal"}, {"rotation": 0.2}, {"color": 0.5}]}


def config_of(**sections) -> RunConfig:
    image = {**SHAKEN, **sections.pop("image", {})}
    return configs.from_tree({"data": {"source": "digits"}, "image": image, **sections})


@pytest.mark.parametrize("seed", [0, 3])
def test_views_equal_those_of_training(seed):
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (10, 16, 16, 3), np.uint8)
    config, inputs = config_of(seed=seed), Inputs(np.arange(10), images)
    how = Training("image", 10, seed, config.image.augment, None, "none", 10)
    shown = explain.views(images[[7, 2]], [7, 2], 10, config)
    assert shown.shape == (5, 2, 16, 16, 3)
    place = tf.Variable([0, 0], dtype=tf.int64)
    for view in range(5):
        place.assign([view, 0])
        ((trained, targets, _),) = batches.training(inputs, how, place).as_numpy_iterator()
        of_label = dict(zip(targets.argmax(-1), trained, strict=True))
        np.testing.assert_array_equal(shown[view], [of_label[7], of_label[2]])


def test_views_that_repeat_are_shown_once():
    images = np.zeros((2, 16, 16, 3), np.uint8)
    assert len(explain.views(images, [0, 1], 2, config_of(fit={"views": 2}))) == 2


def test_number_of_views_is_limited_by_epochs():
    images = np.zeros((2, 16, 16, 3), np.uint8)
    assert len(explain.views(images, [0, 1], 2, config_of(fit={"epochs": 3}))) == 3


def test_mixing_is_shown():
    images = np.stack([np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 255, np.uint8)])
    config = config_of(image={"augment": [{"mixup": 1.0}]})
    shown = explain.views(images, [0, 1], 2, config)
    assert all(0 < view[0].mean() < 255 for view in shown)


def dataset(count: int) -> Dataset:
    labels = [i % 2 for i in range(count)]
    splits = {
        split: [Example(f"{split}/{i}.png", label, "") for i, label in enumerate(labels)]
        for split in ("train", "val", "test")
    }
    return Dataset(("red", "blue"), splits, None, None, [], [], "")


def write(folder, streamed: bool = False, **sections) -> dict:
    """Writes the pictures of a run whose test images are all red, half of them labelled blue."""
    data_set, model = dataset(40), small_model()
    images = np.stack([patch(0, 4 * (i % 4), 8) for i in range(40)])
    table = tf.constant(images)
    array = None if streamed else images
    lookup = (lambda indices: indices.map(lambda i: table[i])) if streamed else None
    inputs = {split: Inputs(data_set.labels(split), array, lookup) for split in data_set.splits}
    # Rising probabilities, so that the order of the mistakes is known.
    share = np.linspace(0.6, 0.99, 40)
    probabilities = {"test": np.stack([share, 1 - share], -1)}
    explain.pictures(model, data_set, inputs, probabilities, config_of(**sections), folder)
    return json.loads((folder / "index.json").read_text())


@pytest.mark.parametrize("streamed", [False, True])
def test_index_names_the_worst_mistakes_and_every_file(tmp_path, streamed):
    index = write(tmp_path / "pictures", streamed)
    files = [entry["file"] for entry in index["mistakes"]]
    # Images labelled blue, the most confident mistake first.
    assert files == [f"test/{i}.png" for i in range(39, 16, -2)]
    assert {entry["split"] for entry in index["mistakes"]} == {"test"}
    named = [entry["heat"] for entry in index["mistakes"]]
    assert len(index["augmented"]) == 6
    for entry in index["augmented"]:
        assert entry["file"].startswith("train/") and len(entry["views"]) == 5
        named += [entry["original"], *entry["views"]]
    written = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert written == {*named, "index.json"} and len(named) == 12 + 36
    with Image.open(tmp_path / "pictures" / named[0]) as picture:
        assert picture.format == "JPEG" and picture.size == (80, 80)  # 16 px, enlarged five times.


def test_pictures_are_reproducible_and_old_ones_are_removed(tmp_path):
    write(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "old.jpg").touch()
    write(tmp_path / "b")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    assert not (tmp_path / "b" / "old.jpg").exists()


@pytest.mark.parametrize("section", [{"fit": {"epochs": 0}}, {"image": {"augment": []}}])
def test_no_views_without_fine_tuning_or_augmentation(tmp_path, section):
    assert write(tmp_path / "pictures", **section)["augmented"] == []


def test_a_run_shows_its_own_mistakes(finished_run, tmp_path):
    """A third of the run's test images get wrong labels."""
    shutil.copytree(finished_run.workdir, tmp_path / "run")
    run = runs.load(tmp_path / "run")
    data = run_data.read(run)
    labels = data.inputs["test"].labels.copy()
    labels[::3] = (labels[::3] + 1) % 3
    inputs = {**data.inputs, "test": replace(data.inputs["test"], labels=labels)}
    model, data = models.load(run.workdir / "model.keras"), replace(data, inputs=inputs)
    evaluation.evaluate(run, model, data, evaluation.predict(run, model, data))
    index = json.loads((run.workdir / "pictures" / "index.json").read_text())
    worst = [p.file for p in confidence.worst(read(run.workdir))]
    assert [entry["file"] for entry in index["mistakes"]] == worst and len(worst) >= 4
    assert explain.MISTAKES == confidence.MISTAKES
    html = page.write(run.workdir).read_text()
    heats = [entry["heat"] for entry in index["mistakes"] if entry["heat"]]
    thumbnails = len(run.findings["suspects"]) + 2 * len(run.findings["near_duplicates"])
    views = explain.SAMPLES * (1 + run.config.fit.epochs)
    assert heats and html.count("<img ") == len(worst) + len(heats) + views + thumbnails
    assert "Grad-CAM" in html and len(html) < 1_000_000


def test_a_run_without_mistakes_has_no_heat(tmp_path, monkeypatch):
    monkeypatch.setattr(metrics, "worst", lambda *_: [])
    assert write(tmp_path / "pictures")["mistakes"] == []
