"""Tokenisers: from a text to the ids of its tokens. Only `in_graph` imports TensorFlow."""

import functools
from collections.abc import Callable, Sequence

from tl_keras.modalities.text.tokens import bpe, wordpiece
from tl_keras.modalities.text.tokens.vocabulary import (
    CONFIG,
    EMBEDDED,
    Vocabulary,
    file_of,
    read,
)

Stamp = tuple[tuple[int, int], ...]


def of(location: str) -> Vocabulary:
    """Returns the vocabulary of a location, read again only if its files have changed.

    Raises:
      ValueError: see `vocabulary.read`.
    """
    return _read(location, _stamp(location))


def encoder(location: str) -> Callable[[str], list[int]]:
    """Returns a function from a text to the ids of its tokens, without start and end.

    Args:
      location: the location of the vocabulary, as `vocabulary.read` takes it.

    Raises:
      ValueError: see `vocabulary.read`.
    """
    return encoder_of(of(location))


def encoder_of(vocabulary: Vocabulary) -> Callable[[str], list[int]]:
    """Returns a function from a text to the ids of its tokens, without start and end."""
    module = wordpiece if vocabulary.kind == "wordpiece" else bpe
    return module.encoder_of(vocabulary)


def framed(ids: Sequence[int], vocabulary: Vocabulary, longest: int | None) -> list[int]:
    """Returns an encoded text: start, token ids, end; tokens that exceed `longest` ids are cut.

    Args:
      ids: the token ids of a text.
      longest: largest number of ids, with start and end; None for no limit.
    """
    start = [vocabulary.start] if vocabulary.start is not None else []
    end = [vocabulary.end] if vocabulary.end is not None else []
    room = None if longest is None else max(longest - len(start) - len(end), 0)
    return [*start, *ids[:room], *end]


def _stamp(location: str) -> Stamp:
    """Returns time and size of the files of a vocabulary, which change when they are edited."""
    if location in EMBEDDED:
        return ()
    file = file_of(location)
    files = [path for path in (file, file.with_name(CONFIG)) if path.is_file()]
    return tuple((path.stat().st_mtime_ns, path.stat().st_size) for path in files)


@functools.lru_cache(maxsize=8)
def _read(location: str, stamp: Stamp) -> Vocabulary:
    return read(location)
