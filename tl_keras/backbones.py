"""Backbones: raw pixels in, pooled features out, with weights from wherever the user has them.

Importing this module imports neither Keras nor TensorFlow: configs are checked against
`BACKBONES` before either is loaded.
"""

import difflib
import hashlib
import itertools
import os
import re
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import h5py
    import keras
    import numpy as np

Value = float | int | bool

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # RGB, of pixels in 0..1
IMAGENET_STD = (0.229, 0.224, 0.225)
CAFFE_MEAN = (103.939, 116.779, 123.68)  # BGR, of pixels in 0..255

# Keras stores these two downloads under another name than their address has.
_CACHED_AS = {
    "NASNet-mobile-no-top.h5": "nasnet_mobile_no_top.h5",
    "NASNet-large-no-top.h5": "nasnet_large_no_top.h5",
}


@dataclass(frozen=True)
class Option:
    """A constructor argument: its type, its range (both ends included), what ImageNet has."""

    kind: type
    low: float = 0
    high: float = 1
    imagenet: tuple[Value, ...] = ()  # values that have ImageNet weights; empty: all


@dataclass(frozen=True)
class Backbone:
    """A Keras Applications model.

    `preprocessing` says what its weights were trained on: `tf` x / 127.5 - 1, `torch` mean and
    deviation of ImageNet, `caffe` BGR minus ImageNet's mean, `included` raw pixels. `block` is
    a regular expression: an operation belongs to the block that its first group names.
    """

    preprocessing: Literal["tf", "torch", "caffe", "included"]
    block: str
    min_size: int = 32  # px, height = width
    options: Mapping[str, Option] = field(default_factory=dict)
    trained_sizes: tuple[int, ...] = ()  # px, where ImageNet weights differ by size; last: default


_RESIDUAL = r"^(conv\d+_block\d+)_"
_LETTERED = r"^(block\d+[a-z]|top)_"
# The add that closes a block has no name of its own in Xception and ConvNeXt (see freeze.blocks).
_XCEPTION = r"^(block\d+)_"
_CONVNEXT = r"_(stage_\d+_block_\d+)_"
_VGG = r"^(block\d)_"
_MIXED = r"^(mixed\d+)$"
_INCEPTION_RESNET = r"^(mixed_\d[ab]|block(?:35|17|8)_\d+|conv_7b)(?:_|$)"
_MOBILENET_V3 = r"^(expanded_conv(?:_\d+)?|conv_1)(?:_|$)"
# A NASNet cell reads the two before it, so nothing between stem and last cell is a single tensor.
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
    image_size: int | None = None,
    weights: str = "none",
) -> None:
    """Rejects a backbone that cannot be built, without importing TensorFlow.

    Args:
      name: a key of `BACKBONES`.
      options: constructor arguments by name.
      image_size: px; `None`: not checked.
      weights: only `imagenet` matters: not every option's value has ImageNet weights.

    Raises:
      ValueError: an unknown backbone or option, a value outside its range, too small an image.
    """
    if name not in BACKBONES:
        raise ValueError(
            f"model.backbone: {name!r} is no Keras Applications backbone; "
            f"{_suggestion(name, BACKBONES)}"
        )
    row = BACKBONES[name]
    for key, value in options.items():
        if key not in row.options:
            raise ValueError(
                f"model.options.{key}: {name} has no such option; "
                + (_suggestion(key, row.options) if row.options else "it takes none")
            )
        _check_value(f"model.options.{key}", row.options[key], value)
        choices = row.options[key].imagenet
        if weights == "imagenet" and choices and value not in choices:
            raise ValueError(
                f"model.options.{key}: {value!r} has no ImageNet weights; "
                f"those of {name} exist for {', '.join(map(str, choices))}"
            )
    if image_size is not None and image_size < row.min_size:
        raise ValueError(
            f"data.image_size: {name} needs at least {row.min_size} px, received {image_size}"
        )


