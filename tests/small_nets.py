"""Small networks that are easy or hard to quantise, and their export without a run."""

import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from tl_keras.backbones import applications
from tl_keras.config.export import ExportConfig
from tl_keras.data.batching.inputs import Inputs
from tl_keras.export import export, parity
from tl_keras.export.description import Description
from tl_keras.export.formats import metadata
from tl_keras.export.formats.converted import convert
from tl_keras.export.subject import Subject, Writing
from tl_keras.modalities.image.config import ImageConfig

ABOUT = Description(
    "shapes", "Recognises shapes.", ImageConfig(size=32), ["a", "b", "c"], "2", "me", "MIT"
)


def tf_decode(contents: tf.Tensor) -> tf.Tensor:
    """Decodes PNG files of 32 px."""
    decoded = tf.map_fn(
        lambda content: tf.io.decode_png(content, channels=3),
        contents,
        fn_output_signature=tf.uint8,
    )
    return tf.ensure_shape(decoded, (None, 32, 32, 3))


def net(scale: float = 1.0, special: bool = False, front: str = "tf") -> keras.Model:
    """A small network.

    Args:
      scale: factor of one channel of the depthwise layer, which the next layer undoes. A large
        factor makes the network hard to quantise without changing its function.
      special: whether the network has an operator that LiteRT lacks.
      front: kind of the normalisation, `tf` or `caffe`, or `padded` for `tf` with zero padding.
    """
    keras.utils.set_random_seed(3)
    image = x = keras.Input((32, 32, 3), dtype="uint8", name="image")
    x = applications.normalise(x, "caffe" if front == "caffe" else "tf")
    x = keras.layers.ZeroPadding2D()(x) if front == "padded" else x
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu", name="first")(x)
    x = keras.ops.arctan(x) if special else x
    x = keras.layers.DepthwiseConv2D(3, activation="relu", name="wide")(x)
    x = keras.layers.Conv2D(16, 1, activation="relu", name="next")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(3, name="logits")(x)
    model = keras.Model(image, keras.layers.Softmax(name="probabilities")(10 * x))
    wide, following = model.get_layer("wide"), model.get_layer("next")
    kernel, bias = wide.get_weights()
    kernel[..., 2, :] *= scale
    wide.set_weights([kernel, bias])
    kernel, bias = following.get_weights()
    kernel[..., 2, :] /= scale
    following.set_weights([kernel, bias])
    return model


def noise(count: int, seed: int) -> np.ndarray:
    """Images of coarse noise, which still differ after pooling."""
    generator = np.random.default_rng(seed)
    small = generator.integers(0, 256, (count, 4, 4, 3), np.uint8)
    return small.repeat(8, axis=1).repeat(8, axis=2)


def subject_of(model: keras.Model) -> Subject:
    """The model with images that are labelled by its own answers, so that it is always right."""
    images = {split: noise(240, i) for i, split in enumerate(("train", "val", "test"))}
    reference = {name: model.predict(x, verbose=0) for name, x in images.items()}
    inputs = {name: Inputs(reference[name].argmax(-1), x) for name, x in images.items()}
    return Subject(model, inputs, {name: reference[name] for name in ("val", "test")})


def exported(subject: Subject, folder: Path, **config) -> dict:
    with export.unfinished(folder) as new:
        config = ExportConfig(**config)
        writing = Writing(tf_decode, ABOUT, config, None, new)
        made = export.export(subject, writing)
        export.put_in_place(new, folder, made, [])
        return made


def converted(model: keras.Model) -> bytes:
    return convert(model, noise(2, 0), ExportConfig(formats=("float32",)), None).content


def run(content: bytes, inputs: Inputs) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "model.tflite")
        file.write_bytes(metadata.add(content, ABOUT))
        (answers,) = parity.load_litert(file)(inputs).values()
        return answers
