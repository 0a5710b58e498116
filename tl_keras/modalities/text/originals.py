"""Reads the original texts of a data set, by which people know an example."""

from collections.abc import Callable

from tl_keras.data.contents import reader
from tl_keras.data.examples import Dataset, Example


def original(dataset: Dataset) -> Callable[[Example], str]:
    """Returns a function from an example of a data set to its text.

    The function raises OSError if the text cannot be read.
    """
    if dataset.root is None:
        return lambda example: decoded(dataset.raw[example.index])
    content = reader(dataset.root)
    return lambda example: decoded(content(example.file))


def decoded(content: bytes) -> str:
    """Returns the text of a file; bytes that are not UTF-8 become U+FFFD."""
    return content.decode("utf-8-sig", "replace")
