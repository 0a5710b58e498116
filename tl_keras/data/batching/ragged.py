"""Holds examples of different length, such as token ids, without padding.

The rows of all examples are stored one after the other. A batch is padded with zeros to its longest
example when it is read.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

# Batches are padded to a multiple of this length, so that fewer different shapes occur.
MULTIPLE = 8


@dataclass(frozen=True)
class Ragged:
    """Arrays of different length, as one array that is read like a padded one.

    Attributes:
      values: the rows of all examples, `(all rows, ...)`.
      lengths: the number of rows of each example, `(examples,) int64`.
    """

    values: np.ndarray
    lengths: np.ndarray

    @cached_property
    def starts(self) -> np.ndarray:
        """The position of the first row of each example in `values`, `(examples + 1,) int64`."""
        return np.concatenate([[0], np.cumsum(self.lengths)])

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the values."""
        return self.values.dtype

    @property
    def nbytes(self) -> int:
        """The number of bytes of the values."""
        return self.values.nbytes

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The shape of the padded array: `(examples, None, ...)`."""
        return (len(self), None, *self.values.shape[1:])

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Returns the chosen examples as one array, padded with zeros: `(chosen, length, ...)`.

        Args:
          rows: a slice, or positions of examples.
        """
        chosen = np.arange(len(self))[rows]
        lengths, starts = self.lengths[chosen], self.starts[chosen]
        shape = (len(chosen), padded(lengths.max(initial=0)), *self.values.shape[1:])
        array = np.zeros(shape, self.dtype)
        for row, start, length in zip(array, starts, lengths, strict=True):
            row[:length] = self.values[start : start + length]
        return array

    def __setitem__(self, rows: Any, padded_values: np.ndarray) -> None:
        """Writes the values of the chosen examples, without their padding.

        Args:
          rows: a slice, or positions of examples.
          padded_values: `(chosen, length, ...)`; may be shorter than the longest chosen example.
        """
        for i, value in zip(np.arange(len(self))[rows], padded_values, strict=True):
            length = min(self.lengths[i], len(value))
            self.values[self.starts[i] : self.starts[i] + length] = value[:length]

    def part(self, rows: Any) -> "Ragged":
        """Returns the chosen examples without padding."""
        chosen = np.arange(len(self))[rows]
        return of([self.values[self.starts[i] : self.starts[i + 1]] for i in chosen], self.values)


def padded(length: int) -> int:
    """Returns the length to which a batch is padded whose longest example has `length` rows."""
    return max(MULTIPLE, -(-int(length) // MULTIPLE) * MULTIPLE)


def of(examples: Sequence[np.ndarray], like: np.ndarray) -> Ragged:
    """Returns arrays of different length as one `Ragged`.

    Args:
      like: an array with the dtype and the last axes of the examples, for an empty sequence.
    """
    lengths = np.array([len(example) for example in examples], np.int64)
    empty = np.empty((0, *like.shape[1:]), like.dtype)
    return Ragged(np.concatenate([empty, *examples]), lengths)


def lengths_of(batch: np.ndarray) -> np.ndarray:
    """Returns the number of values before the padding of each example, `(batch,) int64`.

    Args:
      batch: `(batch, length)`; zeros at the end of an example are padding.
    """
    positions = np.arange(1, batch.shape[1] + 1)
    return ((batch != 0) * positions).max(axis=1, initial=0).astype(np.int64)


def joined(batches: Iterable[Any], variable: bool) -> Any:
    """Returns batches of prepared examples as one array.

    Args:
      variable: whether the examples have different lengths; the result is then a `Ragged`.
    """
    arrays = [np.asarray(batch) for batch in batches]
    if not variable:
        return np.concatenate(arrays)
    rows = [row[:n] for array in arrays for row, n in zip(array, lengths_of(array), strict=True)]
    return of(rows, arrays[0][:, 0])


def part(array: Any, rows: Any) -> Any:
    """Returns the chosen examples of an array; those of a `Ragged` are not padded."""
    return array.part(rows) if isinstance(array, Ragged) else array[rows]
