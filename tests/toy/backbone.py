"""A backbone in which every block reads the previous block and the model's input."""

from tl_keras.backbones.options import Option

MODALITY = "rows"
WIDTH = 12
BLOCKS = {"ToyGated": 4}


def check(name, options, settings=None, weights="none"):
    pass


def words(name):
    return ()


def options_of(name):
    return {"width": Option(int, 2, 64)}


def block_pattern(name):
    return r"^(gate\d+)_"


def build(name, options, settings, dtype="float32"):
    import keras

    width = options.get("width", WIDTH)
    row = keras.Input(settings.shape, dtype="float32", name="row")
    x = keras.layers.Dense(width, "relu", name="stem", dtype=dtype)(row)
    for i in range(BLOCKS[name]):
        both = keras.layers.Concatenate(name=f"gate{i}_both", dtype=dtype)([x, row])
        y = keras.layers.Dense(width, "relu", name=f"gate{i}_dense", dtype=dtype)(both)
        x = keras.layers.Add(name=f"gate{i}_add", dtype=dtype)([x, y])
    if dtype != "float32":
        x = keras.layers.Activation("linear", name="features", dtype="float32")(x)
    return keras.Model(row, x, name=name)


def official(name, options, settings):
    raise ValueError(f"{name} was never published")
