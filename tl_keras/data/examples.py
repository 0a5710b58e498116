"""What the data steps pass on: listed files, checked examples, a data set with its splits."""

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
    """A labelled file as its source lists it, unread. `file` is relative, with `/`."""

    file: str
    label: str
    split: str = ""  # "train", "val", "test"; "": to be carved
    group: str = ""  # never spans two splits; "": none


@dataclass(frozen=True)
class Quarantined:
    """A file that is left out, and why."""

    file: str
    reason: str
    is_bad: bool = True  # for `data.max_bad_share`; a row that only lacks a label is not


@dataclass
class Listing:
    """What a source holds before anything is read.

    Attributes:
      checked: what was found in those of `files` that stand in shards.
      shards: that these are streamed from.
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
    # The target, as the task codes it: of classes an int, a place among their names; or a float.
    label: Any
    digest: str  # SHA-256 of the content, hex
    index: int = -1  # into Dataset.raw, for embedded sources
    checked: Any = None  # what the check of its file found, a `Checked` of its modality
    unit: str = ""  # the same for those of train and val that no split may part
    stratum: int | None = None  # that splits hold in its share; None: the label


@dataclass(frozen=True)
class Dataset:
    """Classes, splits, and what was left out.

    Attributes:
      classes: names of the answers, sorted; of classes an example's label is an index into them.
        Empty where answers have no names.
      splits: examples of `train`, `val` and `test`; and `rest`, of the same source and with their
        labels, those that `data.examples_per_class` leaves out.
      root: folder that the files are relative to; None for embedded sources.
      raw: `(examples, ...)` unprepared examples of embedded sources, else None.
      draw: training examples drawn anew each epoch, see `modalities.drawn.Drawn`; else None.
      fingerprint: SHA-256 of every split's labels and contents, hex.
      whole: training examples are measured on too, as in cross-validation.
      listed: `changed_since.stamp` of what the source listed, and `at`, when; empty where it does
        not change.
      omitted: files that are used in no split, beside the quarantined ones.
      shards: what training examples are streamed from; None where they are files.
      task: what the labels are.
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
    shards: "Maybe[Shards]" = None
    task: str = tasks.DEFAULT
    nouns: tuple[str, str] = ("example", "examples")

    def labels(self, split: str) -> np.ndarray:
        """`(examples,)` targets of a split, of classes `int64`."""
        dtype = tasks.of(self.task, "targets").DTYPE
        return np.array([example.label for example in self.splits[split]], dtype)

    def text(self, example: Example) -> str:
        """An example's label, as the source had it or as it means."""
        return tasks.of(self.task, "targets").text(example.label, self.classes)

    def pooled(self) -> "Dataset":
        """The same with train and val in one, to be dealt out to folds."""
        both = sorted([*self.splits["train"], *self.splits["val"]], key=lambda e: e.file)
        splits = {**self.splits, "train": both, "val": []}
        return replace(self, splits=splits, whole=True)

    def is_fraction(self, split: str) -> bool:
        """Whether large files may be decoded at a fraction of their size, to train on alone."""
        return split == "train" and not self.whole
