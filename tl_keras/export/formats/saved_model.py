"""SavedModel: `serve` takes prepared images, `serve_encoded` whole image files."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

from tl_keras.training.model import output_of

Prepare = Callable[[tf.Tensor], tf.Tensor]
Abstains = Callable[[tf.Tensor], tf.Tensor]  # From answers to `(batch,) float32`, 1 to abstain.


def write(
    model: keras.Model, folder: Path, prepare: Prepare, abstains: Abstains | None = None
) -> None:
    """Writes a SavedModel for servers to a folder that does not exist yet.

    `serve` (also `serving_default`): `image (batch, size, size, 3) uint8` to the answer, of
    classes `probabilities (batch, classes) float32`. `serve_encoded`: `encoded (batch,) string`,
    whole JPEG, PNG, BMP or GIF files, to the same; EXIF orientation and transparency are passed
    over.

    Args:
      prepare: `(height, width, 3) uint8` to `(size, size, 3) uint8`, as in training.
      abstains: with it there is a second output, `abstain`.
    """
    serve = serving(model, None, abstains)

    def decode(content: tf.Tensor) -> tf.Tensor:
        # JPEGs apart: `decode_image` would decode them fast, and otherwise than in training.
        image = tf.cond(
            tf.io.is_jpeg(content),
            lambda: tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE"),
            lambda: tf.io.decode_image(content, channels=3, expand_animations=False),
        )
        return prepare(image)

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, "encoded")], autograph=False)
    def serve_encoded(encoded: tf.Tensor) -> dict[str, tf.Tensor]:
        return serve(tf.map_fn(decode, encoded, fn_output_signature=tf.uint8))

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
    """The model as a function whose weights are constants: `image` to the answer, by the name that
    the model has for it, and where it may abstain `abstain`.

    Variables would triple the time of each load, of which a converter needs three for a file, and
    keep TensorFlow from folding batch norm.
    """
    trainable = [variable.numpy() for variable in model.trainable_variables]
    others = [variable.numpy() for variable in model.non_trainable_variables]
    shape, name = (batch_size, *model.input.shape[1:]), output_of(model)

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.uint8, "image")], autograph=False)
    def serve(image: tf.Tensor) -> dict[str, tf.Tensor]:
        found, _ = model.stateless_call(trainable, others, image, training=False)
        return {name: found, **({"abstain": abstains(found)} if abstains else {})}

    return serve


def _save(folder: Path, signatures: dict) -> None:
    module = tf.Module()
    module.functions = list(signatures.values())
    try:
        tf.saved_model.save(module, str(folder), signatures)
    except tf.errors.ResourceExhaustedError as error:  # TensorFlow's word for a full disk.
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder.parent)) from error
