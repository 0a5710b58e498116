"""Folders of tiny text models in Hugging Face's form, and BERT's forward pass in plain NumPy."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz", "##a", "##b")
TEXTS = np.array(
    [[2, 7, 9, 5, 11, 3, 0, 0], [2, 31, 6, 3, 0, 0, 0, 0], [2, 5, 6, 7, 8, 9, 10, 3]], np.int32
)
BERT = {
    "model_type": "bert",
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 16,
    "layer_norm_eps": 1e-12,
    "hidden_act": "gelu",
    "vocab_size": len(WORDS),
}
DISTILBERT = {
    "model_type": "distilbert",
    "dim": 16,
    "n_layers": 2,
    "n_heads": 4,
    "hidden_dim": 24,
    "max_position_embeddings": 16,
    "activation": "gelu",
}
ELECTRA = BERT | {"model_type": "electra", "embedding_size": 8}
ALBERT = ELECTRA | {
    "model_type": "albert",
    "hidden_act": "gelu_new",
    "num_hidden_groups": 1,
    "inner_group_num": 1,
}
# Padding is row 1 of the table, and the first two positions are never used.
ROBERTA = BERT | {
    "model_type": "roberta",
    "max_position_embeddings": 18,
    "pad_token_id": 1,
    "layer_norm_eps": 1e-5,
}


@dataclass(frozen=True)
class Settings:
    """The fields of the config section `text` that backbones read."""

    vocabulary: str
    length: int | str = "auto"
    modality: str = "text"
    shape: tuple = (None,)
    dtype: str = "int32"


def write_vocabulary(folder: Path, words=WORDS) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")


def arrays_of(config: dict, seed: int = 0) -> dict[str, np.ndarray]:
    """Returns random tensors, by the names that Hugging Face gives them."""
    generator = np.random.default_rng(seed)
    distilled = config["model_type"] == "distilbert"
    width = config["dim" if distilled else "hidden_size"]
    inner = config["hidden_dim" if distilled else "intermediate_size"]
    table = config.get("embedding_size", width)
    arrays = {}

    def random(*shape):
        return generator.normal(size=shape, scale=0.3).astype(np.float32)

    def linear(name, outputs, inputs):
        arrays[f"{name}.weight"], arrays[f"{name}.bias"] = random(outputs, inputs), random(outputs)

    def norm(name, size):
        arrays[f"{name}.weight"], arrays[f"{name}.bias"] = 1 + random(size), random(size)

    num_tokens = config.get("vocab_size", len(WORDS))
    arrays["embeddings.word_embeddings.weight"] = random(num_tokens, table)
    positions = config["max_position_embeddings"]
    arrays["embeddings.position_embeddings.weight"] = random(positions, table)
    if not distilled:
        arrays["embeddings.token_type_embeddings.weight"] = random(2, table)
    norm("embeddings.LayerNorm", table)
    if table != width:
        linear(_projection(config), width, table)
    # All layers of ALBERT share their weights.
    shared = config["model_type"] == "albert"
    for i in range(1 if shared else config["n_layers" if distilled else "num_hidden_layers"]):
        names = _names(i, config["model_type"])
        for part in ("query", "key", "value", "attention"):
            linear(names[part], width, width)
        norm(names["attention_norm"], width)
        linear(names["inner"], inner, width)
        linear(names["outer"], width, inner)
        norm(names["norm"], width)
    return arrays


def _projection(config: dict) -> str:
    shared = config["model_type"] == "albert"
    return "encoder.embedding_hidden_mapping_in" if shared else "embeddings_project"


def _names(i: int, model_type: str) -> dict[str, str]:
    if model_type == "albert":
        start = "encoder.albert_layer_groups.0.albert_layers.0."
        names = {name: f"attention.{name}" for name in ("query", "key", "value")}
        names |= {"attention": "attention.dense", "attention_norm": "attention.LayerNorm"}
        names |= {"inner": "ffn", "outer": "ffn_output", "norm": "full_layer_layer_norm"}
    elif model_type == "distilbert":
        start = f"transformer.layer.{i}."
        names = {f"{name}": f"attention.{name[0]}_lin" for name in ("query", "key", "value")}
        names |= {"attention": "attention.out_lin", "attention_norm": "sa_layer_norm"}
        names |= {"inner": "ffn.lin1", "outer": "ffn.lin2", "norm": "output_layer_norm"}
    else:
        start = f"encoder.layer.{i}."
        names = {name: f"attention.self.{name}" for name in ("query", "key", "value")}
        names |= {"attention": "attention.output.dense", "inner": "intermediate.dense"}
        names |= {"attention_norm": "attention.output.LayerNorm", "outer": "output.dense"}
        names |= {"norm": "output.LayerNorm"}
    return {part: start + name for part, name in names.items()}


def write_safetensors(file: Path, arrays: dict[str, np.ndarray], dtype: str = "F32") -> None:
    header, content, start = {"__metadata__": {"format": "pt"}}, b"", 0
    for name, array in arrays.items():
        if dtype == "BF16":
            data = (array.astype(np.float32).view(np.uint32) >> 16).astype("<u2").tobytes()
        else:
            data = array.astype({"F32": "<f4", "F16": "<f2", "I64": "<i8"}[dtype]).tobytes()
        end = start + len(data)
        header[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": [start, end]}
        content, start = content + data, end
    encoded = json.dumps(header).encode()
    file.write_bytes(len(encoded).to_bytes(8, "little") + encoded + content)


def write_model(folder: Path, config: dict, words=WORDS, dtype: str = "F32", prefix: str = ""):
    """Writes a folder with random weights, and returns the weights by name."""
    write_vocabulary(folder, words)
    (folder / "config.json").write_text(json.dumps(config))
    arrays = arrays_of(config)
    named = {prefix + name: array for name, array in arrays.items()}
    write_safetensors(folder / "model.safetensors", named, dtype)
    return arrays


# --- the forward pass


def features(config: dict, arrays: dict, rows: np.ndarray, pooling: str = "mean") -> np.ndarray:
    """Returns BERT's features of one text without padding, computed in float64.

    Args:
      rows: rows of the embedding table, `(length,)`.
    """
    arrays = {name: array.astype(np.float64) for name, array in arrays.items()}
    distilled = config["model_type"] == "distilbert"
    heads = config["n_heads" if distilled else "num_attention_heads"]
    epsilon = config.get("layer_norm_eps", 1e-12)

    def linear(x, name):
        return x @ arrays[f"{name}.weight"].T + arrays[f"{name}.bias"]

    def norm(x, name):
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + epsilon)
        return x * arrays[f"{name}.weight"] + arrays[f"{name}.bias"]

    first = config.get("pad_token_id", -1) + 1
    positions = arrays["embeddings.position_embeddings.weight"]
    x = arrays["embeddings.word_embeddings.weight"][rows] + positions[first : first + len(rows)]
    if not distilled:
        x = x + arrays["embeddings.token_type_embeddings.weight"][0]
    x = norm(x, "embeddings.LayerNorm")
    if f"{_projection(config)}.weight" in arrays:
        x = linear(x, _projection(config))
    for i in range(config["n_layers" if distilled else "num_hidden_layers"]):
        names = _names(i, config["model_type"])
        query, key, value = (
            np.stack(np.split(linear(x, names[part]), heads, axis=-1))
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 2, 1) / math.sqrt(query.shape[-1])
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        joined = np.concatenate(list(shares / shares.sum(-1, keepdims=True) @ value), axis=-1)
        x = norm(x + linear(joined, names["attention"]), names["attention_norm"])
        y = linear(x, names["inner"])
        if config.get("hidden_act") == "relu":
            y = np.maximum(y, 0)
        elif config.get("hidden_act") == "gelu_new":
            y = y / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (y + 0.044715 * y**3)))
        else:
            y = y / 2 * (1 + np.vectorize(math.erf)(y / math.sqrt(2)))
        x = norm(x + linear(y, names["outer"]), names["norm"])
    return x[0] if pooling == "first" else x.mean(0)
