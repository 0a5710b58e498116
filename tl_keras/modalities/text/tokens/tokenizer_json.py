"""Reads tokenizer.json, the file in which Hugging Face's `tokenizers` writes any tokeniser."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tl_keras.modalities.text.tokens import bpe, special_tokens
from tl_keras.modalities.text.tokens.definition import (
    FIELD,
    Vocabulary,
    how_of,
    ordered,
    wordpiece,
)

KINDS = ("WordPiece", "BPE", "Unigram", "WordLevel")
# Options with which wordpiece.py gives the same ids as `tokenizers`.
PREFIX, LONGEST_WORD = "##", 100


def vocabulary(content: Any, file: str, config: Mapping[str, Any]) -> Vocabulary:
    """Returns the vocabulary of tokenizer.json.

    Args:
      content: the content of the file.
      file: the path of the file, for messages.
      config: the content of tokenizer_config.json beside it; {} if there is none.

    Raises:
      ValueError: the file is damaged, or this package cannot run the tokeniser.
    """
    model = content.get("model") if isinstance(content, dict) else None
    if not isinstance(model, dict) or not isinstance(model.get("vocab"), dict | list):
        raise ValueError(
            f"{FIELD}: {file}: expected `model` with `vocab`, as `tokenizers` writes them; "
            f"received {str(content)[:60]}"
        )
    kind = model.get("type") or _guessed(model)
    if kind not in KINDS:
        raise ValueError(
            f"{FIELD}: {file}: unknown kind of tokeniser {kind!r}; expected {', '.join(KINDS)}"
        )
    rows = _rows(content, file)
    places = {token: row for row, token in enumerate(rows)}
    special = {**special_tokens.find(places, config), **_ends(content, places, file)}
    if kind == "Unigram":
        special["unknown"] = model.get("unk_id")
    elif isinstance(token := model.get("unk_token"), str):
        special["unknown"] = places.get(token)
    elif kind == "BPE":
        special["unknown"] = None
    if kind == "WordPiece" and _is_plain(content):
        how = how_of(rows, {**_how(content["normalizer"]), **_given(config)})
        return wordpiece(rows, special, file, how)
    if special["padding"] is None:
        raise ValueError(
            f"{FIELD}: {file}: no token stands for padding; expected `pad_token` in "
            f"tokenizer_config.json, or a token {' or '.join(special_tokens.NAMES['padding'])}"
        )
    kept = {name: part for name, part in content.items() if name not in ("truncation", "padding")}
    definition = json.dumps(kept, ensure_ascii=False, sort_keys=True)
    bpe.check(definition, kind, file)
    return ordered("tokenizers", rows, special, definition=definition)


def _guessed(model: Mapping[str, Any]) -> str | None:
    """Returns the kind of a tokeniser in an old file, which does not name it."""
    if isinstance(model["vocab"], list):
        return "Unigram"
    if "merges" in model:
        return "BPE"
    return "WordPiece" if "continuing_subword_prefix" in model else None


def _entries(content: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Yields the tokens and their ids."""
    tokens = content["model"]["vocab"]
    if isinstance(tokens, dict):
        yield from tokens.items()
    else:
        yield from ((entry[0], i) for i, entry in enumerate(tokens))
    yield from ((entry["content"], entry["id"]) for entry in content.get("added_tokens") or ())


def _rows(content: Mapping[str, Any], file: str) -> list[str]:
    """Returns the tokens by id."""
    ids: dict[int, str] = {}
    try:
        for token, i in _entries(content):
            if not isinstance(token, str) or not token or type(i) is not int or i < 0:
                raise ValueError(f"the token {token!r} has the id {i!r}")
            if ids.setdefault(i, token) != token:
                raise ValueError(f"the tokens {ids[i]!r} and {token!r} both have the id {i}")
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(
            f"{FIELD}: {file}: expected tokens with an id each; received: {error}"
        ) from None
    missing = next((i for i in range(len(ids)) if i not in ids), None)
    if missing is not None or not ids:
        raise ValueError(
            f"{FIELD}: {file}: expected tokens with the ids 0, 1, 2 and so on; received "
            f"{len(ids):,} tokens, none with the id {missing or 0}"
        )
    return [ids[i] for i in range(len(ids))]


