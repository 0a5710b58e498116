"""Makes a smaller vocabulary of the tokens that are most frequent in some texts."""

from collections import Counter
from collections.abc import Iterable

from tl_keras.modalities.text import tokens
from tl_keras.modalities.text.tokens.definition import FIELD, Vocabulary, wordpiece


def pruned(vocabulary: Vocabulary, texts: Iterable[str], count: int) -> Vocabulary:
    """Returns a vocabulary of at most `count` tokens, in the order of their ids in `vocabulary`.

    The vocabulary has the special tokens and all single characters, from which a WordPiece makes
    each word that lacks a token of its own. The other tokens are the most frequent in the texts; of
    equally frequent ones, those with the lowest ids.

    Raises:
      ValueError: the tokeniser is not a WordPiece, or `count` is too small for the characters.
    """
    if vocabulary.kind != "wordpiece":
        raise ValueError(
            f"text.tokens: only the vocabulary of a WordPiece can be made smaller, but {FIELD} "
            "belongs to another kind of tokeniser; expected null"
        )
    special = {
        "padding": 0,
        **{name: getattr(vocabulary, name) for name in ("start", "end", "unknown", "mask")},
    }
    kept = {i for i in special.values() if i is not None}
    kept |= {i for i, token in enumerate(vocabulary.tokens) if len(token.removeprefix("##")) == 1}
    if count < len(kept):
        raise ValueError(
            f"text.tokens: the vocabulary has {len(kept):,} special tokens and single characters, "
            f"which are always kept; expected at least {len(kept):,}, received {count:,}"
        )
    encode = tokens.encoder_of(vocabulary)
    seen = Counter(i for text in texts for i in encode(text))
    frequent = sorted(set(seen) - kept, key=lambda i: (-seen[i], i))
    ids = sorted(kept | set(frequent[: count - len(kept)]))
    places = {i: row for row, i in enumerate(ids)}
    how = {
        name: getattr(vocabulary, name) for name in ("lowercase", "strip_accents", "split_chinese")
    }
    rows = {name: None if i is None else places[i] for name, i in special.items()}
    return wordpiece([vocabulary.tokens[i] for i in ids], rows, FIELD, how)
