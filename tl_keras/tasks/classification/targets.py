"""Converts labels to targets: class names to indices. Imports no Keras when loaded."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

DTYPE = np.int64
EXPECTED = (
    "expected one class name for each example; if the whole text of each label is a class name, "
    "set data.literal_labels to true"
)


def named(texts: Iterable[str]) -> tuple[tuple[str, ...], Callable[[str], int]]:
    """Returns the class names, sorted, and a function from a class name to its index."""
    names = tuple(sorted(set(texts)))
    places = {name: i for i, name in enumerate(names)}
    return names, places.__getitem__


def names_in_tfds(feature: Any) -> list[str] | None:
    """Returns the class names of a `ClassLabel` of TensorFlow Datasets; None for other features."""
    import tensorflow_datasets as tfds

    return feature.names if isinstance(feature, tfds.features.ClassLabel) else None


def missing(targets: np.ndarray, names: Sequence[str]) -> list[str]:
    """Returns the names of the classes that none of the targets has."""
    present = set(np.unique(targets).tolist())
    return [name for target, name in enumerate(names) if target not in present]


def text(target: int, names: Sequence[str]) -> str:
    """Returns the class name of a target."""
    return names[target]


def faults(names: Sequence[str], where: str) -> list[str]:
    """Returns reasons why a model cannot be trained on these classes; an empty list if it can.

    Args:
      names: names of the classes.
      where: the data set, as messages name it.
    """
    if len(names) >= 2:
        return []
    return [
        f"{where} has one class, {names[0]!r}; expected at least two classes (class folders, or "
        "class names in the labels)"
    ]


def width(names: Sequence[str]) -> int:
    """Returns the number of columns of targets and logits, one for each class."""
    return len(names)


def columns(targets: np.ndarray, width: int) -> np.ndarray:
    """Returns one-hot targets, `(n, width) float32`."""
    return np.eye(width, dtype=np.float32)[targets]


def columns_in_graph(targets: Any, width: int) -> Any:
    """Returns one-hot targets as `columns` does, for a TensorFlow tensor in a graph."""
    import tensorflow as tf

    return tf.one_hot(targets, width)


def weights(targets: np.ndarray, width: int, balance: str) -> np.ndarray:
    """Returns the weight of each class in the loss, `(width,) float32`.

    If `balance` (`data.balance`) is `weights`, the weight of a class is inversely proportional to
    its number of examples, and the mean weight over all examples is 1. Otherwise each weight is 1.
    """
    counts = np.bincount(targets, minlength=width)
    if balance != "weights":
        return np.ones(width, np.float32)
    present = np.maximum(counts, 1)
    return (len(targets) / (np.count_nonzero(counts) * present)).astype(np.float32)


def weighed(columns: Any, weights: np.ndarray) -> Any:
    """Returns the weight of each example in the loss, `(batch,)`.

    An example has the weight of its class. An example mixed from several classes has the mean of
    the weights of these classes, weighted by their shares.

    Args:
      columns: one-hot or mixed targets, `(batch, classes)`.
      weights: the weight of each class.
    """
    if isinstance(columns, np.ndarray):
        return columns @ weights
    import tensorflow as tf

    return tf.linalg.matvec(columns, weights)


def strata(targets: np.ndarray) -> np.ndarray:
    """Returns the group (stratum) of each example, for stratified splits: its class."""
    return targets


def unfit(texts: Sequence[str]) -> str | None:
    """Returns why labels do not look like class names, or None if they do.

    Without this check, combinations of several labels per example, or numbers to predict, would be
    trained as classes.

    Args:
      texts: the label of each example.
    """
    names = Counter(texts)
    if label := _several(names, len(texts)):
        return f"label {label!r} looks like several labels; {EXPECTED}"
    numbers = [name for name in names if _is_number(name)]
    fractions = [name for name in numbers if not float(name).is_integer()]
    many = len(names) > max(20, len(texts) / 2)
    if len(numbers) == len(names) and (fractions or many):
        return f"label {(fractions or numbers)[0]!r} looks like a number to predict; {EXPECTED}"
    return None


def _several(names: Counter[str], count: int) -> str | None:
    """Returns a label that looks like several labels, such as `cat|dog`, or None.

    Args:
      names: {label: number of examples with this label}.
      count: number of examples.
    """
    if lists := [name for name in names if re.fullmatch(r"\[.*\]|\(.*,.*\)|\{.*\}", name)]:
        return lists[0]
    for separator in "+/&":
        joint = [name for name in names if separator in name]
        alone = [name for name in joint if all(p.strip() in names for p in name.split(separator))]
        if alone and 2 * len(alone) >= len(joint):
            return alone[0]
    for separator in "|;,":
        joint = [name for name in names if separator in name]
        # Many class names contain a comma, so a few rows with a comma prove nothing.
        enough = sum(names[name] for name in joint) > (count / 2 if separator == "," else 0)
        if enough and _share_parts(names, separator):
            return joint[0]
    return None


def _share_parts(names: Iterable[str], separator: str) -> bool:
    """Returns True if most names that contain the separator share a part with another name.

    `cat|dog` shares `cat` with `cat` or `cat|cow`. If only few names share a part, the character is
    not a separator but belongs to the names, as the comma in "tench, Tinca tinca".
    """
    parts_of = {name: {part.strip() for part in name.split(separator)} for name in names}
    counts = Counter(part for parts in parts_of.values() for part in parts)
    joint = [parts for parts in parts_of.values() if len(parts) > 1]
    return 2 * sum(any(counts[part] > 1 for part in parts) for parts in joint) > len(joint)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
