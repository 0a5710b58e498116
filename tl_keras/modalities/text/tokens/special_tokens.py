"""Finds the special tokens of a vocabulary, such as padding, by their names or by a config."""

from collections.abc import Mapping, Sequence
from typing import Any

# Names of each special token, the most usual first.
NAMES = {
    "padding": ("[PAD]", "<pad>"),
    "start": ("[CLS]", "<s>"),
    "end": ("[SEP]", "</s>"),
    "unknown": ("[UNK]", "<unk>"),
    "mask": ("[MASK]", "<mask>"),
}
# The field of tokenizer_config.json that names each special token.
FIELDS = {
    "padding": "pad_token",
    "start": "cls_token",
    "end": "sep_token",
    "unknown": "unk_token",
    "mask": "mask_token",
}


def find(rows: Mapping[str, int], config: Mapping[str, Any]) -> dict[str, int | None]:
    """Returns the row of each special token, by the keys of `NAMES`; None if there is none.

    Args:
      rows: the row of each token.
      config: the content of tokenizer_config.json, which has precedence over the usual names. A
        field that is null means that there is no such token.
    """
    special: dict[str, int | None] = {}
    for name, field in FIELDS.items():
        names: Sequence[str] = NAMES[name]
        if field in config:
            value = config[field]
            value = value.get("content") if isinstance(value, dict) else value
            names = [value] if isinstance(value, str) else []
        special[name] = next((rows[token] for token in names if token in rows), None)
    return special


def to_config(tokens: Sequence[str], ids: Mapping[str, int | None]) -> dict[str, str | None]:
    """Returns the fields of tokenizer_config.json from which `find` finds the same tokens."""
    return {
        field: None if (i := ids[name]) is None else tokens[i] for name, field in FIELDS.items()
    }
