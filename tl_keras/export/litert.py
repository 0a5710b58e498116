"""LiteRT (TFLite) files from a SavedModel, with built-in operators alone."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from tl_keras.data.batches import Inputs, images_of


def calibration_examples(train: Inputs, count: int) -> np.ndarray:
    """At most `count` training images, classes in turn, `(examples, size, size, 3) uint8`."""
    labels = train.labels
    rank = np.empty(len(labels), np.int64)  # of an example within its class
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        rank[members] = np.arange(len(members))
    chosen = np.sort(np.lexsort((labels, rank))[:count])
    return images_of(train.part(chosen))


def convert(saved_model: Path, name: str, examples: np.ndarray) -> bytes:
    """A LiteRT file of the signature `serve`.

    Args:
      saved_model: folder.
      name: `float32`, `float16` (weights), `dynamic` (int8 weights, float activations) or `int8`
        (int8 weights and activations; uint8 in and out).
      examples: `(examples, size, size, 3) uint8` to calibrate `int8` on.
    """
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model), signature_keys=["serve"])
    if name != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if name == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if name == "int8":
        converter.representative_dataset = lambda: _representative(examples)
        # Without this an operator that has no integer kernel stays float, unnoticed.
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_output_type = tf.uint8
    return converter.convert()


def _representative(examples: np.ndarray) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    for example in examples:
        yield "serve", {"image": example[None]}
