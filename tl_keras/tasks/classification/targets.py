"""What an example's target is: the place of its class among the names. No Keras at import."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

DTYPE = np.int64
EXPECTED = "expected one class name an example; if this is one, set data.literal_labels to true"


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


def unfit(texts: Sequence[str]) -> str | None:
    """Why labels are not class names; None if they are.

    Several labels an example, and regression, look like classification until it fails.

    Args:
      texts: a label an example.
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
    """A label that looks like several, such as `cat|dog`."""
    if lists := [name for name in names if re.fullmatch(r"\[.*\]|\(.*,.*\)|\{.*\}", name)]:
        return lists[0]
    for mark in "+/&":
        joint = [name for name in names if mark in name]
        alone = [name for name in joint if all(p.strip() in names for p in name.split(mark))]
        if alone and 2 * len(alone) >= len(joint):
            return alone[0]
    for mark in "|;,":
        joint = [name for name in names if mark in name]
        # A comma stands in many class names, so that a few rows with one prove nothing.
        enough = sum(names[name] for name in joint) > (count / 2 if mark == "," else 0)
        if enough and _share_parts(names, mark):
            return joint[0]
    return None


def _share_parts(names: Iterable[str], mark: str) -> bool:
    """Whether most names that contain the mark share a part with another: `cat|dog` and `cat`.

    The comma of "tench, Tinca tinca" joins no labels.
    """
    parts = {name: {part.strip() for part in name.split(mark)} for name in names}
    counts = Counter(part for own in parts.values() for part in own)
    joint = [own for own in parts.values() if len(own) > 1]
    return 2 * sum(any(counts[part] > 1 for part in own) for own in joint) > len(joint)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
