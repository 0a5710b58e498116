"""Builds text models of KerasHub as backbones: presets by name, and folders in KerasHub's form.

The model is built of Keras's own layers (see `encoder`), with KerasHub's weights, so a saved model
loads without KerasHub. Importing this module imports neither Keras nor TensorFlow.
"""

import importlib
import importlib.util
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tl_keras.backbones import encoder, hugging_face_weights
from tl_keras.backbones import hugging_face_files as files
from tl_keras.backbones.encoder import Sizes
from tl_keras.backbones.hugging_face_files import LARGEST, Family
from tl_keras.backbones.keras_hub_presets import FIRST, HANDLES
from tl_keras.backbones.options import Option, Value, check_options
from tl_keras.config.messages import how_to_install
from tl_keras.modalities.text.tokens import vocabulary as vocabularies

if TYPE_CHECKING:
    import keras
    import numpy as np

MODALITY = "text"
WEIGHTS = "model.weights.h5"
VOCABULARY = os.path.join("assets", "tokenizer", "vocabulary.txt")  # Only WordPiece has it.
_FIELDS = {
    "layers": "num_layers",
    "width": "hidden_dim",
    "heads": "num_heads",
    "inner": "intermediate_dim",
    "positions": "max_sequence_length",
}
_PARTS = {
    "query": "self_attention_layer/query",
    "key": "self_attention_layer/key",
    "value": "self_attention_layer/value",
    "attention": "self_attention_layer/attention_output",
    "attention_norm": "self_attention_layer_norm",
    "inner": "feedforward_intermediate_dense",
    "outer": "feedforward_output_dense",
    "norm": "feedforward_layer_norm",
}
_PLAIN = Family(_FIELDS, "transformer_layer_{}/", _PARTS)
_ALBERT = Family(_FIELDS | {"embedding": "embedding_dim"}, "group_{}_inner_layer_{}/", _PARTS)
# By class of KerasHub: the names in its files, its activation, and its epsilon.
CLASSES: dict[str, tuple[Family, encoder.Activation, float]] = {
    "BertBackbone": (_PLAIN, "gelu_tanh", 1e-12),
    "DistilBertBackbone": (_PLAIN, "gelu", 1e-12),
    "RobertaBackbone": (_PLAIN, "gelu", 1e-5),
    "XLMRobertaBackbone": (_PLAIN, "gelu", 1e-5),
    "AlbertBackbone": (_ALBERT, "gelu_tanh", 1e-12),
}


# --- what `table` asks of a module of backbones; a name is a preset, or the path of a folder


def check(
    name: str, options: Mapping[str, Value], settings: Any = None, weights: str = "none"
) -> None:
    """Checks that a backbone can be built, without importing TensorFlow.

    The sizes of a preset are checked only if it is cached, see `fetch`.

    Raises:
      ValueError: KerasHub is not installed, but its weights are asked for; an option is unknown or
        outside its range; the config of the model is damaged; `text.length` is too large; or
        `text.vocabulary` is missing.
    """
    if weights in ("published", "own"):
        _check_extra(name)
    check_options(name, options, options_of(name))
    folder = folder_of(name)
    if folder is None:
        return
    sizes = sizes_of(name, options)
    if settings is not None:
        files.check_length(name, settings, sizes.positions)
        _check_vocabulary(name, settings)


def fetch(name: str) -> None:
    """Downloads a preset, unless it is cached. Does nothing if `name` is a folder.

    Raises:
      ValueError: the preset cannot be downloaded, or KerasHub is not installed.
    """
    if folder_of(name) is not None:
        return
    _check_extra(name)
    kaggle = importlib.import_module("kagglehub")
    try:
        kaggle.model_download(HANDLES[name])
    # Without a network, with a damaged cache, or if Kaggle answers with an error.
    except Exception as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise ValueError(
            f"model.backbone: the preset {name!r} is neither cached in {_cached(name)!r} nor can "
            f"it be downloaded: {reason}; without a network, download it elsewhere and set "
            "model.backbone to its folder, or set model.backbone=StaticEmbedding, which needs no "
            "download"
        ) from error


def options_of(name: str) -> Mapping[str, Option]:
    """Returns the options: how many of the model's layers are used, and the pooling."""
    layers = LARGEST["layers"]
    if folder_of(name) is not None:
        layers = sizes_of(name, {}).layers
    return {"layers": Option(int, 1, layers), "pooling": Option(str, choices=encoder.POOLING)}


