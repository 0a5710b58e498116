"""Texts that do not come from a user's files, and texts of TensorFlow Datasets."""

from typing import Any

SOURCES: dict[str, Any] = {}
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
