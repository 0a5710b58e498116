"""What an export is about: the model with its examples, and the settings of all files."""

import functools
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import keras
import numpy as np

from tl_keras import tasks
from tl_keras.config.export import ExportConfig
from tl_keras.data.batching.inputs import Inputs
from tl_keras.export.description import Description
from tl_keras.export.formats.saved_model import Abstains, Decode
from tl_keras.run.result.exports import FileLoss


@dataclass(frozen=True)
class Subject:
    """A model, and the examples on which its exported files are run.

    Attributes:
      model: maps a prepared example to an answer.
      inputs: prepared examples of train (to calibrate), val (to judge) and test (to report).
      reference: the model's own answers, `{split: (examples, ...)}`: on val, and on test if there
        is a test split.
      on: what messages call the examples of `val`, such as "validation" in "loses 0.02 of accuracy
        on validation".
      trained_on_val: whether the model was trained on `val`. If so, its score on `val` says nothing
        about new examples.
    """

    model: keras.Model
    inputs: dict[str, Inputs]
    reference: dict[str, np.ndarray]
    on: str = "validation"
    trained_on_val: bool = False

    @property
    def last(self) -> str:
        """The split on which exported files are measured: test if there is one, else val."""
        return "test" if "test" in self.reference else "val"

    @property
    def trained_on_last(self) -> bool:
        """Whether the model was trained on the examples on which its files are measured."""
        return self.trained_on_val and self.last == "val"


@dataclass(frozen=True)
class Writing:
    """The settings that all files of an export share.

    Attributes:
      decode: converts the contents of files, `(batch,) string`, to prepared examples; the
        SavedModel's signature `serve_encoded` contains it. None if TensorFlow's operators cannot do
        that; then the SavedModel has no such signature.
      about: the description of the model that is written into the files.
      config: the config section `export`.
      threshold: a class is possible if its probability is at least this. The output `abstain` is 0
        if exactly one class is possible, else 1. None if the files have no output `abstain`.
      folder: temporary folder to which files are written first.
      task: name of the task.
    """

    decode: Decode | None
    about: Description
    config: ExportConfig
    threshold: float | None
    folder: Path
    task: str = tasks.DEFAULT

    @property
    def output(self) -> str:
        """The name of the output that holds the model's answer, such as `probabilities`."""
        return tasks.of(self.task, "layer").OUTPUT

    @property
    def abstains(self) -> Abstains | None:
        """The function that computes the output `abstain` from answers; None if there is none."""
        if self.threshold is None:
            return None
        abstains = tasks.of(self.task, "abstain").abstains
        return functools.partial(abstains, threshold=self.threshold)

    @property
    def judged(self) -> ModuleType:
        """The task's module `exports`, which measures how much worse a file is than the model."""
        return tasks.of(self.task, "exports")

    def is_sound(self, verdict: FileLoss) -> bool:
        """Returns True if a file is little worse than the model, and thus needs no repair.

        Args:
          verdict: how much worse the file is than the model on validation.
        """
        return self.judged.is_sound(verdict, self.config.max_accuracy_drop)
