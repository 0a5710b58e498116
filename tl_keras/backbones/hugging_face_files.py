"""Reads a text model's folder in Hugging Face's form: its sizes and its weights.

Importing this module imports neither Keras nor TensorFlow.
"""

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tl_keras.backbones import encoder, safetensors
from tl_keras.backbones.encoder import Sizes
from tl_keras.backbones.options import Value
from tl_keras.modalities.text.tokens import vocabulary as vocabularies

if TYPE_CHECKING:
    import numpy as np

MAX_CONFIG = 10_000_000  # bytes
LARGEST = {"layers": 128, "width": 16_384, "heads": 256, "inner": 65_536, "positions": 131_072}
ACTIVATIONS: dict[str, encoder.Activation] = {
    **{"gelu": "gelu", "relu": "relu"},
    **dict.fromkeys(("gelu_new", "gelu_fast", "gelu_pytorch_tanh"), "gelu_tanh"),
}
POOLING = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "first"}


@dataclass(frozen=True)
class Family:
    """The names that a family of models uses in its files.

    Attributes:
      fields: the field of config.json for each attribute of `encoder.Sizes`.
      layer: the beginning of the names of a layer's tensors.
      parts: the middle of the names, for each part of a layer in `encoder`.
      projection: the beginning of the names of the dense layer after the embeddings, which exists
        only if the embeddings have another width than the layers.
      reserved: number of rows of the table of positions, at its beginning, that are never used.
    """

    fields: Mapping[str, str]
    layer: str
    parts: Mapping[str, str]
    projection: str = "embeddings_project"
    reserved: int = 0


_BERT = Family(
    {
        "layers": "num_hidden_layers",
        "width": "hidden_size",
        "heads": "num_attention_heads",
        "inner": "intermediate_size",
        "positions": "max_position_embeddings",
        "activation": "hidden_act",
        "epsilon": "layer_norm_eps",
    },
    "encoder.layer.{}.",
    {
        "query": "attention.self.query",
        "key": "attention.self.key",
        "value": "attention.self.value",
        "attention": "attention.output.dense",
        "attention_norm": "attention.output.LayerNorm",
        "inner": "intermediate.dense",
        "outer": "output.dense",
        "norm": "output.LayerNorm",
    },
)
_DISTILBERT = Family(
    {
        "layers": "n_layers",
        "width": "dim",
        "heads": "n_heads",
        "inner": "hidden_dim",
        "positions": "max_position_embeddings",
        "activation": "activation",
    },
    "transformer.layer.{}.",
    {
        "query": "attention.q_lin",
        "key": "attention.k_lin",
        "value": "attention.v_lin",
        "attention": "attention.out_lin",
        "attention_norm": "sa_layer_norm",
        "inner": "ffn.lin1",
        "outer": "ffn.lin2",
        "norm": "output_layer_norm",
    },
)
_ROBERTA = dataclasses.replace(_BERT, reserved=2)  # See `family_of`.
_ELECTRA = dataclasses.replace(_BERT, fields={**_BERT.fields, "embedding": "embedding_size"})
# All layers of ALBERT have the same weights. Here they become separate layers with equal weights.
_ALBERT = Family(
    _ELECTRA.fields,
    "encoder.albert_layer_groups.0.albert_layers.0.",
    {
        "query": "attention.query",
        "key": "attention.key",
        "value": "attention.value",
        "attention": "attention.dense",
        "attention_norm": "attention.LayerNorm",
        "inner": "ffn",
        "outer": "ffn_output",
        "norm": "full_layer_layer_norm",
    },
    projection="encoder.embedding_hidden_mapping_in",
)
FAMILIES = {
    "albert": _ALBERT,
    **{"bert": _BERT, "distilbert": _DISTILBERT, "electra": _ELECTRA},
    **dict.fromkeys(("roberta", "xlm-roberta", "camembert"), _ROBERTA),
}


def is_folder(path: str) -> bool:
    """Returns whether a path is a folder in Hugging Face's form, which has a config.json."""
    return os.path.isfile(os.path.join(path, "config.json"))


def check_length(name: str, settings: Any, positions: int) -> None:
    """Raises ValueError if `text.length` is larger than a backbone's number of positions."""
    if isinstance(settings.length, int) and settings.length > positions:
        raise ValueError(
            f"text.length: {name} takes at most {positions} tokens, received {settings.length}"
        )


# --- config.json


