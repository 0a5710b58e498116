"""SavedModel: `serve` takes prepared images, `serve_encoded` JPEG or PNG files."""

from pathlib import Path

import keras
import tensorflow as tf


def write(model: keras.Model, folder: Path, batch_size: int | None = None) -> None:
    """Writes a SavedModel to a folder that does not exist yet.

    `serve` (also `serving_default`): `image (batch, size, size, 3) uint8` to
    `probabilities (batch, classes) float32`. `serve_encoded`: `encoded (batch,) string`, whole
    JPEG, PNG, BMP or GIF files, decoded and stretched as in training; left out where the batch
    size is fixed, since converters to LiteRT have no decoder.
    """
    size = model.input.shape[1]
    archive = keras.export.ExportArchive()
    archive.track(model)

    def serve(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": model(image, training=False)}

    def decode(content: tf.Tensor) -> tf.Tensor:
        image = tf.io.decode_image(content, channels=3, expand_animations=False)
        image = tf.image.resize(image, (size, size))
        return tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)

    def serve_encoded(encoded: tf.Tensor) -> dict[str, tf.Tensor]:
        return serve(tf.map_fn(decode, encoded, fn_output_signature=tf.uint8))

    image = tf.TensorSpec((batch_size, size, size, 3), tf.uint8, name="image")
    archive.add_endpoint("serve", serve, [image])
    if batch_size is None:
        encoded = tf.TensorSpec((None,), tf.string, name="encoded")
        archive.add_endpoint("serve_encoded", serve_encoded, [encoded])
    archive.write_out(str(folder), verbose=False)
