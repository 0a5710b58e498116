"""Prepares texts without randomness: encodes them as token ids, `(length,) int32`."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tl_keras.modalities.text.check import Checked
from tl_keras.modalities.text.config import TextConfig
from tl_keras.modalities.text.tokens import encoder, in_graph
from tl_keras.modalities.text.tokens.vocabulary import read


def by(settings: TextConfig) -> dict[str, str]:
    """Returns what a prepared text depends on, besides the settings: the vocabulary's content."""
    return {"vocabulary": read(settings.vocabulary).digest}


def decoder(
    checked: Sequence[Checked], settings: TextConfig, fraction: bool
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Returns a graph function from (index of a file, its content) to the token ids."""

    def encode(content: bytes | np.ndarray) -> np.ndarray:
        return encoded(text_of(np.asarray(content, object).item()), settings)

    def one(i: tf.Tensor, content: tf.Tensor) -> tf.Tensor:
        ids = tf.numpy_function(encode, [content], tf.int32, stateful=False)
        return tf.ensure_shape(ids, (None,))

    return one


def text_of(content: bytes) -> str:
    """Returns the text of a file; bytes that are not UTF-8 become U+FFFD."""
    return content.decode("utf-8-sig", "replace")


def encoded(text: str, settings: TextConfig) -> np.ndarray:
    """Returns the token ids of a text with its start and its end, `(length,) int32`.

    A text of more than `settings.length` tokens is cut off.
    """
    vocabulary = read(settings.vocabulary)
    ids = encoder(settings.vocabulary)(text)
    ends = [end for end in (vocabulary.start, vocabulary.end) if end is not None]
    ids = ids[: settings.length - len(ends)]
    start = [] if vocabulary.start is None else [vocabulary.start]
    end = [] if vocabulary.end is None else [vocabulary.end]
    return np.array([*start, *ids, *end], np.int32)


def prepare(text: Any, settings: TextConfig) -> np.ndarray:
    """Returns the token ids of a text that is already decoded."""
    return encoded(str(text), settings)


def served(content: tf.Tensor, settings: TextConfig) -> tf.Tensor:
    """Returns the token ids of a text with TensorFlow operators only.

    Args:
      content: the text in UTF-8, a scalar string.
    """
    return in_graph.encode(content, read(settings.vocabulary), settings.length)


def embedded(texts: np.ndarray, settings: TextConfig) -> list[np.ndarray]:
    """Returns the token ids of texts that a source generated, as bytes in UTF-8."""
    return [encoded(text_of(text), settings) for text in texts]
