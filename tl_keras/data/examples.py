"""The values that the data steps pass on: listed files, examples, and a data set with splits."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tl_keras import tasks
from tl_keras.maybe import Maybe

if TYPE_CHECKING:
    from tl_keras.data.sources.shards import Shards

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Listed:
    """A labelled file that its source lists without reading it. `file` is relative, with `/`."""

    file: str
    label: str
    split: str = ""  # "train", "val" or "test"; "" if splits are carved
    group: str = ""  # examples of a group stay in one split; "" for no group


@dataclass(frozen=True)
class Quarantined:
    """A file that is left out, with the reason."""

    file: str
    reason: str
    is_bad: bool = True  # counts towards `data.max_bad_share`; a row without a label does not


@dataclass
class Listing:
    """The files of a source before they are read.

    Attributes:
      checked: the checks of the files that lie in shards.
      shards: the shards that these files are streamed from.
    """

    root: Path
    files: list[Listed]
    quarantined: list[Quarantined] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    checked: dict[str, Any] = field(default_factory=dict)
    shards: "Shards | None" = None


@dataclass(frozen=True, slots=True)
class Example:
    """A readable, labelled example."""

    file: str
    label: Any  # the target, coded by the task: an int as index of a class, or a float
    digest: str  # SHA-256 of the content, hex
    index: int = -1  # into Dataset.raw, for embedded sources
    checked: Any = None  # the check of its file, a `Checked` of its modality
    unit: str = ""  # the same for examples of train and val that must stay in one split
    stratum: int | None = None  # the stratum for splits; None for the label


@dataclass(frozen=True)
class Dataset:
    """A data set with its splits and the files that are left out.

    Attributes:
      classes: the sorted names of the answers. The label of a class is an index into them. Empty
        for tasks whose answers have no names.
      splits: the examples of `train`, `val`, `test` and `rest`, which holds the labelled examples
        that `data.examples_per_class` leaves out.
      root: the folder that the files are relative to; None for embedded sources.
      raw: `(examples, ...)` unprepared examples of embedded sources, else None.
      warnings: what may be a mistake in the data, one sentence each.
      draw: draws training examples anew each epoch, see `modalities.drawn_source.Drawn`; else None.
      fingerprint: SHA-256 of the labels and contents of every split, hex.
      whole: whether the model is also measured on training examples, as in cross-validation.
      notes: what was done with the data although nothing is wrong with them.
      listed: `changed_since.stamp` of the source, and under `at` the time of listing; empty for
        sources that do not change.
      omitted: files that are in no split and not quarantined.
      shards: the shards that training examples are streamed from; None for files.
      task: the task of the labels.
      nouns: the noun for an example and its plural.
    """

    classes: tuple[str, ...]
    splits: dict[str, list[Example]]
    root: Path | None
    raw: Maybe[np.ndarray]
    quarantined: list[Quarantined]
    warnings: list[str]
    fingerprint: str
    draw: Maybe[Callable[[Any], tuple[Any, Any]]] = None
    whole: bool = False
    listed: dict[str, Any] = field(default_factory=dict)
    omitted: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    shards: "Maybe[Shards]" = None
    task: str = tasks.DEFAULT
    nouns: tuple[str, str] = ("example", "examples")

    def labels(self, split: str) -> np.ndarray:
        """Returns the targets of a split, `(examples,)`, `int64` for classes."""
        dtype = tasks.of(self.task, "targets").DTYPE
        return np.array([example.label for example in self.splits[split]], dtype)

    def text(self, example: Example) -> str:
        """Returns the label of an example as text."""
        return tasks.of(self.task, "targets").text(example.label, self.classes)

    def pooled(self) -> "Dataset":
        """Returns the data set with train and val joined, to be divided into folds."""
        both = sorted([*self.splits["train"], *self.splits["val"]], key=lambda e: e.file)
        splits = {**self.splits, "train": both, "val": []}
        return replace(self, splits=splits, whole=True)

    def is_fraction(self, split: str) -> bool:
        """Returns whether large files of a split may be decoded at a fraction of their size."""
        return split == "train" and not self.whole