def build(
    name: str, options: Mapping[str, Value], image_size: int, dtype: str = "float32"
) -> "keras.Model":
    """One flat functional model named `name`, randomly initialised.

    `(batch, image_size, image_size, 3) uint8 RGB` in, pooled features `(batch, channels) float32`
    out; normalisation is part of the graph. Names of operations depend on the arguments alone, not
    on what else the process has built: users name them, runs record them.

    Args:
      name: a key of `BACKBONES`.
      options: constructor arguments by name.
      image_size: px, height = width.
      dtype: a Keras dtype policy, such as `mixed_bfloat16`; normalisation outside the backbone
        and the output stay float32.

    Raises:
      ValueError: see `check`.
    """
    import keras

    check(name, options, image_size)
    before = keras.config.dtype_policy()
    # The constructors of Keras Applications take no dtype.
    keras.config.set_dtype_policy(dtype)
    try:
        config = _assemble(name, options, image_size).get_config()
    finally:
        keras.config.set_dtype_policy(before)
    config = _rename(config, _stable_names(config["layers"]))
    return keras.Model.from_config(config | {"name": name})


def load_weights(
    backbone: "keras.Model", name: str, options: Mapping[str, Value], weights: str
) -> None:
    """Sets the weights of a backbone that `build` made; nothing is set unless everything fits.

    Call it before the backbone first predicts: Keras's compiled functions keep the statistics of
    a `Normalization` layer as constants.

    Args:
      backbone: what `build(name, options, ...)` returned.
      name: a key of `BACKBONES`.
      options: constructor arguments by name.
      weights: `imagenet` (through Keras's own cache), `none`, an `.h5` file in Keras
        Applications' format without top, a `.weights.h5` or `.keras` file, or the folder of an
        earlier run. Of a model with a head only the backbone's part is taken.

    Raises:
      ValueError: there is no such file, it is damaged, it does not fit, or there is no network.
    """
    if weights == "none":
        return
    if weights == "imagenet":
        found = _of_layers(_official(name, options, backbone.input_shape[1]).layers)
    else:
        found = _read(_locate(weights), backbone)
    layers = [layer for layer in backbone.layers if layer.weights]
    _check_fit(f"{weights!r} does not fit {name}", layers, found)
    for layer, (_, arrays) in zip(layers, found, strict=True):
        _assign(layer, arrays)


def digest(backbone: "keras.Model") -> str:
    """SHA-256 of all weights, in order: shapes, types and bytes. Names play no part. Hex."""
    import numpy as np

    result = hashlib.sha256()
    for weight in backbone.weights:
        array = weight.numpy()
        result.update(f"{array.shape} {array.dtype}\n".encode())
        result.update(np.ascontiguousarray(array).tobytes())
    return result.hexdigest()


# --- checks


def _suggestion(name: str, valid: Iterable[str]) -> str:
    by_lower = {choice.lower(): choice for choice in valid}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1)
    if near:
        return f"did you mean {by_lower[near[0]]!r}?"
    return f"valid: {', '.join(by_lower.values())}"


def _check_value(path: str, option: Option, value: Value) -> None:
    if option.kind is bool:
        if not isinstance(value, bool):
            raise ValueError(f"{path}: must be true or false, received {value!r}")
        return
    kinds = (int,) if option.kind is int else (int, float)
    fits = isinstance(value, kinds) and not isinstance(value, bool)
    if not fits or not option.low <= value <= option.high:
        kind = "a whole number" if option.kind is int else "a number"
        raise ValueError(
            f"{path}: must be {kind} in {option.low}..{option.high}, received {value!r}"
        )


# --- the graph


def _construct(name: str, options: Mapping[str, Value], **arguments: Any) -> "keras.Model":
    import keras

    # MobileNetV3 makes a file's name of str(alpha): 1 and 1.0 are not the same there.
    typed = {key: BACKBONES[name].options[key].kind(value) for key, value in options.items()}
    constructor = getattr(keras.applications, name)
    return constructor(include_top=False, pooling="avg", **typed, **arguments)


def _assemble(name: str, options: Mapping[str, Value], image_size: int) -> "keras.Model":
    import keras

    shape = (image_size, image_size, 3)
    image = keras.Input(shape, dtype="uint8", name="image")
    model = _construct(
        name,
        options,
        weights=None,
        input_shape=shape,
        input_tensor=_normalise(image, BACKBONES[name].preprocessing),
    )
    features = model.output
    if features.dtype != "float32":
        features = keras.layers.Activation("linear", dtype="float32", name="features")(features)
    # Made anew: Keras Applications leave a list of one input, which warns when called with one.
    return keras.Model(image, features)


