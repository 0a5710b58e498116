"""Tokenisers: from a text to the ids of its tokens. Only `in_graph` imports TensorFlow."""

from collections.abc import Callable, Iterable, Sequence

from tl_keras.modalities.text.tokens import bpe, wordpiece
from tl_keras.modalities.text.tokens.vocabulary import Vocabulary, read


def of(location: str) -> Vocabulary:
    """Returns the vocabulary of a location; see `vocabulary.read`."""
    return read(location)


def encoder(location: str) -> Callable[[str], list[int]]:
    """Returns a function from a text to the ids of its tokens, without start and end.

    Args:
      location: the location of the vocabulary, as `vocabulary.read` takes it.

    Raises:
      ValueError: see `vocabulary.read`.
    """
    return encoder_of(read(location))


def encoder_of(vocabulary: Vocabulary) -> Callable[[str], list[int]]:
    """Returns a function from a text to the ids of its tokens, without start and end."""
    module = wordpiece if vocabulary.kind == "wordpiece" else bpe
    return module.encoder_of(vocabulary)


def as_text(ids: Iterable[int], vocabulary: Vocabulary) -> str:
    """Returns token ids as a text for people, without start, end and padding."""
    outside = {0, vocabulary.start, vocabulary.end}
    inner = [i for i in ids if i not in outside]
    if vocabulary.kind == "wordpiece":
        return " ".join(vocabulary.tokens[i] for i in inner).replace(" ##", "")
    return bpe.as_text(inner, vocabulary)


def framed(ids: Sequence[int], vocabulary: Vocabulary, longest: int | None) -> list[int]:
    """Returns the start, the token ids of a text, and the end; cuts the text to `longest` ids.

    Args:
      ids: the token ids of a text.
      longest: largest number of ids, with start and end; None for no limit.
    """
    start = [vocabulary.start] if vocabulary.start is not None else []
    end = [vocabulary.end] if vocabulary.end is not None else []
    room = None if longest is None else max(longest - len(start) - len(end), 0)
    return [*start, *ids[:room], *end]
