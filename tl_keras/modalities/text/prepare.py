"""Prepares texts without randomness: encodes them as token ids, `(length,) int32`."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from tl_keras.modalities.text import tokens
from tl_keras.modalities.text.check import Checked
from tl_keras.modalities.text.config import KEPT, TextConfig
from tl_keras.modalities.text.originals import decoded
from tl_keras.modalities.text.tokens.pruning import pruned
from tl_keras.modalities.text.tokens.vocabulary import CONFIG, write


def keep(settings: TextConfig, folder: Path) -> None:
    """Writes the vocabulary into the folder of a run, which then holds all that its model needs."""
    vocabulary = tokens.of(settings.vocabulary)
    if vocabulary.kind == "wordpiece":  # The run's model has a row for each token.
        vocabulary = replace(vocabulary, order=tuple(range(vocabulary.num_tokens)))
    write(vocabulary, folder / KEPT)


def by(settings: TextConfig) -> dict[str, str]:
    """Returns the digest of the vocabulary, on which prepared texts depend besides the settings."""
    return {"vocabulary": tokens.of(settings.vocabulary).digest}


def unchanging(settings: TextConfig) -> dict[str, str]:
    """Returns the digest of the vocabulary, since other ids would not fit what is trained."""
    return by(settings)


def decoder(
    checked: Sequence[Checked], settings: TextConfig, fraction: bool
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Returns a graph function from (index of a file, its content) to the token ids.

    Args:
      fraction: whether texts that are longer than `text.length` are cut off, as for training;
        otherwise `windows` divides them.
    """
    length, ids_of = settings.longest if fraction else None, encoding(settings)

    def encode(content: bytes | np.ndarray) -> np.ndarray:
        return ids_of(decoded(np.asarray(content, object).item()), length)

    def one(i: tf.Tensor, content: tf.Tensor) -> tf.Tensor:
        ids = tf.numpy_function(encode, [content], tf.int32, stateful=False)
        return tf.ensure_shape(ids, (None,))

    return one


def encoding(settings: TextConfig) -> Callable[[str, int | None], np.ndarray]:
    """Returns a function from a text to its token ids with start and end, `(length,) int32`.

    The second argument of the function is the largest number of tokens; None for no limit. Longer
    texts are cut off. The vocabulary is looked up once for all texts.
    """
    vocabulary = tokens.of(settings.vocabulary)
    encode = tokens.encoder_of(vocabulary)

    def ids_of(text: str, length: int | None) -> np.ndarray:
        return np.array(tokens.framed(encode(text), vocabulary, length), np.int32)

    return ids_of


def encoded(text: str, settings: TextConfig, length: int | None) -> np.ndarray:
    """Returns the token ids of one text, see `encoding`."""
    return encoding(settings)(text, length)


def windows(ids: np.ndarray, settings: TextConfig) -> list[np.ndarray]:
    """Returns the windows of a text: each has start and end, and at most `text.length` tokens.

    The windows of a text have about the same length and do not overlap.

    Args:
      ids: the token ids of the whole text, with its start and its end.
    """
    if settings.longest is None or len(ids) <= settings.longest:
        return [ids]
    vocabulary = tokens.of(settings.vocabulary)
    start, end = vocabulary.start is not None, vocabulary.end is not None
    inner = ids[int(start) : len(ids) - int(end)]
    count = -(-len(inner) // (settings.longest - start - end))
    return [
        np.array(tokens.framed(part.tolist(), vocabulary, None), np.int32)
        for part in np.array_split(inner, count)
    ]


def shortened(ids: np.ndarray, settings: TextConfig) -> np.ndarray:
    """Returns the start of a text, at most `text.length` tokens with its start and its end."""
    if settings.longest is None or len(ids) <= settings.longest:
        return ids
    vocabulary = tokens.of(settings.vocabulary)
    inner = ids[int(vocabulary.start is not None) :].tolist()
    return np.array(tokens.framed(inner, vocabulary, settings.longest), np.int32)


def prepare(text: Any, settings: TextConfig) -> np.ndarray:
    """Returns the token ids of a whole text, which is already decoded, `(length,) int32`."""
    return encoded(str(text), settings, None)


def for_students(settings: TextConfig, contents: Iterable[bytes], folder: Path) -> None:
    """Writes the smaller vocabulary of students, unless it exists or `text.tokens` is not set.

    Args:
      settings: the settings with the vocabulary of the students' backbone.
      contents: the training texts.
      folder: the folder of the run of `parallel`.
    """
    target = folder / KEPT
    if settings.tokens is None or (target / CONFIG).is_file():  # `write` writes this file last.
        return
    whole = tokens.of(settings.vocabulary)
    smaller = pruned(whole, map(decoded, contents), settings.tokens)
    write(smaller, target)
    counts = smaller.num_tokens, whole.num_tokens
    logging.info("vocabulary of the students: %d of %d tokens", *counts)


def is_served(settings: TextConfig) -> bool:
    """Returns whether `served` works: the tokeniser is a WordPiece."""
    return tokens.of(settings.vocabulary).kind == "wordpiece"


def served(contents: tf.Tensor, settings: TextConfig) -> tf.Tensor:
    """Returns the token ids of texts with TensorFlow operators only, padded to the longest.

    A text is cut off after `text.length` tokens.

    Args:
      contents: the texts in UTF-8, `(batch,) string`.
    """
    from tl_keras.modalities.text.tokens import in_graph

    return in_graph.encode_batch(contents, tokens.of(settings.vocabulary), settings.longest)


def embedded(texts: np.ndarray, settings: TextConfig) -> list[np.ndarray]:
    """Returns the token ids of each text; a source generated the texts, as bytes in UTF-8."""
    ids_of = encoding(settings)
    return [ids_of(decoded(text), None) for text in texts]