def _normalise(image: Any, preprocessing: str) -> Any:
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


def _stable_names(layers: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    # Keras numbers what has no name by counters of the process (`add_3`): count from 0 again,
    # in the order of creation, so that the names are those of a fresh process.
    automatic = defaultdict(list)
    for layer in layers:
        stem, number = re.fullmatch(r"(.*?)(?:_(\d+))?", layer["name"]).groups()
        if stem.replace("_", "") == layer["class_name"].lower():
            automatic[stem].append((int(number or 0), layer["name"]))
    return {
        name: f"{stem}_{position}" if position else stem
        for stem, numbered in automatic.items()
        for position, (_, name) in enumerate(sorted(numbered))
    }


def _rename(config: Any, names: Mapping[str, str]) -> Any:
    # Names of operations stand under `name` and first in [operation, node, tensor].
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


# --- weights: every source becomes (layer's name, arrays) for each layer that has weights

Named = tuple[str, list["np.ndarray"]]


def _of_layers(layers: Iterable["keras.Layer"]) -> list[Named]:
    return [(layer.name, layer.get_weights()) for layer in layers if layer.weights]


def _official(name: str, options: Mapping[str, Value], image_size: int) -> "keras.Model":
    row = BACKBONES[name]
    check(name, options, weights="imagenet")
    if row.trained_sizes and image_size not in row.trained_sizes:
        image_size = row.trained_sizes[-1]
    shape = (image_size, image_size, 3)
    try:
        return _construct(name, options, weights="imagenet", input_shape=shape)
    except Exception as error:  # Keras raises a plain Exception when a download fails.
        raise ValueError(_unavailable(name, error)) from error


def _unavailable(name: str, error: Exception) -> str:
    cache = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "models"
    url = re.search(r"https?://\S+?(?=:?(?:\s|$))", str(error))
    file = url.group().rsplit("/", 1)[-1] if url else "the file"
    reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
    return (
        f"model.weights: the ImageNet weights of {name} are not available: {reason}\n"
        f"Without a network, fetch {file} elsewhere and set model.weights to its path, "
        f"or keep it as {cache / _CACHED_AS.get(file, file)}"
    )


def _locate(weights: str) -> Path:
    path = Path(weights).expanduser()
    if path.is_dir():
        if not (path / "model.keras").is_file():
            raise ValueError(
                f"model.weights: the folder {weights!r} holds no model.keras; "
                "is it a run's folder, and is the run finished?"
            )
        return path / "model.keras"
    if not path.is_file():
        siblings = [str(path.parent / other.name) for other in _siblings(path)]
        near = difflib.get_close_matches(weights, ["imagenet", "glyphs", "none", *siblings], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"model.weights: there is no file or folder {weights!r}{hint}")
    if path.suffix not in (".h5", ".keras"):
        raise ValueError(
            f"model.weights: expected a .h5, .weights.h5 or .keras file or a run's folder, "
            f"received {weights!r}"
        )
    return path


def _siblings(path: Path) -> list[Path]:
    return sorted(path.parent.iterdir()) if path.parent.is_dir() else []


def _read(path: Path, backbone: "keras.Model") -> list[Named]:
    if path.suffix == ".keras":
        return _read_keras(path, sum(bool(layer.weights) for layer in backbone.layers))
    import h5py

    try:
        with h5py.File(path) as file:
            root = file.get("model_weights", file)
            if any(key.startswith("layer_names") for key in root.attrs):
                return _read_legacy(root)
            if "layers" in root:
                return _read_by_class(root["layers"], backbone.layers)
    except (OSError, KeyError, RuntimeError) as error:
        raise ValueError(
            f"model.weights: {str(path)!r} is damaged or no HDF5 file: {error}"
        ) from error
    raise ValueError(f"model.weights: {str(path)!r} is an HDF5 file without Keras weights")


def _read_keras(path: Path, count: int) -> list[Named]:
    import keras

    if not zipfile.is_zipfile(path):
        raise ValueError(f"model.weights: {str(path)!r} is damaged or no .keras file")
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, OSError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"model.weights: {str(path)!r} does not load: {error}") from error
    layers = [layer for layer in model.layers if layer.weights]
    if all(isinstance(layer, keras.layers.Dense) for layer in layers[count:]):
        layers = layers[:count]  # What follows the pooled features is a head.
    return _of_layers(layers)


