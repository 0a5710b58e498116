"""Activations of a frozen prefix: computed once, kept on disk, shared by whoever asks again.

A prefix in inference mode is a pure function of the prepared image, so its activations are
known by what went in: contents, preparation, backbone, weights, cut.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tl_keras import backbone_file, cache
from tl_keras.config import ModelConfig, RunConfig
from tl_keras.data import batches
from tl_keras.data.batches import Inputs, Training
from tl_keras.data.examples import Dataset
from tl_keras.fold import Inference
from tl_keras.weights import digest, graph_digest

BATCH_SIZE = 64


@dataclass(frozen=True)
class Activations:
    """Activations of a split, and how they came."""

    inputs: Inputs
    cached: bool  # found on disk
    bytes: int
    seconds: float


def compute(
    prefix: keras.Model, inputs: Inputs, dataset: Dataset, split: str, config: RunConfig
) -> Activations:
    """`(examples, ...) float32` activations at the end of a prefix, in inference mode.

    Raises:
      ValueError: pooled features are NaN or infinite.
    """
    cut = prefix.operations[-1].name
    key = {
        "kind": f"{Path(config.model.backbone).name} at {cut}, {split}",
        "cut": cut,
        "digests": [example.digest for example in dataset.splits[split]],
        "weights": digest(prefix),
        "backbone": _identity(prefix, config.model),
        "dtype": "float32",
        "computed_in": prefix.layers[-1].compute_dtype,
        "keras": keras.__version__,
        **batches.preparation(config.data, split),
    }
    shape = (len(inputs), *prefix.output.shape[1:])
    read = batches.evaluation(inputs, BATCH_SIZE)
    kept = cache.keep(
        config.cache,
        key,
        shape,
        np.float32,
        lambda array: run(Inference(prefix), read, array, "features"),
    )
    if kept.array.ndim == 2:
        _check_finite(kept.array, dataset, split, config.model)
    return Activations(
        Inputs(inputs.labels, kept.array), kept.cached, kept.array.nbytes, kept.seconds
    )


def _check_finite(array: np.ndarray, dataset: Dataset, split: str, config: ModelConfig) -> None:
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if bad.size:
        raise ValueError(
            f"model.backbone: {config.backbone!r} with weights {config.weights!r} gives features "
            f"that are not finite for {bad.size} of {len(array)} images of {split}, the first "
            f"{dataset.splits[split][bad[0]].file!r}; look at its weights, and at what it makes of "
            "pixels in 0..255 (model.preprocessing)"
        )


def _identity(prefix: keras.Model, config: ModelConfig) -> list:
    if backbone_file.is_file(config.backbone):  # Another model may stand there the next time.
        return [graph_digest(prefix)]
    return [config.backbone, sorted(config.options.items())]


def run(infer: Inference, read: tf.data.Dataset, array: np.ndarray, title: str) -> None:
    """Fills `array` `(examples, ...)` with a model's outputs on batches."""
    with tqdm(total=len(array), desc=title, unit=" images", leave=False) as bar:
        start = 0
        for batch in read:
            array[start : start + len(batch)] = infer(batch).numpy()
            start += len(batch)
            bar.update(len(batch))


def outputs(infer: Inference, inputs: Inputs) -> np.ndarray:
    """A model's outputs on every example, `(examples, ...) float32`, in memory."""
    array = np.empty((len(inputs), *infer.shape), np.float32)
    run(infer, batches.evaluation(inputs, BATCH_SIZE), array, "predict")
    return array


def outputs_of_views(infer: Inference, inputs: Inputs, how: Training, views: int) -> np.ndarray:
    """Mean outputs over views of every example, `(examples, ...) float32`: itself, and what
    `views - 1` epochs of training would show."""
    total = outputs(infer, inputs)
    array = np.empty_like(total)
    for view in range(views - 1):
        run(infer, batches.view(inputs, BATCH_SIZE, how, view), array, f"view {view + 2}")
        total += array
    return total / np.float32(views)


def bytes_of(model: keras.Model, inputs: Inputs) -> int:
    """Size of the model's outputs on every example, `float32`."""
    return len(inputs) * int(np.prod(model.output.shape[1:])) * 4


@dataclass(frozen=True)
class Worth:
    """Whether a prefix's activations are kept for a fit, with the measurement behind it."""

    keep: bool
    why: str


ONE_VIEW = Worth(True, "one view of each image")


def fitting(prefix: keras.Model, inputs: Inputs, max_bytes: float) -> Worth:
    """Whether a prefix's activations have room; for images of which there is one view."""
    total = bytes_of(prefix, inputs)
    if total > max_bytes:
        return Worth(False, f"{total / 1e9:.1f} GB are over cache.max_bytes")
    return ONE_VIEW


def worth_keeping(prefix: keras.Model, inputs: Inputs, epochs: int, max_bytes: float) -> Worth:
    """Compares one pass and reading back with a pass each epoch, on one measured batch.

    Only the time depends on the answer: the activations are equal either way.
    """
    room = fitting(prefix, inputs, max_bytes)
    if not room.keep:
        return room
    total = bytes_of(prefix, inputs)
    batch, infer = next(iter(batches.evaluation(inputs, BATCH_SIZE))), Inference(prefix)
    infer(batch)  # Traces.
    started = time.monotonic()
    activations = infer(batch).numpy()
    run_seconds = (time.monotonic() - started) / len(activations)
    started = time.monotonic()
    np.copy(activations)
    read_seconds = (time.monotonic() - started) / len(activations)
    # Reading: a copy where pages are in memory, the disk's speed where they cannot be.
    if total > batches.MEMORY_SHARE * batches.free_memory():
        read_seconds += total / len(inputs) / DISK_BYTES_PER_SECOND
    keep = run_seconds + epochs * read_seconds < epochs * run_seconds
    why = (
        f"{1e3 * run_seconds:.2f} ms an image to compute, {1e3 * read_seconds:.2f} ms to read, "
        f"{epochs} epochs, {total / 1e6:.0f} MB"
    )
    return Worth(keep, why)


DISK_BYTES_PER_SECOND = 500e6  # A SATA solid-state disk; slower ones are rare.