def _ends(
    content: Mapping[str, Any], places: Mapping[str, int], file: str
) -> dict[str, int | None]:
    """Returns the rows of the tokens that the post-processor puts before and after a text."""
    processor = content.get("post_processor")
    try:
        before, after = _around(processor)
        lacking = {*before, *after} - {None} - places.keys()
    except (AttributeError, KeyError, IndexError, TypeError, ValueError):
        raise ValueError(
            f"{FIELD}: {file}: expected `post_processor` as `tokenizers` writes it; received "
            f"{str(processor)[:60]}"
        ) from None
    if len(before) > 1 or len(after) > 1 or None in after:
        raise ValueError(
            f"{FIELD}: {file}: expected a tokeniser that puts at most one token before a text and "
            f"one after it; received {before} and {after}"
        )
    if lacking:
        raise ValueError(
            f"{FIELD}: {file}: `post_processor` puts {min(lacking, key=str)!r} around a text; "
            "expected a token of the vocabulary; use the file that belongs to the weights"
        )
    start, end = (places[names[0]] if names else None for names in (before, after))
    return {"start": start, "end": end}


def _around(processor: Any) -> tuple[list[Any], list[Any]]:
    """Returns the tokens that a post-processor puts before a text, and those after it.

    None stands for a text, if the post-processor repeats the text.
    """
    before: list[Any] = []
    after: list[Any] = []
    for step in _steps(processor):
        if step.get("type") in ("BertProcessing", "RobertaProcessing"):
            before, after = [step["cls"][0]], [step["sep"][0]]
        elif step.get("type") == "TemplateProcessing":
            names = [part.get("SpecialToken", {}).get("id") for part in step["single"]]
            middle = names.index(None)
            before, after = names[:middle], names[middle + 1 :]
    return before, after


def _steps(processor: Any) -> list[dict[str, Any]]:
    if not isinstance(processor, dict):
        return []
    return processor["processors"] if processor.get("type") == "Sequence" else [processor]


def _is_plain(content: Mapping[str, Any]) -> bool:
    """Returns whether wordpiece.py gives the same ids as `tokenizers`.

    The token for unknown words plays no part: `wordpiece` refuses a vocabulary without this token.
    """
    model, steps = content["model"], (content.get("normalizer"), content.get("pre_tokenizer"))
    normaliser, splitter = (step if isinstance(step, dict) else {} for step in steps)
    kinds = [normaliser.get("type"), splitter.get("type")]
    return (
        kinds == ["BertNormalizer", "BertPreTokenizer"]
        and bool(normaliser.get("clean_text"))
        and model.get("continuing_subword_prefix", PREFIX) == PREFIX
        and model.get("max_input_chars_per_word", LONGEST_WORD) == LONGEST_WORD
        # Other added tokens are found in a text before it is split into words.
        and all(entry.get("special") for entry in content.get("added_tokens") or ())
        # vocab.txt cannot contain line ends.
        and not any("\n" in token or "\r" in token for token in model["vocab"])
    )


def _how(normaliser: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options of a BertNormalizer, as fields of tokenizer_config.json."""
    return {
        "do_lower_case": normaliser.get("lowercase"),
        "strip_accents": normaliser.get("strip_accents"),
        "tokenize_chinese_chars": normaliser.get("handle_chinese_chars"),
    }


def _given(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of a config that replace options of the normaliser in `transformers`."""
    names = ("do_lower_case", "strip_accents", "tokenize_chinese_chars")
    return {name: config[name] for name in names if config.get(name) is not None}
