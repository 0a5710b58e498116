"""What an exported file says of itself, the names of its answers, what it is proved on."""

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
    """What a file says of itself.

    Attributes:
      name: of the model.
      text: what it does.
      settings: how examples are prepared, the section of their modality.
      labels: names of the answers, in the order of the outputs; none where they have no names.
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
    """A label file: a name a line, in the order of the outputs."""
    return "".join(f"{label}\n" for label in described.labels)


@dataclass(frozen=True)
class Examples:
    """Examples to prove a file on.

    Attributes:
      inputs: prepared.
      paths: where they stand as they were; None of embedded examples.
      split: `test`, or `val` where there is none.
    """

    inputs: Inputs
    paths: Maybe[Sequence[Path]]
    split: str