def sizes_of(folder: str, options: Mapping[str, Value], field: str = "model.backbone") -> Sizes:
    """Returns the sizes of a folder's model, with those that `options` changes.

    Args:
      field: the field of the config that names the folder, for messages.

    Raises:
      ValueError: config.json is missing or damaged, or describes another kind of model.
    """
    config, family = config_of(folder, field), family_of(folder, field)
    where = f"{field}: {os.path.join(folder, 'config.json')!r}"
    if config.get("position_embedding_type", "absolute") != "absolute" or config.get("is_decoder"):
        raise ValueError(f"{where} describes a decoder, or relative positions; expected neither")
    if any(config.get(name, 1) != 1 for name in ("num_hidden_groups", "inner_group_num")):
        raise ValueError(f"{where} describes several groups of layers; expected one")
    numbers = {name: number_of(where, config, family, name) for name in LARGEST}
    if numbers["width"] % numbers["heads"]:
        raise ValueError(f"{where}: {family.fields['heads']} does not divide the width")
    numbers["positions"] -= family.reserved
    activation = config.get(family.fields["activation"], "gelu")
    if activation not in ACTIVATIONS:
        raise ValueError(
            f"{where} has the activation {activation!r}; expected one of {', '.join(ACTIVATIONS)}"
        )
    epsilon = config.get(family.fields.get("epsilon", ""), 1e-12)
    if not isinstance(epsilon, float) or not 0 < epsilon < 1:
        raise ValueError(f"{where}: {family.fields['epsilon']} is {epsilon!r}, not in 0..1")
    embedding = "embedding" in family.fields and number_of(where, config, family, "embedding")
    return Sizes(
        layers=min(numbers["layers"], int(options.get("layers", numbers["layers"]))),
        width=numbers["width"],
        heads=numbers["heads"],
        inner=numbers["inner"],
        positions=numbers["positions"],
        pooling=str(options.get("pooling") or pooling_of(folder, field)),
        embedding=embedding or None,
        activation=ACTIVATIONS[activation],
        epsilon=epsilon,
    )


def family_of(folder: str, field: str = "model.backbone") -> Family:
    """Returns the family of a folder's model, from its config.json.

    Raises:
      ValueError: config.json is missing or damaged, or the family is unknown.
    """
    config = config_of(folder, field)
    kind = config.get("model_type")
    if kind not in FAMILIES:
        raise ValueError(
            f"{field}: {folder!r} has a model of the type {kind!r}; expected one of "
            f"{', '.join(FAMILIES)}, or model2vec"
        )
    family, padding = FAMILIES[kind], config.get("pad_token_id")
    if family.reserved and type(padding) is int and 0 <= padding < 8:
        return dataclasses.replace(family, reserved=padding + 1)  # Positions of tokens follow it.
    return family


def config_of(folder: str, field: str = "model.backbone", name: str = "config.json") -> Any:
    """Returns the content of a folder's config.json, or of another JSON file.

    Raises:
      ValueError: the file is missing, damaged or too large.
    """
    file = os.path.join(folder, name)
    try:
        if os.path.getsize(file) > MAX_CONFIG:
            raise ValueError(f"the file has more than {MAX_CONFIG} bytes")
        with open(file, encoding="utf-8") as stream:
            config = json.load(stream)
        if name == "config.json" and not isinstance(config, dict):
            raise ValueError("the file contains no JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{field}: {file!r} is missing or damaged: {error}") from error
    return config


def pooling_of(folder: str, field: str = "model.backbone") -> str:
    """Returns the pooling with which the weights were trained.

    This is what sentence-transformers wrote into the folder; if it wrote nothing, `mean`, which
    gives better frozen features than the first token.

    Raises:
      ValueError: the weights were trained with a pooling that `encoder` lacks.
    """
    if not os.path.isfile(os.path.join(folder, "modules.json")):
        return "mean"
    modules = config_of(folder, field, "modules.json")
    for module in modules if isinstance(modules, list) else ():
        if isinstance(module, dict) and str(module.get("type", "")).endswith("Pooling"):
            # The folder of this module lies inside of the model's folder, whatever `path` says.
            part = os.path.basename(str(module.get("path", "")))
            config = config_of(os.path.join(folder, part), field)
            modes = [
                key for key, value in config.items() if key.startswith("pooling_mode_") and value
            ]
            if len(modes) == 1 and modes[0] in POOLING:
                return POOLING[modes[0]]
            raise ValueError(
                f"{field}: {folder!r} was trained with {' and '.join(modes) or 'no pooling mode'}; "
                "to use it with another pooling, set model.options.pooling to mean or first"
            )
    return "mean"


def number_of(where: str, config: Mapping[str, Any], family: Family, name: str) -> int:
    """Returns one of a model's sizes, an attribute of `encoder.Sizes`, from its config.json.

    Args:
      where: the beginning of a message, which names the file.

    Raises:
      ValueError: the size is missing, or outside its range.
    """
    value, most = config.get(family.fields[name]), LARGEST.get(name, LARGEST["width"])
    if type(value) is not int or not 1 <= value <= most:
        raise ValueError(
            f"{where}: expected {family.fields[name]} to be a whole number in 1..{most}, received "
            f"{value!r}"
        )
    return value


# --- weights


