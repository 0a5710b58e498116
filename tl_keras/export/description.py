"""The description and the label file inside an exported file; examples to measure the file on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tl_keras import tasks
from tl_keras.data.batching.inputs import Inputs
from tl_keras.maybe import Maybe

LABELS = "labels.txt"


@dataclass(frozen=True)
class Description:
    """The description that an exported file contains.

    Attributes:
      name: name of the model.
      text: what the model does.
      settings: the config section that says how examples are prepared, such as `image`.
      labels: names of the classes, in the order of the model's output; empty for tasks such as
        regression, whose answers have no names.
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
    """Returns the content of a label file: one class name per line, in the model's class order."""
    return "".join(f"{label}\n" for label in described.labels)


@dataclass(frozen=True)
class Examples:
    """Examples on which an exported file is measured.

    Attributes:
      inputs: the prepared examples.
      paths: the original file of each example, or the address of its cell in a table, see
        `data.contents`; None if the package generates the examples.
      split: the split that the examples are from: `test`, or `val` if there is no test split.
    """

    inputs: Inputs
    paths: Maybe[Sequence[Path]]
    split: str
