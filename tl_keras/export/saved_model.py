"""SavedModel: `serve` takes prepared images, `serve_encoded` whole image files."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

from tl_keras.export.conformal import abstains

Prepare = Callable[[tf.Tensor], tf.Tensor]


def write(
    model: keras.Model, folder: Path, prepare: Prepare, threshold: float | None = None
) -> None:
    """Writes a SavedModel for servers to a folder that does not exist yet.

    `serve` (also `serving_default`): `image (batch, size, size, 3) uint8` to
    `probabilities (batch, classes) float32`. `serve_encoded`: `encoded (batch,) string`, whole
    JPEG, PNG, BMP or GIF files, to the same; EXIF orientation and transparency are passed over.

    Args:
      prepare: `(height, width, 3) uint8` to `(size, size, 3) uint8`, as in training.
      threshold: with it there is a second output, see `conformal.abstains`.
    """
    serve = serving(model, None, threshold)

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
    model: keras.Model, folder: Path, batch_size: int | None, threshold: float | None
) -> None:
    """Writes a SavedModel with `serve` alone, for converters to devices."""
    _save(folder, {"serve": serving(model, batch_size, threshold)})


def serving(
    model: keras.Model, batch_size: int | None, threshold: float | None
) -> tf.types.experimental.GenericFunction:
    """The model as a function whose weights are constants: `image` to `probabilities`, and where
    there is a threshold `abstain`.

    Variables would triple the time of each load, of which a converter needs three for a file, and
    keep TensorFlow from folding batch norm.
    """
    trainable = [variable.numpy() for variable in model.trainable_variables]
    others = [variable.numpy() for variable in model.non_trainable_variables]
    shape = (batch_size, *model.input.shape[1:])

    spec = tf.TensorSpec(shape, model.input.dtype, "image")

    @tf.function(input_signature=[spec], autograph=False)
    def serve(image: tf.Tensor) -> dict[str, tf.Tensor]:
        found, _ = model.stateless_call(trainable, others, image, training=False)
        if threshold is None:
            return {"probabilities": found}
        return {"probabilities": found, "abstain": abstains(found, threshold)}

    return serve


def _save(folder: Path, signatures: dict) -> None:
    module = tf.Module()
    module.functions = list(signatures.values())
    try:
        tf.saved_model.save(module, str(folder), signatures)
    except tf.errors.ResourceExhaustedError as error:  # TensorFlow's word for a full disk.
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder.parent)) from error
