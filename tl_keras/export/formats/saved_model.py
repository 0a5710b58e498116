"""Writes SavedModels, which take prepared examples (`serve`) or file content (`serve_encoded`)."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

from tl_keras.training.network.model import output_of

# Maps the contents of files, `(batch,) string`, to a batch of prepared examples.
Decode = Callable[[tf.Tensor], tf.Tensor]
Abstains = Callable[[tf.Tensor], tf.Tensor]  # Maps answers to `(batch,) float32`, 1 to abstain.


def write(
    model: keras.Model, folder: Path, decode: Decode | None, abstains: Abstains | None = None
) -> None:
    """Writes a SavedModel for servers to a folder, which must not exist yet.

    The SavedModel has two signatures:

    - `serve`, also called `serving_default`, takes prepared examples `(batch, ...)` under the name
      of the model's input. It returns the answer; for classification this is
      `probabilities (batch, classes) float32`.
    - `serve_encoded` takes `encoded (batch,) string`, the content of files, and returns the same.

    Args:
      decode: maps the contents of files, `(batch,) string`, to a batch of prepared examples; None
        to write no signature `serve_encoded`.
      abstains: computes a second output, `abstain` (1 if the model abstains), from the
        answers; None to write the model without this output.
    """
    serve = serving(model, None, abstains)
    signatures = {"serve": serve, "serving_default": serve}
    if decode is None:
        save(folder, signatures)
        return

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, "encoded")], autograph=False)
    def serve_encoded(encoded: tf.Tensor) -> dict[str, tf.Tensor]:
        return serve(decode(encoded))

    save(folder, {**signatures, "serve_encoded": serve_encoded})


def write_plain(
    model: keras.Model, folder: Path, batch_size: int | None, abstains: Abstains | None
) -> None:
    """Writes a SavedModel with the signature `serve` only, for the LiteRT converter to read."""
    save(folder, {"serve": serving(model, batch_size, abstains)})


def serving(
    model: keras.Model, batch_size: int | None, abstains: Abstains | None
) -> tf.types.experimental.GenericFunction:
    """Returns the model as a TensorFlow function whose weights are constants.

    The function's input and answer have the same names as in the Keras model. Weights as variables
    would triple the time of each load, and a converter loads a model three times per file.
    Variables would also keep TensorFlow from folding batch norm into the weights.

    Args:
      batch_size: fixed size of a batch; None for any size.
      abstains: computes a second output, `abstain` (1 if the model abstains), from the
        answers; None for a function without this output.
    """
    trainable = [variable.numpy() for variable in model.trainable_variables]
    others = [variable.numpy() for variable in model.non_trainable_variables]
    shape, name = (batch_size, *model.input.shape[1:]), model.input.name
    spec, answer = tf.TensorSpec(shape, model.input.dtype, name), output_of(model)

    @tf.function(input_signature=[spec], autograph=False)
    def serve(x: tf.Tensor) -> dict[str, tf.Tensor]:
        answers, _ = model.stateless_call(trainable, others, x, training=False)
        return {answer: answers, **({"abstain": abstains(answers)} if abstains else {})}

    return serve


def save(folder: Path, signatures: dict) -> None:
    """Writes a SavedModel with some functions as its signatures, `{name: function}`."""
    module = tf.Module()
    module.functions = list(signatures.values())
    try:
        tf.saved_model.save(module, str(folder), signatures)
    except tf.errors.ResourceExhaustedError as error:  # TensorFlow raises this on a full disk.
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder.parent)) from error
