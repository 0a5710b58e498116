"""What a source of `data.source` gives that draws its examples itself."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Drawn:
    """Labelled examples that no file holds.

    Attributes:
      classes: names; a label is an index into them.
      raw: `(examples, ...)`, unprepared.
      labels: `(examples,) int64`.
      files: a name for each of them.
      parts: places of val and test among them; None where splits are carved.
      train: where `parts` says which are held out, of each training example of the first epoch
        its name, its label and a digest of its own.
      draw: training examples drawn anew: from indices `(batch,) int64` to prepared examples and
        labels, inside a graph; index `epoch * len(train) + i` is example i of an epoch.
    """

    classes: tuple[str, ...]
    raw: np.ndarray
    labels: np.ndarray
    files: Sequence[str]
    parts: Mapping[str, slice] | None = None
    train: Sequence[tuple[str, int, str]] = ()
    draw: Callable[[Any], tuple[Any, Any]] | None = None
