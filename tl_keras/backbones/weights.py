"""Loads the weights of a backbone from Keras's downloads, a file or an earlier run.

Importing this module imports neither Keras nor TensorFlow.
"""

import difflib
import importlib.resources
import itertools
import os
import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tl_keras.backbones import hugging_face_files, model_file
from tl_keras.backbones.applications import IMAGENET_STD
from tl_keras.backbones.options import Value
from tl_keras.backbones.table import BACKBONES, TRAINED, module_of

if TYPE_CHECKING:
    import h5py
    import keras
    import numpy as np

# Keras stores these two downloads under names that differ from the names in their URLs.
_CACHED_AS = {
    "NASNet-mobile-no-top.h5": "nasnet_mobile_no_top.h5",
    "NASNet-large-no-top.h5": "nasnet_large_no_top.h5",
}
# Name and arrays of a layer with weights; all sources are converted to lists of these.
Named = tuple[str, list["np.ndarray"]]


def load_weights(
    backbone: "keras.Model", name: str, options: Mapping[str, Value], settings: Any, weights: str
) -> None:
    """Loads weights into a backbone made by `build`; sets either all layers or, on an error, none.

    Call this before the backbone first predicts, because Keras's compiled functions keep the
    statistics of a `Normalization` layer as constants.

    Args:
      backbone: the result of `build(name, options, ...)`.
      name: a key of `BACKBONES`, or the file of a backbone.
      options: constructor arguments by name.
      settings: the config section of the modality, with which the backbone was built.
      weights: one of the words `imagenet`, `published` (both through Keras's cache), `glyphs`,
        `minilm` (both shipped with the package), `none` (the weights stay unchanged) and `own` (the
        weights of the backbone's folder; those of a backbone's file are already loaded); or the
        path of an `.h5` file in Keras Applications' format without top, of a `.weights.h5` or
        `.keras` file, of the folder of an earlier run, or of a folder in Hugging Face's form. From
        a model with a head, only the backbone's weights are used.

    Raises:
      ValueError: the file does not exist, is damaged or does not fit, or ImageNet weights cannot be
        downloaded.
    """
    if weights == "own" and model_file.is_folder(name):
        weights = name
    if weights in ("none", "own"):
        return
    if weights in ("imagenet", "published", "minilm"):
        source = _of_layers(_official(name, options, settings, weights).layers)
    elif weights == "glyphs":
        source = _glyphs(backbone, name, options)
    elif hugging_face_files.is_folder(weights):
        source = module_of(name).from_folder(name, options, settings, weights)
    else:
        source = _read(_locate(weights), backbone)
    layers = [layer for layer in backbone.layers if layer.weights]
    _check_fit(f"{weights!r} does not fit {name}", layers, source)
    for layer, (_, arrays) in zip(layers, source, strict=True):
        _assign(layer, arrays, name in BACKBONES)


def check(name: str, options: Mapping[str, Value], weights: str) -> None:
    """Checks, without TensorFlow, that weights exist, or that weights inside the package fit.

    The arguments are those of `load_weights`. Only `load_weights` checks the content of a file.

    Raises:
      ValueError: `weights` is `glyphs` (weights inside the package), but the backbone is not
        MobileNet with alpha 0.5; or `weights` is a path, but leads neither to a weights file nor
        to the folder of a finished run or of a text model.
    """
    if weights == "glyphs":
        _check_glyphs(name, options)
    elif weights not in (*TRAINED, "none", "own"):
        if hugging_face_files.is_folder(weights):
            is_listed = name in BACKBONES or model_file.is_folder(name)
            if is_listed and hasattr(module_of(name), "from_folder"):
                return
            raise ValueError(
                f"model.weights: the folder {weights!r} contains a text model, which does not fit "
                f"{name}"
            )
        _locate(weights)


def load_safely(path: str | Path, what: str) -> "keras.Model":
    """Loads the model of a `.keras` file without executing code from the file.

    Args:
      what: the beginning of an error message, such as "model.backbone: 'a.keras'".

    Raises:
      ValueError: the file is damaged, or contains code.
    """
    import keras

    if not zipfile.is_zipfile(path):  # Keras's own message would say that the file is missing.
        raise ValueError(
            f"{what} is damaged: not a complete .keras file; restore the file or create it again"
        )
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    # Keras may raise any exception on a damaged or hostile file.
    except Exception as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0][:200]
        raise ValueError(f"{what} cannot be loaded safely: {reason}") from error


def _of_layers(layers: Iterable["keras.Layer"]) -> list[Named]:
    return [(layer.name, layer.get_weights()) for layer in layers if layer.weights]


def _official(
    name: str, options: Mapping[str, Value], settings: Any, weights: str
) -> "keras.Model":
    module = module_of(name)
    module.check(name, options, weights=weights)
    if weights != "imagenet":
        return module.official(name, options, settings)
    try:
        return module.official(name, options, settings)
    except Exception as error:  # Keras raises a plain Exception when a download fails.
        raise ValueError(_unavailable(name, error)) from error


def _glyphs(backbone: "keras.Model", name: str, options: Mapping[str, Value]) -> list[Named]:
    """Returns the weights `glyphs`: those of the small MobileNet that ships with the package."""
    _check_glyphs(name, options)
    embedded = importlib.resources.files("tl_keras.embedded") / "glyphs.weights.h5"
    with importlib.resources.as_file(embedded) as file:
        return _read(file, backbone)


