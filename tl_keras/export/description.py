"""The description inside an exported file, its label file, and the examples to measure it on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tl_keras import tasks
from tl_keras.data.inputs import Inputs
from tl_keras.maybe import Maybe

LABELS = "labels.txt"


@dataclass(frozen=True)
class Description:
    """The description that an exported file contains.

    Attributes:
      name: name of the model.
      text: what the model does.
      settings: config section of the modality, which says how examples are prepared.
      labels: names of the answers, in the order of the outputs; empty if answers have no names.
      version: `export.version`.
      author: `export.author`.
      license: `export.license`.
      task: name of the task.
    """

    name: str
    text: str
    settings: Any
    labels: Sequence[str]
    version: str
    author: str | None
    license: str | None
    task: str = tasks.DEFAULT


def label_lines(described: Description) -> str:
    """Returns the content of a label file: one name per line, in the order of the outputs."""
    return "".join(f"{label}\n" for label in described.labels)


@dataclass(frozen=True)
class Examples:
    """Examples on which an exported file is measured.

    Attributes:
      inputs: the prepared examples.
      paths: their original files; None for examples that are embedded in the package.
      split: name of their split: `test`, or `val` without a test split.
    """

    inputs: Inputs
    paths: Maybe[Sequence[Path]]
    split: str
