"""SavedModel: `serve` takes prepared examples, `serve_encoded` what whole files hold."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

from tl_keras.training.network.model import output_of

Decode = Callable[[tf.Tensor], tf.Tensor]
Abstains = Callable[[tf.Tensor], tf.Tensor]  # From answers to `(batch,) float32`, 1 to abstain.


def write(
    model: keras.Model, folder: Path, decode: Decode, abstains: Abstains | None = None
) -> None:
    """Writes a SavedModel for servers to a folder that does not exist yet.

    `serve` (also `serving_default`): prepared examples `(batch, ...)` by the name of the model's
    input, to its answer, of classes `probabilities (batch, classes) float32`. `serve_encoded`:
    `encoded (batch,) string`, what files hold, to the same.

    Args:
      decode: a scalar string, what a file holds, to a prepared example.
      abstains: with it there is a second output, `abstain`.
    """
    serve, dtype = serving(model, None, abstains), model.input.dtype

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, "encoded")], autograph=False)
    def serve_encoded(encoded: tf.Tensor) -> dict[str, tf.Tensor]:
        return serve(tf.map_fn(decode, encoded, fn_output_signature=tf.as_dtype(dtype)))

    signatures = {"serve": serve, "serving_default": serve, "serve_encoded": serve_encoded}
    _save(folder, signatures)


def write_plain(
    model: keras.Model, folder: Path, batch_size: int | None, abstains: Abstains | None
) -> None:
    """Writes a SavedModel with `serve` alone, for converters to devices."""
    _save(folder, {"serve": serving(model, batch_size, abstains)})


def serving(
    model: keras.Model, batch_size: int | None, abstains: Abstains | None
) -> tf.types.experimental.GenericFunction:
    """The model as a function whose weights are constants: its input to its answer, by the names
    that the model has for them, and where it may abstain `abstain`.

    Variables would triple the time of each load, of which a converter needs three for a file, and
    keep TensorFlow from folding batch norm.
    """
    trainable = [variable.numpy() for variable in model.trainable_variables]
    others = [variable.numpy() for variable in model.non_trainable_variables]
    shape, name = (batch_size, *model.input.shape[1:]), model.input.name
    spec, answer = tf.TensorSpec(shape, model.input.dtype, name), output_of(model)

    @tf.function(input_signature=[spec], autograph=False)
    def serve(x: tf.Tensor) -> dict[str, tf.Tensor]:
        found, _ = model.stateless_call(trainable, others, x, training=False)
        return {answer: found, **({"abstain": abstains(found)} if abstains else {})}

    return serve


def _save(folder: Path, signatures: dict) -> None:
    module = tf.Module()
    module.functions = list(signatures.values())
    try:
        tf.saved_model.save(module, str(folder), signatures)
    except tf.errors.ResourceExhaustedError as error:  # TensorFlow's word for a full disk.
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder.parent)) from error
