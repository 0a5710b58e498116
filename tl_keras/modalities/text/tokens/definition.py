"""The class `Vocabulary`, and functions that make one from the tokens of a file."""

import functools
import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal

from tl_keras.modalities.text.tokens import special_tokens

FIELD = "text.vocabulary"


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a tokeniser by id, and everything else that decides the ids of a text.

    Attributes:
      kind: `wordpiece`, or `tokenizers`: a tokeniser that only the package `tokenizers` runs.
      tokens: the tokens by id. Padding has id 0, but may have another row in a backbone's weights.
      order: for each id, the row of the embedding table of the weights.
      start, end: ids that the tokeniser puts before and after a text; None if it puts none.
      unknown: id of the token for words or characters that no other token covers; None if there is
        none.
      mask: id of the token that hides another one in masked pre-training; None if there is none.
      lowercase, strip_accents, split_chinese: how WordPiece normalises a text.
      definition: the content of tokenizer.json; empty if `kind` is `wordpiece`.
    """

    kind: Literal["wordpiece", "tokenizers"]
    tokens: tuple[str, ...]
    order: tuple[int, ...]
    start: int | None
    end: int | None
    unknown: int | None
    mask: int | None
    lowercase: bool = False
    strip_accents: bool = False
    split_chinese: bool = False
    definition: str = ""

    def __hash__(self) -> int:
        return hash(self.digest)

    @property
    def num_tokens(self) -> int:
        """Number of tokens, which is the number of rows of the embedding table."""
        return len(self.tokens)

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256, in hexadecimal digits, of everything that decides ids."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    def ids_in(self, other: "Vocabulary") -> list[int] | None:
        """Returns, for each token of this vocabulary, its id in another vocabulary.

        Returns None if the other vocabulary lacks a token, has the tokens in another order, gives a
        special token another meaning, or normalises texts in another way.
        """
        if self.digest == other.digest:
            return list(range(self.num_tokens))
        if self.kind != "wordpiece" or self._how() != other._how():
            return None
        ids = {token: i for i, token in enumerate(other.tokens)}
        same = [ids.get(token, -1) for token in self.tokens]
        return None if min(same) < 0 or same != sorted(same) else same

    def _how(self) -> tuple[Any, ...]:
        special = (0, self.start, self.end, self.unknown, self.mask)
        names = [None if i is None else self.tokens[i] for i in special]
        return (self.kind, *names, self.lowercase, self.strip_accents, self.split_chinese)


def ordered(
    kind: Literal["wordpiece", "tokenizers"],
    rows: list[str],
    special: dict[str, int | None],
    **how: Any,
) -> Vocabulary:
    """Returns the vocabulary of an embedding table's rows, with padding moved to id 0.

    The token that had id 0 takes the id that padding had.

    Args:
      rows: the token of each row of the embedding table.
      special: rows of the special tokens, by the names in `special_tokens.NAMES`.
      how: other attributes of the vocabulary.
    """
    padding = special["padding"]
    assert padding is not None
    order = list(range(len(rows)))
    order[0], order[padding] = padding, 0
    ids = {name: None if row is None else order[row] for name, row in special.items()}
    return Vocabulary(
        kind=kind,
        tokens=tuple(rows[row] for row in order),
        order=tuple(order),
        start=ids["start"],
        end=ids["end"],
        unknown=ids["unknown"],
        mask=ids["mask"],
        **how,
    )


def how_of(rows: list[str], config: dict[str, Any]) -> dict[str, bool]:
    """Returns how WordPiece normalises a text, from tokenizer_config.json or from the tokens.

    Without `do_lower_case` in the config, a vocabulary is lower-cased if no token has a capital
    letter, apart from tokens in brackets such as `[CLS]`.
    """
    capitals = any(token != token.lower() for token in rows if not token.startswith("["))
    lowercase = config.get("do_lower_case")
    lowercase = not capitals if lowercase is None else bool(lowercase)
    strip_accents, split_chinese = (
        config.get(name) for name in ("strip_accents", "tokenize_chinese_chars")
    )
    return {
        "lowercase": lowercase,
        "strip_accents": lowercase if strip_accents is None else bool(strip_accents),
        "split_chinese": True if split_chinese is None else bool(split_chinese),
    }


def wordpiece(
    rows: list[str], special: dict[str, int | None], file: str, how: dict[str, bool]
) -> Vocabulary:
    """Returns a vocabulary of the kind `wordpiece`.

    Args:
      file: where the vocabulary comes from, for messages.
      how: the attributes `lowercase`, `strip_accents` and `split_chinese`.

    Raises:
      ValueError: the vocabulary has no token for unknown words, or none for padding.
    """
    for name, purpose in (("unknown", "unknown words"), ("padding", "padding")):
        if special[name] is None:
            raise ValueError(
                f"{FIELD}: {file}: no token stands for {purpose}; expected "
                f"{special_tokens.NAMES[name][0]} among the {len(rows):,} tokens; use the "
                "vocabulary that belongs to the weights"
            )
    return ordered("wordpiece", rows, special, **how)
