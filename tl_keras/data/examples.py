"""Defines the values that loading passes from step to step: listed files, examples, data sets."""

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
    """A labelled file of a data source, listed without opening it, or a labelled cell of a table.

    The name of a cell is `row 17` or `line 17`, see `contents`.
    """

    file: str  # relative to `Listing.root`, with `/`
    label: str
    split: str = ""  # "train", "val" or "test"; "" if the source names no split
    group: str = ""  # examples of a group stay in one split; "" for no group


@dataclass(frozen=True)
class Quarantined:
    """A file that is left out, with the reason."""

    file: str
    reason: str
    is_bad: bool = True  # counts towards `data.max_bad_share`; a row without a label does not


@dataclass
class Listing:
    """The files that a data source offers.

    Attributes:
      root: the folder that the names of the files are relative to; for cells of a table, see
        `contents`.
      checked: a dict from the name of an example to the result of its check. It has only examples
        in shards of TensorFlow Datasets, which the source checks. All other files are checked
        later.
      shards: the shards that training examples are streamed from; None if each example is a file.
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
    index: int = -1  # into Dataset.raw, for sources that generate examples
    checked: Any = None  # the result of checking its file, a `Checked` of its modality
    unit: str = ""  # the same for examples of train and val that must stay in one split
    stratum: int | None = None  # see `splits.carve`; None if it is the label


@dataclass(frozen=True)
class Dataset:
    """A data set with its splits and the files that are left out.

    Attributes:
      classes: the sorted names of the classes. The label of an example is an index into them. Empty
        for tasks such as regression, whose answers have no names.
      splits: the examples of `train`, `val`, `test` and `rest`. `rest` holds the labelled examples
        that `data.examples_per_class` leaves out.
      root: the folder that the names of files are relative to, or the root of cells, see
        `contents`; None for sources that generate their examples.
      raw: the examples of a source that generates them, before preparation, `(examples, ...)`; None
        for other sources.
      warnings: sentences about possible mistakes in the data.
      draw: a function that generates new training examples in each epoch, see
        `modalities.drawn_source.Drawn`; None if the training examples stay the same.
      fingerprint: SHA-256 of the labels and contents of every split, hex.
      whole: whether models are also measured on the examples of train, as in cross-validation,
        where each example is held out in one fold.
      notes: sentences about what was done with the data where nothing is wrong, for example that
        near-duplicates were kept in one split.
      listed: a dict. For data in files, `data` is the stamp of the files, see
        `changed_since.stamp`, and `at` the time of listing them, in seconds since 1970. Empty for
        other sources.
      omitted: files that are in none of train, val and test although they are not quarantined:
        their content is in another split, or they are in `rest`.
      shards: the shards of TensorFlow Datasets that training examples are streamed from; None if
        each example is a file.
      task: the task that the labels belong to, such as `classification`.
      nouns: the noun for an example, and its plural.
      objective: the value of `pretrain.objective` if the examples have no labels, else "".
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
    objective: str = ""

    def labels(self, split: str) -> np.ndarray:
        """Returns the label of each example of a split, `(examples,)`; classes as `int64`."""
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
        """Returns whether large files of a split may be decoded at a fraction of their size.

        This is faster. It is allowed only in train, and only if no model is measured on train.
        """
        return split == "train" and not self.whole
