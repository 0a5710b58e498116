"""Pictures that explain a run: where the model looked in its worst mistakes, augmented samples.

Written into the run folder while model and images are at hand, since the report only reads files.
"""

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from tl_keras import tasks
from tl_keras.config.whole import RunConfig
from tl_keras.data.batches import examples_of
from tl_keras.data.examples import Dataset
from tl_keras.data.inputs import Inputs
from tl_keras.modalities.image.augment import augment, mix, num_columns
from tl_keras.run.files import replacing, write_json
from tl_keras.training.network import freeze
from tl_keras.training.network.model import logits_of

MISTAKES = 12
SAMPLES, VIEWS = 6, 5
CELLS = 4  # Rows of a feature map, at least.
SIDE = 160  # px, the longest side of a picture that is written
WARM = np.array([255, 60, 0], np.float32)  # Of the heat; the picture below it is grey.
GREY = np.array([0.299, 0.587, 0.114], np.float32)  # Rec. 601 luma


def pictures(
    model: keras.Model,
    dataset: Dataset,
    inputs: dict[str, Inputs],
    probabilities: dict[str, np.ndarray],
    config: RunConfig,
    folder: Path,
) -> None:
    """Writes JPEGs and `index.json`: heat maps of the worst mistakes, views of training images.

    `index.json` holds `mistakes`, each with `file`, `split` and `heat` (a JPEG's name; None where
    the model has no feature map, or nothing in it spoke for the answer), and `augmented`, each
    with `file`, `original` and `views`.

    Args:
      model: `(size, size, 3) uint8` to answers, with a layer `logits`.
      probabilities: answers on each measured split; test is explained, else val.
      folder: is made anew; the index is written last.
    """
    shutil.rmtree(folder, ignore_errors=True)
    split = next(name for name in ("test", "val") if name in probabilities)
    index = {
        "mistakes": _mistakes(model, dataset, inputs, split, probabilities[split], folder),
        "augmented": _augmented(dataset, inputs["train"], config, folder),
    }
    write_json(folder / "index.json", index)


def _mistakes(
    model: keras.Model,
    dataset: Dataset,
    inputs: dict[str, Inputs],
    split: str,
    probabilities: np.ndarray,
    folder: Path,
) -> list[dict[str, Any]]:
    # Rounded as predictions.csv is, so that the report and this choose the same ones.
    metrics = tasks.of(dataset.task, "metrics")
    worst = metrics.worst(np.round(probabilities, 6), inputs[split].labels, MISTAKES)
    if not worst:
        return []
    images = examples_of(inputs[split].part(np.array(worst)))
    # Held-out examples were answered by other models, of folds.
    of_folds = dataset.whole and split == "val"
    heat = None if of_folds else grad_cam(model, images, probabilities[worst], dataset.task)
    entries = []
    for i, example in enumerate(worst):
        name = None
        if heat is not None and heat[i].any():
            name = f"heat_{i:02d}.jpg"
            _write(folder / name, overlay(images[i], heat[i]))
        file = dataset.splits[split][example].file
        entries.append({"file": file, "split": split, "heat": name})
    return entries


def grad_cam(
    model: keras.Model, images: np.ndarray, answers: np.ndarray, task: str = tasks.DEFAULT
) -> np.ndarray | None:
    """Where the model looked: Grad-CAM (arXiv 1610.02391) at its last feature map.

    `(images, rows, columns) float32` in 0..1; all 0 where nothing spoke for the answer. None where
    the model has no feature map.

    Args:
      model: as for `pictures`.
      images: `(images, size, size, 3) uint8`.
      answers: that each image is explained for, `(images, width)`.
    """
    cut = feature_map(model)
    if cut is None:
        return None
    prefix, suffix = freeze.split(logits_of(model), cut)
    maps = prefix(tf.constant(images), training=False)
    with tf.GradientTape() as tape:
        tape.watch(maps)
        logits = suffix(freeze.suffix_inputs(suffix, maps, tf.constant(images)), training=False)
        # Images do not meet in inference mode: the gradients of a sum are those of each.
        score = tf.reduce_sum(tasks.of(task, "layer").explained(logits, answers))
    weights = tf.reduce_mean(tape.gradient(score, maps), axis=(1, 2), keepdims=True)
    heat = tf.nn.relu(tf.reduce_sum(weights * maps, axis=-1)).numpy().astype(np.float32)
    return heat / np.maximum(heat.max(axis=(1, 2), keepdims=True), 1e-12)


