"""What an example's target is: the place of its class among the names. No Keras at import."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

DTYPE = np.int64


def named(texts: Iterable[str]) -> tuple[tuple[str, ...], Callable[[str], int]]:
    """Class names, sorted, and what gives a label's place among them."""
    names = tuple(sorted(set(texts)))
    places = {name: i for i, name in enumerate(names)}
    return names, places.__getitem__


def names_in_tfds(feature: Any) -> list[str] | None:
    """The names of a `ClassLabel`."""
    import tensorflow_datasets as tfds

    return feature.names if isinstance(feature, tfds.features.ClassLabel) else None


def missing(targets: np.ndarray, names: Sequence[str]) -> list[str]:
    """Names of the classes that no target is of."""
    present = set(np.unique(targets).tolist())
    return [name for target, name in enumerate(names) if target not in present]


def text(target: int, names: Sequence[str]) -> str:
    """The name of a class."""
    return names[target]


def faults(names: Sequence[str], where: str) -> list[str]:
    """What forbids training on these classes."""
    if len(names) >= 2:
        return []
    return [f"{where} has one class, {names[0]!r}; expected at least two class folders"]


def width(names: Sequence[str]) -> int:
    """A column a class."""
    return len(names)


def columns(targets: np.ndarray, width: int) -> np.ndarray:
    """`(n, classes) float32`: 1 in the column of each class, else 0."""
    return np.eye(width, dtype=np.float32)[targets]


def columns_in_graph(targets: Any, width: int) -> Any:
    """`columns` of TensorFlow tensors."""
    import tensorflow as tf

    return tf.one_hot(targets, width)


def weights(targets: np.ndarray, width: int, balance: str) -> np.ndarray:
    """`(classes,) float32`: 1, or inverse to the class's size with mean 1 over the examples."""
    counts = np.bincount(targets, minlength=width)
    if balance != "weights":
        return np.ones(width, np.float32)
    present = np.maximum(counts, 1)
    return (len(targets) / (np.count_nonzero(counts) * present)).astype(np.float32)


def weighed(columns: Any, weights: np.ndarray) -> Any:
    """`(batch,)` weights of examples: those of their classes, in the shares of mixed ones."""
    if isinstance(columns, np.ndarray):
        return columns @ weights
    import tensorflow as tf

    return tf.linalg.matvec(columns, weights)


def strata(targets: np.ndarray) -> np.ndarray:
    """The classes themselves."""
    return targets
