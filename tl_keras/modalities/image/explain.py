"""Writes pictures for the report: heat maps of the worst mistakes, and augmented training images.

The report only reads files and loads no model. So these pictures are written into the run folder
while the model and the images are in memory.
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
from tl_keras.data.batching.batches import examples_of
from tl_keras.data.batching.inputs import Inputs
from tl_keras.data.examples import Dataset
from tl_keras.modalities.image.augment import augment, mix, num_columns
from tl_keras.run.files import replacing, write_json
from tl_keras.training.network import freeze
from tl_keras.training.network.model import logits_of

MISTAKES = 12
SAMPLES, VIEWS = 6, 5
CELLS = 4  # smallest number of rows and columns of a feature map for a heat map
SIDE = 160  # px, the longer side of a written picture
WARM = np.array([255, 60, 0], np.float32)  # RGB colour of the heat, laid over a grey picture
GREY = np.array([0.299, 0.587, 0.114], np.float32)  # Rec. 601 luma


def pictures(
    model: keras.Model,
    dataset: Dataset,
    inputs: dict[str, Inputs],
    probabilities: dict[str, np.ndarray],
    config: RunConfig,
    folder: Path,
) -> None:
    """Writes heat maps of the worst mistakes and augmented training images as JPEGs, and an index.

    The index, `index.json`, has two lists:

    - `mistakes`: wrongly answered images, each with `file`, `split` and `heat`, the name of the
      JPEG. `heat` is None if there is no heat map: the model has no feature map, no area of the
      image supports the answer, or the answer is from the model of a fold, not from `model`.
    - `augmented`: training images, each with `file`; `original`, the name of a JPEG of the image as
      prepared; and `views`, the names of JPEGs of its augmented versions.

    Args:
      model: maps `(size, size, 3) uint8` to answers; has a layer `logits`.
      probabilities: the answers, by split. Mistakes on test are shown, or on val if test was not
        measured.
      folder: folder for the pictures. An existing folder is removed first. The index is written
        last, so a folder with an index is complete.
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
    # Rounded like predictions.csv, so that the report chooses the same mistakes.
    metrics = tasks.of(dataset.task, "metrics")
    worst = metrics.worst(np.round(probabilities, 6), inputs[split].labels, MISTAKES)
    if not worst:
        return []
    images = examples_of(inputs[split].part(np.array(worst)))
    # In cross-validation, the answers on val come from the models of the folds, not from `model`.
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
    """Computes heat maps of the areas that support an answer, by Grad-CAM (arXiv 1610.02391).

    Returns:
      `(images, rows, columns) float32` in 0..1, with the rows and columns of the feature map that
      `feature_map` chooses; all 0 for an image in which no area supports the answer. None if the
      model has no such feature map.

    Args:
      model: see `pictures`.
      images: `(images, size, size, 3) uint8`.
      answers: the answer to explain for each image, `(images, columns)`: for classification the
        probabilities, of which the highest is explained.
    """
    cut = feature_map(model)
    if cut is None:
        return None
    prefix, suffix = freeze.split(logits_of(model), cut)
    maps = prefix(tf.constant(images), training=False)
    with tf.GradientTape() as tape:
        tape.watch(maps)
        logits = suffix(freeze.suffix_inputs(suffix, maps, tf.constant(images)), training=False)
        # In inference mode, images do not affect each other, so the gradient of the sum contains
        # the gradient of each image.
        score = tf.reduce_sum(tasks.of(task, "layer").explained(logits, answers))
    weights = tf.reduce_mean(tape.gradient(score, maps), axis=(1, 2), keepdims=True)
    heat = tf.nn.relu(tf.reduce_sum(weights * maps, axis=-1)).numpy().astype(np.float32)
    return heat / np.maximum(heat.max(axis=(1, 2), keepdims=True), 1e-12)


def feature_map(model: keras.Model) -> str | None:
    """Returns the name of the last layer whose output can be shown as a heat map; None if none can.

    The layer must be one at which the model can be cut in two. Its output must be a feature map
    coarser than the image, with at least `CELLS` rows. Grad-CAM's paper takes the last feature map
    of any size, but for a small image this map has only one or four cells.
    """
    try:
        cuts = set(freeze.cut_points(model))
    except ValueError:  # A nested model has no cut points.
        return None
    size = model.input.shape[1]
    for operation in reversed(model.operations):
        shape: Any = operation.output.shape if operation.name in cuts else ()
        if len(shape) == 4 and shape[1] and CELLS <= shape[1] < size:
            return operation.name
    return None


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Returns the image in grey with the heat map laid over it; `(size, size, 3) uint8`."""
    smooth = Image.fromarray(heat).resize(image.shape[1::-1], Image.Resampling.BICUBIC)
    share = 0.55 * np.clip(np.asarray(smooth), 0, 1)[..., None]
    grey = (image @ GREY)[..., None]
    return np.round((1 - share) * grey + share * WARM).astype(np.uint8)


def _augmented(
    dataset: Dataset, inputs: Inputs, config: RunConfig, folder: Path
) -> list[dict[str, Any]]:
    if not config.settings.augmentations or config.fit.is_head_alone:
        return []  # Without fine-tuning, the head is fitted on images without augmentation.
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
    """Returns the indices of up to `SAMPLES` examples, from as many classes as possible.

    The examples are sorted by label, and evenly spaced ones are taken.
    """
    order = np.argsort(labels, kind="stable")
    steps = np.linspace(0, len(order) - 1, min(SAMPLES, len(order)))
    return order[steps.round().astype(int)].tolist()


def views(images: np.ndarray, indices: Sequence[int], count: int, config: RunConfig) -> np.ndarray:
    """Augments images as the first epochs of training do: one view of each image per epoch.

    Only MixUp and CutMix differ from training: in training they mix images of one batch, here they
    mix the given images.

    Args:
      images: `(images, size, size, 3) uint8`.
      indices: index of each image among all training examples.
      count: number of all training examples.

    Returns:
      `(views, images, size, size, 3) uint8`.
    """
    augmentations, shown = config.settings.augmentations, []
    # Each epoch shows one view; `auto` always trains for at least `VIEWS` epochs.
    epochs = VIEWS if config.fit.epochs == "auto" else config.fit.epochs
    for view in range(min(VIEWS, epochs, config.fit.views or VIEWS)):
        shape = (count, num_columns(augmentations))
        numbers = tf.random.stateless_uniform(shape, (2 * config.seed, view))
        augmented = augment(tf.constant(images), tf.gather(numbers, indices), augmentations)
        no_targets = tf.zeros((len(images), 1))
        seed = tf.constant([2 * config.seed + 1, view], tf.int32)
        shown.append(mix(augmented, no_targets, augmentations, seed)[0].numpy())
    return np.stack(shown)


def _write(path: Path, picture: np.ndarray) -> None:
    image = Image.fromarray(picture)
    side = max(image.size)
    if side > SIDE:
        image.thumbnail((SIDE, SIDE))
    elif side < SIDE // 2:  # Enlarge small images by whole pixels; a browser would blur them.
        factor = math.ceil(SIDE / 2 / side)
        image = image.resize([factor * length for length in image.size], Image.Resampling.NEAREST)
    with replacing(path) as temporary:
        image.save(temporary, "JPEG", quality=80)