def _read_legacy(root: "h5py.Group") -> list[Named]:
    layers = []
    for name in _attribute(root, "layer_names"):
        group = root[name]
        arrays = [group[weight][()] for weight in _attribute(group, "weight_names")]
        if arrays:
            layers.append((name, arrays))
    return layers


def _attribute(group: "h5py.Group", name: str) -> list[str]:
    # HDF5 holds 64 KiB in an attribute: Keras writes longer lists as name0, name1, ...
    parts = [group.attrs[name]] if name in group.attrs else []
    while f"{name}{len(parts)}" in group.attrs:
        parts.append(group.attrs[f"{name}{len(parts)}"])
    return [v.decode() if isinstance(v, bytes) else str(v) for part in parts for v in part]


def _read_by_class(root: "h5py.Group", layers: Iterable["keras.Layer"]) -> list[Named]:
    # Keras 3 names a layer's group after its class and its position among those of that class.
    found = []
    for layer, key in _keys(layers):
        if layer.weights:
            found.append((key, [root[path][()] for path in _paths(root, key, layer)]))
    known = {key for key, _ in found}
    others = [key for key in root if key not in known and len(root[key].get("vars", ()))]
    return found + [(key, [array[()] for array in root[key]["vars"].values()]) for key in others]


def _paths(root: "h5py.Group", key: str, layer: "keras.Layer") -> Iterator[str]:
    for number in sorted(root.get(f"{key}/vars", ()), key=int):
        yield f"{key}/vars/{number}"
    for inner, inner_key in _keys(getattr(layer, "layers", ())):
        yield from _paths(root, f"{key}/layers/{inner_key}", inner)


def _keys(layers: Iterable["keras.Layer"]) -> Iterator[tuple["keras.Layer", str]]:
    seen: Counter[str] = Counter()
    for layer in layers:
        key = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", type(layer).__name__)
        key = re.sub(r"([a-z])([A-Z])", r"\1_\2", key).lower()
        yield layer, f"{key}_{seen[key]}" if seen[key] else key
        seen[key] += 1


# --- from arrays to the backbone


def _check_fit(problem: str, layers: Sequence["keras.Layer"], found: Sequence[Named]) -> None:
    wanted = [(layer.name, [tuple(w.shape) for w in layer.weights]) for layer in layers]
    given = [(name, [tuple(array.shape) for array in arrays]) for name, arrays in found]
    counts = f"the backbone has {len(wanted)} layers with weights, the file {len(given)}"
    for position, (want, have) in enumerate(itertools.zip_longest(wanted, given), start=1):
        if want is None:
            raise ValueError(
                f"model.weights: {problem}: it goes on with {have[0]!r} {have[1]} after the last "
                f"layer ({counts}); the backbone takes weights without top"
            )
        if have is None:
            raise ValueError(
                f"model.weights: {problem}: it ends before layer {position}, {want[0]!r} ({counts})"
            )
        if want[1] != have[1]:
            raise ValueError(
                f"model.weights: {problem}: layer {position}, {want[0]!r}, expects shapes "
                f"{want[1]}, found {have[1]} in {have[0]!r} ({counts})"
            )


def _assign(layer: "keras.Layer", arrays: Sequence["np.ndarray"]) -> None:
    import keras
    import numpy as np

    if not isinstance(layer, keras.layers.Normalization):
        layer.set_weights(arrays)
        return
    mean, variance, count = arrays
    # EfficientNet's official files hold the deviation where the variance belongs; Keras mends it
    # with one more Rescaling, in the graph for weights="imagenet" alone
    # (https://github.com/tensorflow/tensorflow/issues/49930). A file that `build` made has the
    # square here and is left as it is.
    if np.allclose(variance, IMAGENET_STD, rtol=1e-3):
        variance = variance * np.asarray(IMAGENET_STD, variance.dtype)
    layer.set_weights([mean, variance, count])
    layer.finalize_state()  # The layer computes with a copy of its weights.