def words(name: str) -> tuple[str, ...]:
    """Returns the words of `model.weights` that this backbone takes; the first is the default."""
    return ("published",) if name in HANDLES else ()


def block_pattern(name: str) -> str:
    """Returns the regular expression that finds an encoder's blocks."""
    return encoder.BLOCK


def auto_values(name: str, num_train: int) -> dict[str, Any]:
    """Returns the values of `auto` fields of `fit`, see `encoder.auto_values`."""
    return encoder.auto_values(num_train)


def decided(name: str, options: Mapping[str, Value], weights: str) -> dict[str, Any]:
    """Returns the number of positions, and the vocabulary if it is of the kind WordPiece."""
    folder = folder_of(name)
    if folder is None:
        return {}
    decided: dict[str, Any] = {"length": sizes_of(name, {}).positions}
    if vocabulary := _vocabulary(folder):
        decided["vocabulary"] = vocabulary
    return decided


def token_layers(name: str, options: Mapping[str, Value]) -> tuple[str, str]:
    """Returns the names of two layers, see `encoder.token_layers`."""
    return encoder.token_layers(sizes_of(name, options))


def build(
    name: str, options: Mapping[str, Value], settings: Any, dtype: str = "float32"
) -> "keras.Model":
    """Returns the model with random weights, see `encoder.encoder`.

    Raises:
      ValueError: see `check` and `fetch`.
    """
    fetch(name)
    check(name, options, settings)
    num_tokens = vocabularies.read(settings.vocabulary).num_tokens
    stable = name if name in HANDLES else "backbone"
    return encoder.encoder(stable, sizes_of(name, options), num_tokens, dtype)


def official(name: str, options: Mapping[str, Value], settings: Any) -> "keras.Model":
    """Returns the model with KerasHub's weights.

    Raises:
      ValueError: see `from_folder`.
    """
    backbone, folder = build(name, options, settings), folder_of(name)
    assert folder is not None
    return encoder.with_weights(backbone, from_folder(name, options, settings, folder))


def from_folder(
    name: str, options: Mapping[str, Value], settings: Any, folder: str
) -> list[tuple[str, list["np.ndarray"]]]:
    """Returns the arrays of a backbone's layers from a folder in KerasHub's form.

    Raises:
      ValueError: the model in the folder has other sizes, or its weights cannot be loaded or were
        trained with another vocabulary.
    """
    field = "model.backbone" if folder == folder_of(name) else "model.weights"
    sizes = sizes_of(name, options)
    encoder.check_same(name, sizes, folder, sizes_of(folder, {"pooling": sizes.pooling}, field))
    source = _load(folder, field)
    arrays = {weight.path: weight.numpy() for weight in source.weights}
    num_rows = source.vocabulary_size
    trained = _vocabulary(folder) or ""
    rows = hugging_face_weights.rows_of(folder, num_rows, settings, field, trained)
    return list(_named(arrays, sizes, _layers(folder, field), rows).items())


# --- presets and folders


def folder_of(name: str) -> str | None:
    """Returns the folder of a backbone; None if it is a preset that is not cached."""
    folder = _cached(name) if name in HANDLES else name
    return folder if files.is_folder(folder) else None


def _cached(name: str) -> str:
    """Returns the folder in which KerasHub keeps a preset."""
    cache = os.environ.get("KAGGLEHUB_CACHE") or os.path.expanduser("~/.cache/kagglehub")
    return os.path.join(cache, "models", *HANDLES[name].split("/"))


def _vocabulary(folder: str) -> str | None:
    path = os.path.join(folder, VOCABULARY)
    return path if os.path.isfile(path) else None


def _check_extra(name: str) -> None:
    if importlib.util.find_spec("keras_hub") is None:
        raise ValueError(
            f"model.backbone: {name} needs the package keras-hub; install the extra 'text', which "
            f"contains it, with: {how_to_install('text')}"
        )


def _check_vocabulary(name: str, settings: Any) -> None:
    if settings.vocabulary is None:
        raise ValueError(
            f"text.vocabulary: {name} has a tokeniser that is not WordPiece; expected a folder "
            "with the tokenizer.json of the same model from Hugging Face; received null"
        )


def _class_of(folder: str, field: str = "model.backbone") -> tuple[str, dict[str, Any]]:
    """Returns the class of a folder's model, and its arguments, from config.json."""
    config = files.config_of(folder, field)
    kind = str(config.get("registered_name")).rpartition(">")[2]
    if kind not in CLASSES or not isinstance(config.get("config"), dict):
        contains = f"a {kind}" if "registered_name" in config else "no model of KerasHub"
        raise ValueError(
            f"{field}: {folder!r} contains {contains}; expected one of {', '.join(CLASSES)}"
        )
    return kind, config["config"]


