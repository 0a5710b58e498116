"""Builds the frozen prefixes of a backbone, and measures their time and rounding error.

The activations of all prefixes are computed together, in one pass over the examples.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tl_keras.backbones import model_file
from tl_keras.config.model import ModelConfig
from tl_keras.data.batching import ragged
from tl_keras.training.network import freeze
from tl_keras.training.network.digests import digest, graph_digest
from tl_keras.training.network.fold_batch_norm import fold_batch_norm


@dataclass(frozen=True)
class Cut:
    """A cut of a backbone, and how the activations at this cut are stored.

    Attributes:
      name: name of the last operation of the frozen prefix.
      shape: shape of one example's activations; the first size is None if the lengths of examples
        differ.
      dtype: dtype of the stored activations: `float16`, or `float32` if rounding to float16 changes
        the backbone's features by more than `TOLERANCE`. The features themselves are small and
        always `float32`.
      seconds: measured time in which the prefix computes the activations of one example.
      key: JSON values that identify the activations in the store, together with the key of the
        examples: backbone, weights, name of the cut and others.
      input_bytes: bytes of one prepared example if the suffix also reads the model's input, else 0.
      length: the mean length of the examples if their lengths differ.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    seconds: float
    key: dict[str, Any]
    input_bytes: int = 0
    length: float = 1.0

    @property
    def bytes(self) -> int:
        """Returns the number of bytes stored per example: its activations, plus `input_bytes`."""
        count = np.prod([self.length if size is None else size for size in self.shape])
        return int(count * np.dtype(self.dtype).itemsize) + self.input_bytes


@dataclass(frozen=True)
class Prefixes:
    """The frozen prefixes of a backbone up to several cuts, computed in one pass.

    Attributes:
      cuts: cuts by name, in order from input to output; the last is the backbone's output. The
        backbone's input comes first if the suffix after one of the cuts reads it.
      run: maps a batch of examples to two lists with one entry per cut: the activations, and the
        time (in seconds, as `time.time`) at which they were ready.
    """

    cuts: dict[str, Cut]
    run: Callable[[tf.Tensor], tuple[list[tf.Tensor], list[tf.Tensor]]]


# Largest change of a feature vector, relative to its norm, that float16 activations may cause in
# any of the tested examples. MobileNetV2's features change by about 0.001.
TOLERANCE = 0.005
TRIED = 8  # examples on which the change is tested


def prefixes_of(
    backbone: keras.Model, names: Sequence[str], examples: tf.Tensor, config: ModelConfig
) -> Prefixes:
    """Returns a backbone's prefixes up to the named cuts and up to its output.

    Args:
      names: names of the cuts.
      examples: a batch of prepared examples, to measure times and choose the dtype for storing.
    """
    start, *_, end = backbone.operations
    wanted = {*names, end.name}
    reads = {name for name in names if freeze.reads_input(backbone, name)}
    operations = [o for o in backbone.operations if o.name in wanted or (o is start and reads)]
    run = _all_outputs(keras.Model(backbone.input, [o.output for o in operations]))
    run(examples)  # Traces the graph; only the second call is timed.
    started = time.time()
    tensors, stamps = run(examples)
    cuts = {}
    is_variable = backbone.input.shape[1:] == (None,)
    length = float(ragged.lengths_of(np.asarray(examples)).mean()) if is_variable else 1.0
    for operation, tensor, stamp in zip(operations, tensors, stamps, strict=True):
        name, shape = operation.name, tuple(operation.output.shape[1:])
        if operation is start:
            key = {"kind": f"input {name}", "cut": name}
            cuts[name] = Cut(name, shape, tensor.dtype.name, 0.0, key, length=length)
            continue
        prefix = keras.Model(backbone.input, operation.output)
        cuts[name] = Cut(
            name,
            shape,
            "float16" if _survives_half(backbone, name, tensor, examples) else "float32",
            max(float(stamp) - started, 0.0) / len(examples),
            _key(prefix, config),
            cuts[start.name].bytes if name in reads else 0,
            length,
        )
    return Prefixes(cuts, run)


def _all_outputs(model: keras.Model) -> Callable:
    folded = fold_batch_norm(model)
    batch = tf.TensorSpec((None, *model.input.shape[1:]), model.input.dtype)

    def run(examples: tf.Tensor) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        tensors, stamps = tf.nest.flatten(folded(examples, training=False)), []
        for tensor in tensors:
            with tf.control_dependencies([tensor]):
                # `tf.timestamp` fails if a program enabled deterministic operations.
                stamps.append(tf.numpy_function(time.time, [], tf.float64))
        return tensors, stamps

    return tf.function(run, input_signature=[batch], autograph=False)


def _survives_half(
    backbone: keras.Model, cut: str, activations: tf.Tensor, examples: tf.Tensor
) -> bool:
    if cut == backbone.operations[-1].name:
        return False
    suffix = freeze.split(backbone, cut)[1]
    activations, examples = activations[:TRIED], examples[:TRIED]
    both = tf.concat([activations, _rounded(activations)], 0)
    both = suffix(
        freeze.suffix_inputs(suffix, both, tf.concat([examples, examples], 0)), training=False
    )
    whole, half = np.split(both.numpy().astype(np.float32), 2)
    # An overflow gives NaN, which must count as a large change.
    with np.errstate(invalid="ignore"):
        change = np.linalg.norm(half - whole, axis=-1)
    return bool(np.all(change <= TOLERANCE * np.linalg.norm(whole, axis=-1)))


def _rounded(activations: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.cast(activations, tf.float16), activations.dtype)


def _key(prefix: keras.Model, config: ModelConfig) -> dict[str, Any]:
    name = prefix.operations[-1].name
    return {
        "kind": f"{Path(config.backbone).name} at {name}",
        "cut": name,
        "weights": digest(prefix),
        "backbone": _identity(prefix, config),
        "computed_in": prefix.layers[-1].compute_dtype,
        "keras": keras.__version__,
    }


def _identity(prefix: keras.Model, config: ModelConfig) -> list:
    if model_file.is_file(config.backbone):  # The file may hold another model next time.
        return [graph_digest(prefix)]
    return [config.backbone, sorted(config.options.items())]
