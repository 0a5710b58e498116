"""Tokenisers that the package `tokenizers` of the extra `text` runs, such as BPE and Unigram."""

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

from tl_keras.modalities.text.tokens.definition import Vocabulary

SURROGATES = re.compile("[\ud800-\udfff]")
WORD_STARTS = re.compile("[\u2581\u0120]")  # Signs of SentencePiece and of GPT-2.


def check(definition: str, kind: str, file: str) -> None:
    """Checks that `tokenizers` is installed and reads a tokeniser.

    Args:
      definition: the content of tokenizer.json.
      kind: the kind of the tokeniser, for messages.
      file: the path of the file, for messages.

    Raises:
      ValueError: `tokenizers` is not installed, or refuses the tokeniser.
    """
    try:
        import tokenizers
    except ImportError:
        raise ValueError(
            f"text.vocabulary: {file} is a {kind} tokeniser, which needs the package `tokenizers`; "
            "install it: pip install 'tl-keras[text]'"
        ) from None
    try:
        tokenizers.Tokenizer.from_str(definition)
    except Exception as error:  # `tokenizers` raises no class of its own.
        raise ValueError(
            f"text.vocabulary: {file}: expected a {kind} tokeniser that `tokenizers` reads; "
            f"received: {error}"
        ) from None


@functools.lru_cache(maxsize=8)
def encoder_of(vocabulary: Vocabulary) -> Callable[[str], list[int]]:
    """Returns a function from a text to its token ids, without start and end.

    A special token that is written in a text, such as `<s>`, is read as ordinary characters.
    """
    tokenizer = _tokenizer(vocabulary)
    ids = [0] * vocabulary.num_tokens
    for i, row in enumerate(vocabulary.order):
        ids[row] = i

    def encode(text: str) -> list[int]:
        # Python's strings may have halves of surrogate pairs, which UTF-8 cannot express.
        text = SURROGATES.sub("\ufffd", text)
        return [ids[row] for row in tokenizer.encode(text, add_special_tokens=False).ids]

    return encode


@functools.lru_cache(maxsize=8)
def _tokenizer(vocabulary: Vocabulary) -> Any:
    import tokenizers

    tokenizer: Any = tokenizers.Tokenizer.from_str(vocabulary.definition)
    tokenizer.encode_special_tokens = True
    return tokenizer


def as_text(ids: Sequence[int], vocabulary: Vocabulary) -> str:
    """Returns token ids as a text for people."""
    tokenizer = _tokenizer(vocabulary)
    if tokenizer.decoder is not None:
        rows = [vocabulary.order[i] for i in ids]
        return tokenizer.decode(rows, skip_special_tokens=False).strip()
    # Without a decoder, the tokens show where a word starts, or each token is a word.
    words = [vocabulary.tokens[i] for i in ids]
    marked = any(map(WORD_STARTS.search, words))
    return WORD_STARTS.sub(" ", "".join(words)).strip() if marked else " ".join(words)
