"""The result of a source (`data.source`) that generates its examples, such as `glyphs`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Drawn:
    """Labelled examples that are generated, not read from files.

    Attributes:
      classes: class names; a label is an index into this tuple.
      raw: unprepared examples, `(examples, ...)`.
      labels: `(examples,) int64`.
      files: a name for each example, used in place of a file name.
      parts: slices of `raw` that are val and test; None if the splits are carved from `raw`.
      train: `(name, label, digest)` of each training example of the first epoch; empty if `parts`
        is None.
      draw: generates training examples inside a graph, from indices `(batch,) int64` to prepared
        examples and labels; index `epoch * len(train) + i` is example i of that epoch. None if
        training examples come from `raw`.
    """

    classes: tuple[str, ...]
    raw: np.ndarray
    labels: np.ndarray
    files: Sequence[str]
    parts: Mapping[str, slice] | None = None
    train: Sequence[tuple[str, int, str]] = ()
    draw: Callable[[Any], tuple[Any, Any]] | None = None