def named(
    folder: str,
    sizes: Sizes,
    family: Family,
    settings: Any,
    field: str = "model.weights",
    vocabulary: str | None = None,
) -> list[tuple[str, list["np.ndarray"]]]:
    """Returns the arrays of an encoder's layers, by name of the layer, in the encoder's order.

    Args:
      sizes: the sizes of the encoder.
      settings: the config section `text`, with the vocabulary.
      field: the field of the config that names the folder, for messages.
      vocabulary: location of the vocabulary of the weights; None: in the folder, if at all.

    Raises:
      ValueError: a tensor is missing or has another shape, a file is damaged, or the weights were
        trained with another vocabulary.
    """
    tensors = located(folder, sizes, family, field)
    num_rows = tensors["embeddings_tokens"][0].shape[0]
    rows = rows_of(folder, num_rows, settings, field, vocabulary)
    try:
        arrays = {
            layer: [safetensors.load(tensor) for tensor in parts]
            for layer, parts in tensors.items()
        }
    except (ValueError, OSError) as error:
        raise ValueError(f"{field}: {error}") from error
    arrays["embeddings_tokens"] = [arrays["embeddings_tokens"][0][rows]]
    positions, *segments = arrays["embeddings_positions"]
    positions = positions[len(positions) - sizes.positions :]
    # Every token is in segment 0.
    arrays["embeddings_positions"] = [positions + segments[0][0] if segments else positions]
    for parts in arrays.values():
        if len(parts) == 2 and parts[0].ndim == 2:  # PyTorch keeps (outputs, inputs).
            parts[0] = parts[0].T
    return list(arrays.items())


def rows_of(
    folder: str, num_rows: int, settings: Any, field: str, trained: str | None = None
) -> "np.ndarray":
    """Returns the row of the weights' embedding table for each id of the vocabulary.

    The vocabulary is that of the weights, or has some of its tokens.

    Args:
      num_rows: number of rows of the table.
      trained: location of the vocabulary of the weights; None: in the folder, if at all; "":
        unknown, so that only the number of rows can be compared.

    Raises:
      ValueError: the weights were trained with another vocabulary.
    """
    import numpy as np

    vocabulary = vocabularies.read(settings.vocabulary)
    files = (os.path.join(folder, name) for name in ("tokenizer.json", "vocab.txt"))
    if trained is None and any(map(os.path.isfile, files)):
        trained = folder
    if trained:
        # Tables may have unused rows at the end, so the number of rows proves nothing.
        own = vocabularies.read(trained)
        if max(own.order) < num_rows and (ids := vocabulary.ids_in(own)) is not None:
            return np.asarray(own.order)[ids]
        fits = False
    else:
        fits = sorted(vocabulary.order) == list(range(num_rows))
    if not fits:
        raise ValueError(
            f"{field}: {folder!r} was trained with another vocabulary than text.vocabulary, "
            f"{settings.vocabulary!r}: its table has {num_rows:,} tokens, the vocabulary has "
            f"{vocabulary.num_tokens:,}; use weights and vocabulary of the same model"
        )
    return np.asarray(vocabulary.order)


def located(
    folder: str, sizes: Sizes, family: Family, field: str
) -> dict[str, list[safetensors.Tensor]]:
    """Returns the tensors of each layer of an encoder, after checking their shapes.

    The keys are in the order of the encoder's layers.
    """
    try:
        tensors = safetensors.tensors_of(Path(folder))
    except (ValueError, OSError) as error:
        raise ValueError(f"{field}: {error}") from error
    table = "embeddings.word_embeddings.weight"
    # The whole model may have a head, and then the encoder's tensors have a prefix, as in `bert.`.
    prefix = next((name.removesuffix(table) for name in tensors if name.endswith(table)), "")

    def find(name: str, *shape: int | None) -> safetensors.Tensor:
        old = name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta")
        tensor = tensors.get(prefix + name) or tensors.get(prefix + old)
        if tensor is None:
            raise ValueError(f"{field}: {folder!r} has no tensor {prefix + name!r}")
        fits = len(tensor.shape) == len(shape) and all(
            expected in (None, size) for size, expected in zip(tensor.shape, shape, strict=True)
        )
        if not fits:
            wanted = tuple("any" if size is None else size for size in shape)
            raise ValueError(
                f"{field}: {prefix + name!r} in {folder!r} has the shape {tensor.shape}; "
                f"expected {wanted}"
            )
        return tensor

    def pair(name: str, outputs: int, inputs: int | None = None) -> list[safetensors.Tensor]:
        shape = (outputs,) if inputs is None else (outputs, inputs)
        return [find(f"{name}.weight", *shape), find(f"{name}.bias", outputs)]

    width = sizes.embedding or sizes.width
    positions = "embeddings.position_embeddings.weight"
    located = {
        "embeddings_tokens": [find(table, None, width)],
        "embeddings_positions": [find(positions, sizes.positions + family.reserved, width)],
        "embeddings_norm": pair("embeddings.LayerNorm", width),
    }
    segments = "embeddings.token_type_embeddings.weight"
    if prefix + segments in tensors:
        located["embeddings_positions"].append(find(segments, None, width))
    if width != sizes.width:
        located["embeddings_projection"] = pair(family.projection, sizes.width, width)
    shapes = {"inner": (sizes.inner, sizes.width), "outer": (sizes.width, sizes.inner)}
    for i in range(sizes.layers):
        for part, middle in family.parts.items():
            norm = part.endswith("norm")
            shape = (sizes.width,) if norm else shapes.get(part, (sizes.width, sizes.width))
            located[f"layer_{i}_{part}"] = pair(family.layer.format(i) + middle, *shape)
    return located
