"""Builds Keras Applications models as backbones that turn images (0..255) into pooled features.

Importing this module imports neither Keras nor TensorFlow, because configs are checked against the
table `BACKBONES` before either is loaded.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from tl_keras.backbones.options import Option, Value, check_options, suggestion

if TYPE_CHECKING:
    import keras

Preprocessing = Literal["tf", "torch", "caffe", "included"]

MODALITY = "image"
IMAGENET_MEAN = (0.485, 0.456, 0.406)  # RGB, values in 0..1
IMAGENET_STD = (0.229, 0.224, 0.225)
CAFFE_MEAN = (103.939, 116.779, 123.68)  # BGR, values in 0..255


@dataclass(frozen=True)
class Backbone:
    """A Keras Applications model.

    Attributes:
      preprocessing: input values on which the weights were trained: `tf` (x / 127.5 - 1), `torch`
        (normalised by the mean and standard deviation of ImageNet), `caffe` (BGR minus the mean of
        ImageNet) or `included` (0..255).
      block: a regular expression that matches the names of a block's operations; its first group is
        the name of the block.
      min_size: smallest image size, px.
      options: by name, the type and range of each constructor argument that a config can set.
      trained_sizes: image sizes (px) that have their own ImageNet weights; the weights of the last
        are used for all sizes that are not listed. Empty if the same weights serve all sizes.
    """

    preprocessing: Preprocessing
    block: str
    min_size: int = 32
    options: Mapping[str, Option] = field(default_factory=dict)
    trained_sizes: tuple[int, ...] = ()


_RESIDUAL = r"^(conv\d+_block\d+)_"
_LETTERED = r"^(block\d+[a-z]|top)_"
# In Xception and ConvNeXt, the `Add` at the end of a block has an automatic name: see
# freeze.blocks.
_XCEPTION = r"^(block\d+)_"
_CONVNEXT = r"_(stage_\d+_block_\d+)_"
_VGG = r"^(block\d)_"
_MIXED = r"^(mixed\d+)$"
_INCEPTION_RESNET = r"^(mixed_\d[ab]|block(?:35|17|8)_\d+|conv_7b)(?:_|$)"
_MOBILENET_V3 = r"^(expanded_conv(?:_\d+)?|conv_1)(?:_|$)"
# A NASNet cell reads the two cells before it, so no cut exists between the stem and the last cell.
_NASNET = r"^(stem|normal_concat)_"

_ALPHA = {"alpha": Option(float, 0.1, 4.0, (0.25, 0.5, 0.75, 1.0))}
_ALPHA_V2 = {"alpha": Option(float, 0.1, 4.0, (0.35, 0.5, 0.75, 1.0, 1.3, 1.4))}
_ALPHA_V3 = {"alpha": Option(float, 0.1, 4.0, (0.75, 1.0)), "minimalistic": Option(bool)}
_DEPTH = {"depth_multiplier": Option(int, 1, 8, (1,))}

_MOBILENET_SIZES = (128, 160, 192, 224)

BACKBONES: dict[str, Backbone] = {
    "Xception": Backbone("tf", _XCEPTION, 71),
    "VGG16": Backbone("caffe", _VGG),
    "VGG19": Backbone("caffe", _VGG),
    **{f"ResNet{depth}": Backbone("caffe", _RESIDUAL) for depth in (50, 101, 152)},
    **{f"ResNet{depth}V2": Backbone("tf", _RESIDUAL) for depth in (50, 101, 152)},
    "InceptionV3": Backbone("tf", _MIXED, 75),
    "InceptionResNetV2": Backbone("tf", _INCEPTION_RESNET, 75),
    "MobileNet": Backbone("tf", r"^(conv_pw_\d+)", 32, _ALPHA | _DEPTH, _MOBILENET_SIZES),
    "MobileNetV2": Backbone(
        "tf", r"^(expanded_conv|block_\d+|Conv_1)(?:_|$)", 32, _ALPHA_V2, (96, *_MOBILENET_SIZES)
    ),
    "MobileNetV3Small": Backbone("included", _MOBILENET_V3, 32, _ALPHA_V3),
    "MobileNetV3Large": Backbone("included", _MOBILENET_V3, 32, _ALPHA_V3),
    **{f"DenseNet{depth}": Backbone("torch", _RESIDUAL) for depth in (121, 169, 201)},
    "NASNetMobile": Backbone("tf", _NASNET),
    "NASNetLarge": Backbone("tf", _NASNET),
    **{f"EfficientNetB{size}": Backbone("included", _LETTERED) for size in range(8)},
    **{
        f"EfficientNetV2{size}": Backbone("included", _LETTERED)
        for size in ("B0", "B1", "B2", "B3", "S", "M", "L")
    },
    **{
        f"ConvNeXt{size}": Backbone("included", _CONVNEXT)
        for size in ("Tiny", "Small", "Base", "Large", "XLarge")
    },
}


def check(
    name: str,
    options: Mapping[str, Value],
    settings: Any = None,
    weights: str = "none",
) -> None:
    """Checks that a backbone can be built, without importing TensorFlow.

    Args:
      name: a key of `BACKBONES`.
      options: constructor arguments by name.
      settings: the config section `image`; None: the image size is not checked.
      weights: if `imagenet`, the options must have values for which ImageNet weights exist.

    Raises:
      ValueError: the backbone or an option is unknown; the value of an option is outside its range;
        no ImageNet weights exist for the value; or the images are too small.
    """
    if name not in BACKBONES:
        raise ValueError(
            f"model.backbone: unknown backbone {name!r}; {suggestion(name, BACKBONES)}"
        )
    row = BACKBONES[name]
    check_options(name, options, row.options)
    for key, value in options.items():
        choices = row.options[key].imagenet
        if weights == "imagenet" and choices and value not in choices:
            raise ValueError(
                f"model.options.{key}: no ImageNet weights exist for {value!r}; expected one of "
                f"{', '.join(map(str, choices))} for {name}, or model.weights=none"
            )
    if settings is not None and settings.shape[0] < row.min_size:
        raise ValueError(
            f"image.size: {name} needs at least {row.min_size} px, received {settings.shape[0]}"
        )


def build(
    name: str, options: Mapping[str, Value], settings: Any, dtype: str = "float32"
) -> "keras.Model":
    """Returns one functional model named `name`, without inner models and with random weights.

    The model takes RGB images `(batch, size, size, 3) uint8`, normalises them, and returns pooled
    features `(batch, channels) float32`. The names of its operations depend only on the arguments,
    not on other models built in the process: users write these names in configs, and runs record
    them.

    Args:
      name: a key of `BACKBONES`.
      options: constructor arguments by name.
      settings: the config section `image`, with the image size.
      dtype: a Keras dtype policy, such as `mixed_bfloat16`. Normalisation before the backbone and
        the output stay float32.

    Raises:
      ValueError: see `check`.
    """
    import keras

    check(name, options, settings)
    before = keras.config.dtype_policy()
    # The constructors of Keras Applications take no dtype.
    keras.config.set_dtype_policy(dtype)
    try:
        model = _assemble(name, options, settings.shape)
    finally:
        keras.config.set_dtype_policy(before)
    return with_stable_names(model, name)


def block_pattern(name: str) -> str:
    """Returns the regular expression that finds a backbone's blocks, see `Backbone.block`."""
    return BACKBONES[name].block


