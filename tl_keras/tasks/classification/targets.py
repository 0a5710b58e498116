"""Targets: the target of an example is the index of its class. Imports no Keras when loaded."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

DTYPE = np.int64
EXPECTED = (
    "expected one class name for each example; if this is one, set data.literal_labels to true"
)


def named(texts: Iterable[str]) -> tuple[tuple[str, ...], Callable[[str], int]]:
    """Returns the class names, sorted, and a function from a label to its index among them."""
    names = tuple(sorted(set(texts)))
    places = {name: i for i, name in enumerate(names)}
    return names, places.__getitem__


def names_in_tfds(feature: Any) -> list[str] | None:
    """Returns the names of a `ClassLabel`; None for another feature."""
    import tensorflow_datasets as tfds

    return feature.names if isinstance(feature, tfds.features.ClassLabel) else None


def missing(targets: np.ndarray, names: Sequence[str]) -> list[str]:
    """Returns the names of classes without an example."""
    present = set(np.unique(targets).tolist())
    return [name for target, name in enumerate(names) if target not in present]


def text(target: int, names: Sequence[str]) -> str:
    """Returns the name of a class."""
    return names[target]


def faults(names: Sequence[str], where: str) -> list[str]:
    """Returns reasons why a model cannot be trained on these classes."""
    if len(names) >= 2:
        return []
    return [f"{where} has one class, {names[0]!r}; expected at least two class folders"]


def width(names: Sequence[str]) -> int:
    """Returns the number of columns, one for each class."""
    return len(names)


def columns(targets: np.ndarray, width: int) -> np.ndarray:
    """Returns one-hot targets, `(n, classes) float32`."""
    return np.eye(width, dtype=np.float32)[targets]


def columns_in_graph(targets: Any, width: int) -> Any:
    """Returns `columns` of a TensorFlow tensor, in a graph."""
    import tensorflow as tf

    return tf.one_hot(targets, width)


def weights(targets: np.ndarray, width: int, balance: str) -> np.ndarray:
    """Returns the weight of each class, `(classes,) float32`.

    For balance `weights`, it is inverse to the number of the class's examples, with mean 1 over all
    examples; otherwise it is 1.
    """
    counts = np.bincount(targets, minlength=width)
    if balance != "weights":
        return np.ones(width, np.float32)
    present = np.maximum(counts, 1)
    return (len(targets) / (np.count_nonzero(counts) * present)).astype(np.float32)


def weighed(columns: Any, weights: np.ndarray) -> Any:
    """Returns the weight of each example, `(batch,)`.

    It is the weight of its class. For an example mixed from several classes, it is the mean of
    their weights, weighted by their shares.
    """
    if isinstance(columns, np.ndarray):
        return columns @ weights
    import tensorflow as tf

    return tf.linalg.matvec(columns, weights)


def strata(targets: np.ndarray) -> np.ndarray:
    """Returns the strata, which are the classes."""
    return targets


def unfit(texts: Sequence[str]) -> str | None:
    """Returns why labels seem not to be class names; None if they seem to be.

    Without this check, several labels per example, or numbers to predict, would be trained as
    classes.

    Args:
      texts: the label of each example.
    """
    names = Counter(texts)
    if example := _several(names, len(texts)):
        return f"{example!r} looks like several labels; {EXPECTED}"
    numbers = [name for name in names if _is_number(name)]
    fractions = [name for name in numbers if not float(name).is_integer()]
    many = len(names) > max(20, len(texts) / 2)
    if len(numbers) == len(names) and (fractions or many):
        return f"label {(fractions or numbers)[0]!r} is a number to predict; {EXPECTED}"
    return None


def _several(names: Counter[str], count: int) -> str | None:
    """Returns a label that looks like several labels, such as `cat|dog`; None without one."""
    if lists := [name for name in names if re.fullmatch(r"\[.*\]|\(.*,.*\)|\{.*\}", name)]:
        return lists[0]
    for mark in "+/&":
        joint = [name for name in names if mark in name]
        alone = [name for name in joint if all(p.strip() in names for p in name.split(mark))]
        if alone and 2 * len(alone) >= len(joint):
            return alone[0]
    for mark in "|;,":
        joint = [name for name in names if mark in name]
        # Many class names contain a comma, so a few rows with a comma prove nothing.
        enough = sum(names[name] for name in joint) > (count / 2 if mark == "," else 0)
        if enough and _share_parts(names, mark):
            return joint[0]
    return None


def _share_parts(names: Iterable[str], mark: str) -> bool:
    """Returns whether most names with the mark share a part with another name, as `cat|dog`, `cat`.

    Otherwise the mark is part of a name, as the comma in "tench, Tinca tinca".
    """
    parts_of = {name: {part.strip() for part in name.split(mark)} for name in names}
    counts = Counter(part for parts in parts_of.values() for part in parts)
    joint = [parts for parts in parts_of.values() if len(parts) > 1]
    return 2 * sum(any(counts[part] > 1 for part in parts) for parts in joint) > len(joint)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
