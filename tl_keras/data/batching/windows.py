"""Examples that are longer than a model takes: they are divided into windows.

The model answers for each window, and the mean of these answers is the answer for the example.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tl_keras.data.batching import ragged
from tl_keras.data.batching.ragged import Ragged


@dataclass(frozen=True)
class Windows:
    """The windows of all examples of a split.

    Attributes:
      array: the windows, those of one example after the other.
      counts: the number of windows of each example, `(examples,) int64`.
    """

    array: Ragged
    counts: np.ndarray

    @property
    def starts(self) -> np.ndarray:
        """The position of each example's first window, `(examples,) int64`."""
        return np.cumsum(self.counts) - self.counts

    def part(self, rows: np.ndarray) -> "Windows | None":
        """Returns the windows of some examples; None if each of them is a single window."""
        counts = self.counts[rows]
        if (counts == 1).all():
            return None
        places = [np.arange(self.starts[i], self.starts[i] + self.counts[i]) for i in rows]
        return Windows(self.array.part(np.concatenate(places)), counts)

    def joined(self, outputs: np.ndarray) -> np.ndarray:
        """Returns the mean output of each example, from the outputs of all windows."""
        if not len(self.counts):
            return outputs
        total = np.add.reduceat(outputs, self.starts, axis=0)
        counts = self.counts.reshape(-1, *[1] * (outputs.ndim - 1))
        return (total / counts).astype(outputs.dtype)


def of(examples: Sequence[Sequence[np.ndarray]], dtype: Any) -> Windows | None:
    """Returns the windows of examples; None if each example is a single window.

    Args:
      examples: for each example, its windows, `(length,)` each; at least one.
    """
    counts = np.array([len(windows) for windows in examples], np.int64)
    if (counts == 1).all():
        return None
    every = [window for windows in examples for window in windows]
    return Windows(ragged.of(every, np.empty((0,), dtype)), counts)
