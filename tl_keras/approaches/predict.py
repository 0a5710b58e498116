"""predict: predictions for new files by the model of a finished run."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tl_keras import tasks
from tl_keras.approaches import new_files
from tl_keras.config.messages import with_article
from tl_keras.data.batching.inputs import of_examples
from tl_keras.data.examples import Listed, Listing, Quarantined
from tl_keras.data.paths import printable
from tl_keras.data.sources.of_files import list_unlabelled, may_be_table
from tl_keras.modalities import part
from tl_keras.run.files import unwritable
from tl_keras.run.run import Run
from tl_keras.run.trained import for_new_examples
from tl_keras.training import features
from tl_keras.training.network import model as models
from tl_keras.training.network.fold_batch_norm import Inference

Row = dict[str, Any]


def run(run: Run, values: Any) -> Iterator[Row]:
    """Yields a row for each example, in order.

    A row has `file`, and either `error` or the fields of the prediction, which the function
    `predictions.prediction_fields` of the task makes. Within a folder, the first rows are those of
    the files that are refused without being read, such as links to files outside the folder.

    Args:
      run: a finished run, see `folder.load_finished`.
      values: files, folders or arrays, see `as_given` of the modality. Folders are searched at any
        depth.

    Raises:
      TypeError: a value has another type.
      ValueError: a path does not exist, or the values contain no example.
    """
    run = for_new_examples(run)
    classes = tuple(new_files.recorded(run)["classes"])
    given = part(run.config.modality, "predict_inputs").as_given(values)
    examples = [example for value in given for example in _requested(value, run)]
    if not examples:
        names = ", ".join(repr(str(value)) for value in given) or "the list"
        raise ValueError(f"predict: expected {new_files.nouns(run)[1]}, but found none in {names}")
    checked = new_files.checked([e.source for e in examples if isinstance(e.source, Path)], run)
    infer = Inference(models.load(run.workdir / "model.keras"))
    for start in range(0, len(examples), features.BATCH_SIZE):
        batch = [_checked(e, checked) for e in examples[start : start + features.BATCH_SIZE]]
        predictions = _predictions(infer, [e for e in batch if not e.error], checked, run)
        for example in batch:
            if example.error:
                yield {"file": example.name, "error": example.error}
                continue
            fields_of = tasks.of(run.config.task, "predictions").prediction_fields
            yield {"file": example.name, **fields_of(next(predictions), classes)}


@dataclass(frozen=True)
class Requested:
    """An example to predict on.

    Attributes:
      name: the name of the example in the output.
      source: the file or array; None if the file was refused without being read.
      error: the reason why the example cannot be used; empty if it can.
    """

    name: str
    source: Path | np.ndarray | None
    error: str = ""


def _requested(value: Any, run: Run) -> list[Requested]:
    if not isinstance(value, Path):
        return [Requested(value.name, value.raw)]
    listing = _listing(value, run)
    refused = [
        Requested(printable(str(listing.root / bad.file)), None, bad.reason)
        for bad in listing.quarantined
    ]
    files = [listing.root / listed.file for listed in listing.files]
    return [*refused, *(Requested(printable(str(file)), file) for file in files)]


def _checked(example: Requested, checked: Mapping[str, Any]) -> Requested:
    """Returns a copy of the example with `error` set if the check found its file unusable."""
    if not isinstance(example.source, Path):
        return example
    return replace(example, error=checked[str(example.source)].reason)


def _predictions(
    infer: Inference, good: Sequence[Requested], checked: Mapping[str, Any], run: Run
) -> Iterator[np.ndarray]:
    """Yields the model's output for each example, in order."""
    files = [example.source for example in good if isinstance(example.source, Path)]
    arrays = [example.source for example in good if not isinstance(example.source, Path)]
    of_files = of_arrays = np.empty((0, *infer.shape))
    if files:
        checks = [checked[str(file)] for file in files]
        inputs = new_files.inputs(files, checks, np.zeros(len(files), np.int64), run)
        of_files = features.outputs(infer, inputs)
    if arrays:
        prepare = part(run.config.modality, "prepare").prepare
        prepared = [np.asarray(prepare(array, run.config.settings)) for array in arrays]
        labels = np.zeros(len(arrays), np.int64)
        inputs = of_examples(labels, prepared, run.config.settings)
        of_arrays = features.outputs(infer, inputs)
    rows = {True: iter(of_files), False: iter(of_arrays)}
    for example in good:
        yield next(rows[isinstance(example.source, Path)])


def _listing(path: Path, run: Run) -> Listing:
    if os.path.isdir(path) or may_be_table(path, run.config.modality):
        return list_unlabelled(path, run.config, "predict")
    if reason := unwritable(str(path)):
        return Listing(path.parent, [], [Quarantined(printable(path.name), reason)])
    if not os.path.exists(path):
        one, many = new_files.nouns(run)
        raise ValueError(
            f"{str(path)!r} does not exist; expected {with_article(one)} or a folder of {many}"
        )
    return Listing(path.parent, [Listed(path.name, "")])
