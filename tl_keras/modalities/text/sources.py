"""Texts that do not come from a user's files, and texts of TensorFlow Datasets.

`intents` are short texts to the assistant of a shop, with the intent of each text as its class.
"""

from typing import Any

from tl_keras.modalities.drawn_source import Drawn
from tl_keras.modalities.text.drawn import intents

FEATURE = "text"  # name of the feature in TensorFlow Datasets


def is_feature(feature: Any) -> bool:
    """Returns whether a feature of TensorFlow Datasets holds texts."""
    import tensorflow_datasets as tfds

    return isinstance(feature, tfds.features.Text)


def check_feature(feature: Any, name: str) -> None:
    """Accepts every feature that holds texts."""


def suffix_of(content: bytes) -> str:
    """Returns the file suffix for an unpacked text."""
    return ".txt"


def read_intents(config: Any) -> Drawn:
    """Returns the texts of `data.source: intents`, which are still to be split."""
    texts, labels = intents.texts()
    files = [f"intents/{i:03d}" for i in range(len(labels))]
    return Drawn(intents.CLASSES, texts, labels, files)


SOURCES = {"intents": read_intents}
