"""predict: answers of a finished run on new files."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tl_keras import tasks
from tl_keras.approaches import new_files
from tl_keras.config.messages import with_article
from tl_keras.data.examples import Listed, Listing, Quarantined
from tl_keras.data.inputs import Inputs
from tl_keras.data.paths import printable
from tl_keras.data.sources import folders
from tl_keras.modalities import part
from tl_keras.run.files import unwritable
from tl_keras.run.folder import as_trained
from tl_keras.run.run import Run
from tl_keras.training import features
from tl_keras.training.network import model as models
from tl_keras.training.network.fold_batch_norm import Inference

Row = dict[str, Any]


def run(run: Run, values: Any) -> Iterator[Row]:
    """A row an example, in order: `file`, and what `predictions.told` of the task says of the
    answer; or `error`.

    Of a folder, files that are refused unread, such as links out of it, come first.

    Args:
      run: a finished run, see `run.load_finished`.
      values: see `as_given` of the modality; folders are searched at any depth.

    Raises:
      TypeError: a value is something else.
      ValueError: a path does not exist, or there are no examples.
    """
    run = as_trained(run)
    classes = tuple(new_files.recorded(run)["classes"])
    wanted = part(run.config.modality, "predict_inputs").as_given(values)
    examples = [example for one in wanted for example in _asked(one, run)]
    if not examples:
        named = ", ".join(repr(str(one)) for one in wanted) or "the list"
        raise ValueError(f"predict: expected {new_files.nouns(run)[1]}; {named} holds none")
    checked = new_files.checked([e.source for e in examples if isinstance(e.source, Path)], run)
    infer = Inference(models.load(run.workdir / "model.keras"))
    for start in range(0, len(examples), features.BATCH_SIZE):
        some = [_checked(e, checked) for e in examples[start : start + features.BATCH_SIZE]]
        answers = _answers(infer, [e for e in some if not e.error], checked, run)
        for example in some:
            if example.error:
                yield {"file": example.name, "error": example.error}
                continue
            told = tasks.of(run.config.task, "predictions").told
            yield {"file": example.name, **told(next(answers), classes)}


@dataclass(frozen=True)
class Requested:
    """An example to predict on: a file, or one in memory; or why it cannot be."""

    name: str
    source: Path | np.ndarray | None
    error: str = ""


def _asked(one: Any, run: Run) -> list[Requested]:
    if not isinstance(one, Path):
        return [Requested(one.name, one.raw)]
    listing = _listing(one, run)
    refused = [
        Requested(printable(str(listing.root / bad.file)), None, bad.reason)
        for bad in listing.quarantined
    ]
    files = [listing.root / listed.file for listed in listing.files]
    return [*refused, *(Requested(printable(str(file)), file) for file in files)]


def _checked(example: Requested, checked: Mapping[str, Any]) -> Requested:
    """The example, with what the audit says against its file."""
    if not isinstance(example.source, Path):
        return example
    return replace(example, error=checked[str(example.source)].reason)


def _answers(
    infer: Inference, good: Sequence[Requested], checked: Mapping[str, Any], run: Run
) -> Iterator[np.ndarray]:
    """The model's answer to each example, in order."""
    files = [example.source for example in good if isinstance(example.source, Path)]
    arrays = [example.source for example in good if not isinstance(example.source, Path)]
    of_files = of_arrays = np.empty((0, *infer.shape))
    if files:
        some = [checked[str(file)] for file in files]
        inputs = new_files.inputs(files, some, np.zeros(len(files), np.int64), run)
        of_files = features.outputs(infer, inputs)
    if arrays:
        prepare = part(run.config.modality, "prepare").prepare
        prepared = [prepare(tf.constant(array), run.config.settings) for array in arrays]
        inputs = Inputs(np.zeros(len(arrays), np.int64), np.stack(prepared))
        of_arrays = features.outputs(infer, inputs)
    rows = {True: iter(of_files), False: iter(of_arrays)}
    for example in good:
        yield next(rows[isinstance(example.source, Path)])


def _listing(path: Path, run: Run) -> Listing:
    if os.path.isdir(path):
        return folders.list_unlabelled(path)
    if reason := unwritable(str(path)):
        return Listing(path.parent, [], [Quarantined(printable(path.name), reason)])
    if not os.path.exists(path):
        one, many = new_files.nouns(run)
        raise ValueError(
            f"{str(path)!r} does not exist; expected {with_article(one)} or a folder of {many}"
        )
    return Listing(path.parent, [Listed(path.name, "")])