def words(name: str) -> tuple[str, ...]:
    """Returns the words of `model.weights` for trained weights; the first is the default."""
    return ("imagenet", "glyphs")


def options_of(name: str) -> Mapping[str, Option]:
    """Returns, by name, the type and range of each constructor argument that a backbone takes."""
    return BACKBONES[name].options


def official(name: str, options: Mapping[str, Value], settings: Any) -> "keras.Model":
    """Returns the Keras Applications model with its ImageNet weights.

    Keras downloads the weights unless they are cached. The model has the image size of
    `settings`, or the last of `Backbone.trained_sizes` if no weights exist for that size.

    Raises:
      ValueError: there are no ImageNet weights for these options.
    """
    check(name, options, weights="imagenet")
    row, size = BACKBONES[name], settings.shape[0]
    if row.trained_sizes and size not in row.trained_sizes:
        size = row.trained_sizes[-1]
    return construct(name, options, weights="imagenet", input_shape=(size, size, 3))


# --- the graph


def construct(name: str, options: Mapping[str, Value], **arguments: Any) -> "keras.Model":
    """Returns a Keras Applications model without its classifier ("top"), with average pooling.

    Args:
      name: a key of `BACKBONES`.
      options: constructor arguments by name, accepted by `check`.
      arguments: further arguments of the constructor, such as `weights` and `input_shape`.
    """
    import keras

    # Convert types, since MobileNetV3 builds a file name from str(alpha): 1 would not find 1.0.
    typed = {key: BACKBONES[name].options[key].kind(value) for key, value in options.items()}
    constructor = getattr(keras.applications, name)
    return constructor(include_top=False, pooling="avg", **typed, **arguments)