def _check_glyphs(name: str, options: Mapping[str, Value]) -> None:
    if (name, options) != ("MobileNet", {"alpha": 0.5}):
        raise ValueError(
            "model.weights: the weights 'glyphs' fit only MobileNet with model.options "
            f"{{alpha: 0.5}}; received {name} with {options}"
        )


def _unavailable(name: str, error: Exception) -> str:
    cache = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "models"
    url = re.search(r"https?://\S+?(?=:?(?:\s|$))", str(error))
    file = url.group().rsplit("/", 1)[-1] if url else "the file"
    reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
    reason = reason.replace(": None -- ", ": ")  # Keras prints the status of an answer, if any.
    # Keras chooses the file by the image size, but its layers fit every size.
    other = re.sub(r"_\d{3}(?=(_tf)?_no_top)", "_224", file)
    fits = f" (or {other}, which fits too)" if other != file else ""
    return (
        f"model.weights: the ImageNet weights of {name} are not available: {reason}\n"
        f"Without a network, download {file}{fits} elsewhere and add --set model.weights=FILE.h5 "
        f"with its path, or save {file} as {cache / _CACHED_AS.get(file, file)}"
    )


def _locate(weights: str) -> Path:
    path = Path(weights).expanduser()
    if path.is_dir():
        if not (path / "model.keras").is_file():
            is_comparison = (path / "result.json").is_file()
            hint = "is it the folder of a finished run?"
            if is_comparison:
                hint = (
                    "it is a run of the command 'compare': expected the folder of one of the "
                    "approaches in it"
                )
            raise ValueError(
                f"model.weights: the folder {weights!r} contains no model.keras; {hint}"
            )
        return path / "model.keras"
    if not path.is_file():
        siblings = [str(path.parent / other.name) for other in _siblings(path)]
        near = difflib.get_close_matches(weights, [*TRAINED, "none", "own", *siblings], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"model.weights: the file or folder {weights!r} does not exist{hint}")
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
            f"model.weights: {str(path)!r} is damaged or not an HDF5 file: {error}"
        ) from error
    raise ValueError(f"model.weights: {str(path)!r} is an HDF5 file without Keras weights")


def _read_keras(path: Path, count: int) -> list[Named]:
    import keras

    if not zipfile.is_zipfile(path):
        raise ValueError(f"model.weights: {str(path)!r} is damaged or not a .keras file")
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, OSError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"model.weights: {str(path)!r} cannot be loaded: {error}") from error
    layers = [layer for layer in model.layers if layer.weights]
    if all(isinstance(layer, keras.layers.Dense) for layer in layers[count:]):
        layers = layers[:count]  # Dense layers after the pooled features are a head.
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
    # An HDF5 attribute holds 64 KiB, so Keras splits longer lists into name0, name1, ...
    parts = [group.attrs[name]] if name in group.attrs else []
    while f"{name}{len(parts)}" in group.attrs:
        parts.append(group.attrs[f"{name}{len(parts)}"])
    return [v.decode() if isinstance(v, bytes) else str(v) for part in parts for v in part]


def _read_by_class(root: "h5py.Group", layers: Iterable["keras.Layer"]) -> list[Named]:
    # Keras 3 names a layer's group after its class and its position among layers of that class.
    named = []
    for layer, key in _keys(layers):
        if layer.weights:
            named.append((key, [root[path][()] for path in _paths(root, key, layer)]))
    known = {key for key, _ in named}
    others = [key for key in root if key not in known and len(root[key].get("vars", ()))]
    return named + [(key, [array[()] for array in root[key]["vars"].values()]) for key in others]


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


def _check_fit(problem: str, layers: Sequence["keras.Layer"], source: Sequence[Named]) -> None:
    expected = [(layer.name, [tuple(w.shape) for w in layer.weights]) for layer in layers]
    received = [(name, [tuple(array.shape) for array in arrays]) for name, arrays in source]
    counts = f"the backbone has {len(expected)} layers with weights, the file {len(received)}"
    for position, (want, have) in enumerate(itertools.zip_longest(expected, received), start=1):
        if want is None:
            raise ValueError(
                f"model.weights: {problem}: after the backbone's last layer, the file also has "
                f"layer {have[0]!r} with shapes {have[1]} ({counts}); expected weights without the "
                "classifier (top)"
            )
        if have is None:
            raise ValueError(
                f"model.weights: {problem}: the file has no weights for layer {position}, "
                f"{want[0]!r} ({counts})"
            )
        if want[1] != have[1]:
            raise ValueError(
                f"model.weights: {problem}: layer {position}, {want[0]!r}, expects shapes "
                f"{want[1]}, received {have[1]} from the file's layer {have[0]!r} ({counts})"
            )


def _assign(layer: "keras.Layer", arrays: Sequence["np.ndarray"], built_in: bool) -> None:
    import keras
    import numpy as np

    if not isinstance(layer, keras.layers.Normalization):
        layer.set_weights(arrays)
        return
    mean, variance, count = arrays
    # EfficientNet's official files contain the deviation in place of the variance. Keras corrects
    # this with an additional Rescaling layer, but only in the graph for weights="imagenet"
    # (https://github.com/tensorflow/tensorflow/issues/49930). Here the variance itself is
    # corrected. Weights saved from a model of `build` already have the correct variance. A user's
    # own graph stays unchanged, since it may contain that Rescaling layer.
    if built_in and np.allclose(variance, IMAGENET_STD, rtol=1e-3):
        variance = variance * np.asarray(IMAGENET_STD, variance.dtype)
    layer.set_weights([mean, variance, count])
    layer.finalize_state()  # The layer computes with a copy of its weights.
