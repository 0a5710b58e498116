"""Backbones in which every block also reads the model's input, and data for them.

No Keras Applications model is built this way.
"""

import keras
import numpy as np
from keras import layers, ops

from tl_keras.config import text as configs
from tl_keras.config.whole import RunConfig
from tl_keras.data.batching.inputs import Inputs
from tl_keras.data.examples import Dataset, Example
from tl_keras.data.prepared import Data
from tl_keras.run.run import Run
from tl_keras.training.architecture import Architecture, architecture

CLASSES = ("a", "b", "c")


def rows() -> keras.Model:
    """A model on rows of numbers; each block reads the row and the previous block."""
    x = keras.Input((16,), name="row")
    h = layers.Dense(12, name="stem")(x)
    for i in range(3):
        both = layers.Concatenate(name=f"both_{i}")([h, x])
        new = layers.Dense(12, name=f"dense_{i}")(both)
        new = layers.ReLU(name=f"relu_{i}")(layers.BatchNormalization(name=f"norm_{i}")(new))
        h = layers.Add(name=f"add_{i}")([h, new])
    return keras.Model(x, layers.Activation("linear", name="features")(h), name="rows")


def gated() -> keras.Model:
    """A model on rows of numbers with two gates per block, both computed from the row alone.

    One gate has weights of its own; the other has no weights and is the same for all blocks.
    """
    x = keras.Input((16,), name="row")
    fixed = ops.sigmoid(x)
    h = layers.Dense(16, name="stem")(x)
    for i in range(3):
        gate = layers.Dense(16, "sigmoid", name=f"gate_{i}")(x)
        h = layers.Multiply(name=f"gated_{i}")([gate, layers.Dense(16, name=f"dense_{i}")(h)])
        h = layers.Multiply(name=f"fixed_{i}")([h, fixed])
    return keras.Model(x, layers.Activation("relu", name="features")(h), name="gated")


def tokens() -> keras.Model:
    """A small transformer on token ids (0 is padding), which computes mask and positions itself."""
    ids = keras.Input((8,), dtype="int32", name="ids")
    mask = ops.not_equal(ids, 0)
    attended = ops.expand_dims(mask, 1)
    places = ops.cumsum(ops.ones_like(ids), axis=1)
    words, where = layers.Embedding(20, 12, name="words"), layers.Embedding(9, 12, name="where")
    h = layers.Add(name="embedded")([words(ids), where(places)])
    for i in range(2):
        attention = layers.MultiHeadAttention(2, 6, dropout=0.1, name=f"attention_{i}")
        h = layers.LayerNormalization(name=f"near_{i}")(
            h + attention(h, h, attention_mask=attended)
        )
        wide = layers.Dense(24, "gelu", name=f"wide_{i}")(h)
        narrow = layers.Dense(12, name=f"narrow_{i}")(wide)
        h = layers.LayerNormalization(name=f"out_{i}")(layers.Add(name=f"joined_{i}")([h, narrow]))
    counted = ops.cast(ops.expand_dims(mask, -1), "float32")
    pooled = ops.sum(h * counted, axis=1) / ops.maximum(ops.sum(counted, axis=1), 1.0)
    return keras.Model(ids, layers.Activation("linear", name="features")(pooled), name="tokens")


def pictures() -> keras.Model:
    """A small convolutional network; each block also reads the image at a reduced size."""
    image = keras.Input((32, 32, 3), dtype="uint8", name="image")
    pixels = h = layers.Rescaling(1 / 127.5, -1, name="normalise")(image)
    for i in range(3):
        h = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name=f"conv_{i}")(h)
        h = layers.ReLU(name=f"relu_{i}")(layers.BatchNormalization(name=f"norm_{i}")(h))
        small = layers.AveragePooling2D(2 ** (i + 1), name=f"small_{i}")(pixels)
        h = layers.Concatenate(name=f"both_{i}")([h, small])
    pooled = layers.GlobalAveragePooling2D(name="pool")(h)
    return keras.Model(image, layers.Activation("linear", name="features")(pooled), name="pictures")


# The ends of each model's blocks, and whether the suffix after them reads the model's input.
ENDS = {
    rows: {"stem": True, "add_0": True, "add_1": True, "features": False},
    gated: {"fixed_0": True, "fixed_1": True, "features": False},
    tokens: {"embedded": True, "near_0": True, "out_0": True, "near_1": True, "features": False},
    pictures: {"both_0": True, "both_1": True, "features": False},
}


def made(build) -> keras.Model:
    """Builds a backbone in which all units have different weights, also those of batch norm."""
    keras.utils.set_random_seed(0)
    model = build()
    generator = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([0.5 + generator.random(w.shape) for w in layer.get_weights()])
    return model


def examples(model: keras.Model, count: int, seed: int = 0) -> Inputs:
    """Returns inputs of the model's shape and dtype, with labels that can be learnt from them."""
    generator = np.random.default_rng(seed)
    labels, shape = np.arange(count) % len(CLASSES), (count, *model.input.shape[1:])
    if model.input.dtype == "int32":
        x = generator.integers(1, 20, shape, np.int32)
        x[np.arange(shape[1]) >= generator.integers(3, 9, (count, 1))] = 0
        x[:, 0] = 1 + labels
    elif model.input.dtype == "uint8":
        x = generator.integers(0, 128, shape, np.uint8)
        x[np.arange(count), ..., labels] += 100
    else:
        x = generator.normal(size=shape).astype(np.float32)
        x[np.arange(count), labels] += 2
    return Inputs(labels, x)


def config_of(folder, **sections) -> RunConfig:
    """Returns the config of a short training; its backbone is not used."""
    fit = {"epochs": 2, "batch_size": 8, "learning_rate": 1e-2, "freeze": 0.5}
    tree = {
        "data": {"source": "digits"},
        "image": {"augment": []},
        "fit": fit | sections.pop("fit", {}),
        "cache": {"path": str(folder / "cache")} | sections.pop("cache", {}),
    }
    return configs.from_tree({**tree, **sections})


def prepared(model: keras.Model, count: int = 48) -> Data:
    """Returns a data set of inputs that fit the model."""
    inputs = {name: examples(model, count, i) for i, name in enumerate(("train", "val", "test"))}
    splits = {
        name: [
            Example(f"{name}/{i}", int(label), f"{name} {i}") for i, label in enumerate(x.labels)
        ]
        for name, x in inputs.items()
    }
    return Data(Dataset(CLASSES, splits, None, None, [], [], ""), inputs)


def architecture_of(run: Run, build, data: Data | None = None) -> Architecture:
    """Returns the architecture of a backbone at the freeze depth of the run's config."""
    backbone = made(build)
    return architecture(
        run, run.config, data or prepared(backbone), backbone, [run.config.fit.freeze]
    )