def _assemble(name: str, options: Mapping[str, Value], shape: tuple[int, ...]) -> "keras.Model":
    import keras

    image = keras.Input(shape, dtype="uint8", name="image")
    model = construct(
        name,
        options,
        weights=None,
        input_shape=shape,
        input_tensor=normalise(image, BACKBONES[name].preprocessing),
    )
    features = model.output
    if features.dtype != "float32":
        features = keras.layers.Activation("linear", dtype="float32", name="features")(features)
    # A new model, because models of Keras Applications take a list of one input, and warn when they
    # are called with a single tensor.
    return keras.Model(image, features)


def normalise(image: Any, preprocessing: str) -> Any:
    """Returns images, converted from 0..255 to the input values on which a model was trained.

    Args:
      image: a symbolic tensor `(batch, height, width, 3)`.
      preprocessing: see `Backbone`; `included` leaves the values unchanged.
    """
    import keras

    if preprocessing == "included":
        return image
    scale: Any = 1.0
    offset: Any = -1.0
    if preprocessing == "tf":
        scale = 1 / 127.5
    elif preprocessing == "torch":
        scale = [1 / (255 * std) for std in IMAGENET_STD]
        offset = [-mean / std for mean, std in zip(IMAGENET_MEAN, IMAGENET_STD, strict=True)]
    else:
        image = keras.ops.flip(image, axis=-1)
        offset = [-mean for mean in CAFFE_MEAN]
    return keras.layers.Rescaling(scale, offset, dtype="float32", name="normalise")(image)


def with_stable_names(model: "keras.Model", name: str) -> "keras.Model":
    """Returns a copy of a model, with random weights and with stable names of its operations.

    The stable names are those that the operations would get in a new process.

    Args:
      name: the name of the copy.
    """
    import keras

    config = model.get_config()
    config = _rename(config, _stable_names(config["layers"]))
    return keras.Model.from_config(config | {"name": name})


def _stable_names(layers: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    # Keras numbers operations without a name by counters of the process, as in `add_3`. Number them
    # from 0 again, in the order of their creation.
    automatic = defaultdict(list)
    for layer in layers:
        # The pattern matches every name.
        stem, number = re.fullmatch(r"(.*?)(?:_(\d+))?", layer["name"]).groups()  # type: ignore[union-attr]
        if stem.replace("_", "") == layer["class_name"].lower():
            automatic[stem].append((int(number or 0), layer["name"]))
    return {
        name: f"{stem}_{position}" if position else stem
        for stem, numbered in automatic.items()
        for position, (_, name) in enumerate(sorted(numbered))
    }


def _rename(config: Any, names: Mapping[str, str]) -> Any:
    # Names of operations are values of `name`, and the first item in [operation, node, tensor].
    if isinstance(config, dict):
        return {
            key: names.get(value, value)
            if key == "name" and isinstance(value, str)
            else _rename(value, names)
            for key, value in config.items()
        }
    if isinstance(config, list | tuple):
        if len(config) == 3 and isinstance(config[0], str):
            return [names.get(config[0], config[0]), *config[1:]]
        return [_rename(value, names) for value in config]
    return config
