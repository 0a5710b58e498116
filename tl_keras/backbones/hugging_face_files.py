"""Reads config.json of a text model's folder in Hugging Face's form: the family and the sizes.

Importing this module imports neither Keras nor TensorFlow.
"""

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tl_keras.backbones import encoder
from tl_keras.backbones.encoder import Sizes
from tl_keras.backbones.model_file import MAX_CONFIG
from tl_keras.backbones.options import Value

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


def sizes_of(folder: str, options: Mapping[str, Value], field: str = "model.backbone") -> Sizes:
    """Returns the sizes of a folder's model, with the layers and the pooling of `options`.

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
    check_heads(where, family, numbers)
    positions = numbers["positions"] - family.reserved
    if positions < 1:
        raise ValueError(
            f"{where}: expected {family.fields['positions']} to be more than {family.reserved}, "
            f"since so many positions are reserved; received {numbers['positions']}"
        )
    embedding = "embedding" in family.fields and number_of(where, config, family, "embedding")
    return Sizes(
        layers=min(numbers["layers"], int(options.get("layers", numbers["layers"]))),
        width=numbers["width"],
        heads=numbers["heads"],
        inner=numbers["inner"],
        positions=positions,
        pooling=str(options.get("pooling") or pooling_of(folder, field)),
        embedding=embedding or None,
        activation=_activation_of(where, config, family),
        epsilon=_epsilon_of(where, config, family),
    )


def _activation_of(where: str, config: Mapping[str, Any], family: Family) -> encoder.Activation:
    name = config.get(family.fields["activation"], "gelu")
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise ValueError(
            f"{where} has the activation {name!r}; expected one of {', '.join(ACTIVATIONS)}"
        )
    return ACTIVATIONS[name]


def _epsilon_of(where: str, config: Mapping[str, Any], family: Family) -> float:
    """Returns the number that layer normalisation adds to the variance; the default is 1e-12."""
    field = family.fields.get("epsilon")
    epsilon = 1e-12 if field is None else config.get(field, 1e-12)
    if not isinstance(epsilon, float) or not 0 < epsilon < 1:
        raise ValueError(
            f"{where}: expected {field} to be a number between 0 and 1, received {epsilon!r}"
        )
    return epsilon


def check_heads(where: str, family: Family, numbers: Mapping[str, int]) -> None:
    """Raises ValueError if the number of heads does not divide the width.

    Args:
      where: the beginning of a message, which names the file.
      numbers: the sizes of the model, by attribute of `encoder.Sizes`.
    """
    if numbers["width"] % numbers["heads"]:
        raise ValueError(
            f"{where}: expected {family.fields['heads']} to divide {family.fields['width']}, "
            f"{numbers['width']}; received {numbers['heads']}"
        )


def family_of(folder: str, field: str = "model.backbone") -> Family:
    """Returns the family of a folder's model, from its config.json.

    Raises:
      ValueError: config.json is missing or damaged, or the family is unknown.
    """
    config = config_of(folder, field)
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in FAMILIES:
        raise ValueError(
            f"{field}: {folder!r} has a model of the type {kind!r}; expected one of "
            f"{', '.join(FAMILIES)}, or model2vec"
        )
    family, padding = FAMILIES[kind], config.get("pad_token_id")
    if family.reserved and type(padding) is int and 0 <= padding < 8:
        # The positions of tokens begin after the position of padding.
        return dataclasses.replace(family, reserved=padding + 1)
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
    """Returns the pooling with which the weights were trained, as sentence-transformers wrote it.

    If the folder does not say, returns `mean`, which gives better frozen features than `first`.

    Raises:
      ValueError: the weights were trained with a pooling that `encoder` lacks.
    """
    if not os.path.isfile(os.path.join(folder, "modules.json")):
        return "mean"
    modules = config_of(folder, field, "modules.json")
    for module in modules if isinstance(modules, list) else ():
        if isinstance(module, dict) and str(module.get("type", "")).endswith("Pooling"):
            # The folder of this module lies inside of the model's folder, whatever `path` says.
            part = Path(os.path.normpath(f"/{module.get('path', '')}")).name
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