def feature_map(model: keras.Model) -> str | None:
    """The last cut point whose output is a map coarser than the image, of `CELLS` a side or more.

    The paper takes the last of all; of a small image that would leave one cell or four.
    """
    try:
        cuts = set(freeze.cut_points(model))
    except ValueError:  # A model that is not flat has no cut points.
        return None
    size = model.input.shape[1]
    for operation in reversed(model.operations):
        shape: Any = operation.output.shape if operation.name in cuts else ()
        if len(shape) == 4 and shape[1] and CELLS <= shape[1] < size:
            return operation.name
    return None


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """The image in grey, warm where the heat is; `(size, size, 3) uint8` in and out."""
    smooth = Image.fromarray(heat).resize(image.shape[1::-1], Image.Resampling.BICUBIC)
    share = 0.55 * np.clip(np.asarray(smooth), 0, 1)[..., None]
    grey = (image @ GREY)[..., None]
    return np.round((1 - share) * grey + share * WARM).astype(np.uint8)


def _augmented(
    dataset: Dataset, inputs: Inputs, config: RunConfig, folder: Path
) -> list[dict[str, Any]]:
    if not config.settings.augmentations or config.fit.is_head_alone:
        return []  # A head alone is fitted on the images as they are.
    chosen = _spread(inputs.labels)
    images = examples_of(inputs.part(np.array(chosen)))
    shown = views(images, chosen, len(inputs), config)
    entries = []
    for i, example in enumerate(chosen):
        names = [f"augmented_{i}_{j}.jpg" for j in range(len(shown))]
        original = f"augmented_{i}.jpg"
        for name, picture in zip([original, *names], [images[i], *shown[:, i]], strict=True):
            _write(folder / name, picture)
        file = dataset.splits["train"][example].file
        entries.append({"file": file, "original": original, "views": names})
    return entries


def _spread(labels: np.ndarray) -> list[int]:
    """Indices of up to `SAMPLES` examples of as many classes as possible."""
    order = np.argsort(labels, kind="stable")
    steps = np.linspace(0, len(order) - 1, min(SAMPLES, len(order)))
    return order[steps.round().astype(int)].tolist()


def views(images: np.ndarray, indices: Sequence[int], count: int, config: RunConfig) -> np.ndarray:
    """What training shows of images in its first epochs, `(views, images, size, size, 3) uint8`.

    MixUp and CutMix, which join an image with its neighbour in the batch, join these images.

    Args:
      images: `(images, size, size, 3) uint8`.
      indices: of the images, among the `count` training examples.
    """
    augmentations, shown = config.settings.augmentations, []
    # An epoch a view; `auto` gives at least as many epochs as are shown.
    epochs = VIEWS if config.fit.epochs == "auto" else config.fit.epochs
    for view in range(min(VIEWS, epochs, config.fit.views or VIEWS)):
        shape = (count, num_columns(augmentations))
        numbers = tf.random.stateless_uniform(shape, (2 * config.seed, view))
        augmented = augment(tf.constant(images), tf.gather(numbers, indices), augmentations)
        nobody = tf.zeros((len(images), 1))
        seed = tf.constant([2 * config.seed + 1, view], tf.int32)
        shown.append(mix(augmented, nobody, augmentations, seed)[0].numpy())
    return np.stack(shown)


def _write(path: Path, picture: np.ndarray) -> None:
    image = Image.fromarray(picture)
    side = max(image.size)
    if side > SIDE:
        image.thumbnail((SIDE, SIDE))
    elif side < SIDE // 2:  # Small images whole pixels wide: browsers would blur them.
        factor = math.ceil(SIDE / 2 / side)
        image = image.resize([factor * length for length in image.size], Image.Resampling.NEAREST)
    with replacing(path) as temporary:
        image.save(temporary, "JPEG", quality=80)
