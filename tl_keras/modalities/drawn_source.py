"""Examples that the package generates, for a value of `data.source` such as `glyphs`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Drawn:
    """Labelled examples that are generated, not read from files.

    Attributes:
      classes: class names; a label is an index into this tuple.
      raw: examples before preparation, `(examples, ...)`.
      labels: `(examples,) int64`.
      files: a name for each example of `raw`, used in place of a file name.
      parts: `{"val": slice, "test": slice}` of `raw` if only these splits are in `raw`. None if all
        examples are in `raw` and are still to be split into train, val and test.
      train: `(name, label, digest)` of each training example of the first epoch; empty if `parts`
        is None.
      draw: a graph function that generates training examples: from indices, `(batch,) int64`, to
        prepared examples and labels. Example i of an epoch has the index
        `epoch * len(train) + i`. None if training examples come from `raw`.
    """

    classes: tuple[str, ...]
    raw: np.ndarray
    labels: np.ndarray
    files: Sequence[str]
    parts: Mapping[str, slice] | None = None
    train: Sequence[tuple[str, int, str]] = ()
    draw: Callable[[Any], tuple[Any, Any]] | None = None
