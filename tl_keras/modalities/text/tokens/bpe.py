"""Tokenisers that the package `tokenizers` of the extra `text` runs, such as BPE and Unigram."""

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

from tl_keras.config.messages import how_to_install
from tl_keras.modalities.text.tokens.definition import Vocabulary

SURROGATES = re.compile("[\ud800-\udfff]")
# Texts on which faulty tokenisers fail: characters that no vocabulary has, and long runs, for which
# some regular expressions take exponential time.
PROBES = ("\U0010fffd \u0378", *(f"{character * 100}\u0378" for character in "a 1.\n"))
WORD_STARTS = re.compile("[\u2581\u0120]")  # Signs of SentencePiece and of GPT-2.


def check(definition: str, kind: str, file: str) -> None:
    """Checks that `tokenizers` is installed and reads a tokeniser.

    Args:
      definition: the content of tokenizer.json.
      kind: the kind of the tokeniser, for messages.
      file: the path of the file, for messages.

    Raises:
      ValueError: `tokenizers` is not installed, refuses the tokeniser, or fails on a text.
    """
    try:
        import tokenizers
    except ImportError:
        raise ValueError(
            f"text.vocabulary: {file} is a {kind} tokeniser, which needs the package `tokenizers`; "
            f"install the extra 'text', which contains it, with: {how_to_install('text')}"
        ) from None
    try:
        tokenizer = tokenizers.Tokenizer.from_str(definition)
    except Exception as error:  # `tokenizers` raises no class of its own.
        raise ValueError(
            f"text.vocabulary: {file}: expected a {kind} tokeniser that `tokenizers` reads; "
            f"received: {error}"
        ) from None
    for text in PROBES:
        _rows(tokenizer, text, file)


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
        return [ids[row] for row in _rows(tokenizer, text, "tokenizer.json")]

    return encode


def _rows(tokenizer: Any, text: str, file: str) -> list[int]:
    """Returns the rows of the tokens of a text.

    Args:
      file: the file of the tokeniser, for the message.

    Raises:
      ValueError: `tokenizers` fails on the text.
    """
    try:
        rows: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    except BaseException as error:
        # A panic of Rust code is not an `Exception`.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        start = repr(text if len(text) <= 40 else f"{text[:40]}...")
        raise ValueError(
            f"text.vocabulary: {file}: the tokeniser fails on the text {start}: {error}; use the "
            "file that belongs to the weights"
        ) from None
    return rows


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