def sizes_of(name: str, options: Mapping[str, Value], field: str = "model.backbone") -> Sizes:
    """Returns the sizes of a backbone whose folder exists, with layers and pooling of `options`.

    Args:
      field: the field of the config that names the backbone, for messages.

    Raises:
      ValueError: config.json is damaged, or the class is not in `CLASSES`.
    """
    folder = folder_of(name)
    assert folder is not None
    kind, config = _class_of(folder, field)
    family, activation, epsilon = CLASSES[kind]
    where = f"{field}: {os.path.join(folder, 'config.json')!r}"
    numbers = {part: files.number_of(where, config, family, part) for part in family.fields}
    files.check_heads(where, family, numbers)
    layers = len(_layers(folder, field))
    numbers["layers"] = min(layers, int(options.get("layers", layers)))
    trained = "first" if name.startswith(FIRST) else "mean"
    pooling = str(options.get("pooling", trained))
    return Sizes(**numbers, pooling=pooling, activation=activation, epsilon=epsilon)


def _layers(folder: str, field: str) -> list[str]:
    """Returns the beginning of the names of each layer's weights.

    The layers of ALBERT that share weights have the same names here, and become separate layers.
    """
    kind, config = _class_of(folder, field)
    family = CLASSES[kind][0]
    count = config.get("num_layers", 0)
    groups, repeats = config.get("num_groups", 1), config.get("num_inner_repetitions", 1)
    if not all(type(n) is int and 1 <= n <= LARGEST["layers"] for n in (count, groups, repeats)):
        raise ValueError(f"{field}: the config.json in {folder!r} has no number of layers")
    if kind != "AlbertBackbone":
        return [family.layer.format(i) for i in range(count)]
    return [
        family.layer.format(group, inner)
        for group in range(groups)
        for _ in range(count // groups)
        for inner in range(repeats)
    ]


# --- weights


def _load(folder: str, field: str) -> "keras.Model":
    """Returns KerasHub's model with the weights of a folder."""
    _check_extra(folder)
    # Not by `import keras_hub`, because this module has the same name as the package.
    hub = importlib.import_module("keras_hub")
    kind, config = _class_of(folder, field)
    arguments = {key: value for key, value in config.items() if type(value) is int}
    try:
        source = getattr(hub.models, kind)(**arguments, dtype="float32")
        source.load_weights(os.path.join(folder, WEIGHTS))
    # KerasHub raises many kinds of exception on damaged files.
    except Exception as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0][:200]
        raise ValueError(
            f"{field}: the weights in {folder!r} cannot be loaded: {reason}"
        ) from error
    return source


def _named(
    arrays: Mapping[str, "np.ndarray"], sizes: Sizes, layers: list[str], rows: "np.ndarray"
) -> dict[str, list["np.ndarray"]]:
    """Returns the arrays of an encoder's layers, by name of the layer.

    Args:
      arrays: the weights of KerasHub's model, by path.
      layers: the beginning of the paths of each layer.
      rows: the row of the embedding table for each token id.
    """

    def find(end: str) -> "np.ndarray":
        return next(array for path, array in arrays.items() if path.endswith(end))

    positions = find("position_embedding/embeddings")
    if any(path.endswith("segment_embedding/embeddings") for path in arrays):
        positions = positions + find("segment_embedding/embeddings")[0]  # The only segment.
    named = {
        "embeddings_tokens": [find("token_embedding/embeddings")[rows]],
        "embeddings_positions": [positions],
        "embeddings_norm": [find(f"embeddings_layer_norm/{part}") for part in ("gamma", "beta")],
    }
    if sizes.embedding not in (None, sizes.width):
        parts = ("kernel", "bias")
        named["embeddings_projection"] = [find(f"embedding_projection/{part}") for part in parts]
    for i, start in enumerate(layers[: sizes.layers]):
        for part, middle in _PARTS.items():
            kinds = ("gamma", "beta") if part.endswith("norm") else ("kernel", "bias")
            first, second = (arrays[f"{start}{middle}/{kind}"] for kind in kinds)
            # Kernels and biases of attention have an axis for the heads.
            if part in ("query", "key", "value"):
                first, second = first.reshape(sizes.width, -1), second.reshape(-1)
            elif part == "attention":
                first = first.reshape(-1, sizes.width)
            named[f"layer_{i}_{part}"] = [first, second]
    return named
