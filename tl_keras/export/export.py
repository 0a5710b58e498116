"""Writes a file for each export format, compares it with model.keras, repairs inaccurate files."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
from absl import logging

from tl_keras import tasks
from tl_keras.config.export import EXACT, NOT_LITERT, ExportConfig
from tl_keras.data.batching.inputs import Inputs
from tl_keras.export import parity, proof, repair
from tl_keras.export.formats import flatbuffer, litert
from tl_keras.export.formats.converted import Converted, content_of, convert, shape_of
from tl_keras.export.proof import OK, file_name
from tl_keras.export.subject import Subject, Writing
from tl_keras.run.files import TEMPORARY
from tl_keras.run.result.exports import Exported

FOLDER = "export"  # name of the folder inside a run
FEW = 8  # calibration examples for a file of which only size and latency are measured


def export(subject: Subject, writing: Writing, judge: Subject | None = None) -> dict[str, Exported]:
    """Writes a file for each format of `export.formats`, and compares it with the model.

    A file is "ok" if it is within its tolerance, see `proof.exact` and, for quantised files, the
    function `status` of the task's part `exports`. The status of any other file says by how much it
    misses the tolerance, or why it could not be measured, and its name contains `.rejected`.

    Args:
      subject: the model to export.
      judge: another model with the same layers, which was not trained on the validation examples
        in `judge.inputs`. It is quantised in the same way as `subject`, and its quantised files are
        compared with it on these examples. This comparison decides which operators stay float and
        whether a quantised file of `subject` is accepted. A judge is needed if `subject` was
        trained on the validation examples in `subject.inputs`, because the answers of `subject` to
        them are then too good. None if the files of `subject` itself decide.

    Returns:
      The field `export` of result.json: the measurements of each file, by format.

    Raises:
      ValueError: the model needs operators that LiteRT lacks.
    """
    formats = writing.config.formats
    converted: Any = None
    judge_converted: Any = None
    if set(formats) - set(NOT_LITERT):
        converted = _converted(subject, writing)
        judge_converted = converted
        if judge and set(formats) - set(EXACT):
            judge_converted = _converted(judge, writing)
            if shape_of(converted) != shape_of(judge_converted):
                judge, judge_converted = None, converted
    results: dict[str, Exported] = {}
    for name in formats:
        if name in NOT_LITERT:
            entry = proof.not_litert(name, subject, writing)
        elif name == "float32" and flatbuffer.flex(converted.content):
            entry = proof.unproved(proof.write(converted.content, name, writing))
        elif name == "float32":
            path = proof.write(converted.content, name, writing)
            entry = proof.exact(name, path, subject, writing)
        else:
            judged_by = judge or subject, judge_converted
            entry = proof.quantised(name, (subject, converted), judged_by, writing)
        results[name] = entry
        _log(name, entry, writing.task, subject)
    for made, entry in results.items():
        final = file_name(made, rejected=entry.status != OK)
        (writing.folder / file_name(made)).rename(writing.folder / final)
        results[made] = entry.model_copy(update={"path": f"{FOLDER}/{final}"})
    return results


@contextmanager
def unfinished(folder: Path) -> Iterator[Path]:
    """Yields a new temporary folder inside `folder`, and removes it with its content at the end.

    The caller moves finished files out of it, see `put_in_place`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=folder))
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def put_in_place(new: Path, folder: Path, made: dict[str, Exported], others: Sequence[str]) -> None:
    """Moves exported files from `new` to `folder`, and replaces files of an earlier export there.

    Args:
      made: the result of `export`. The files that it lists are moved.
      others: names of other files and folders in `new`, which `made` does not list, to move too.
    """
    for name in [*(Path(entry.path).name for entry in made.values()), *others]:
        if (folder / name).is_dir():  # A rename cannot replace an existing folder.
            (folder / name).rename(new / f"{name}.old")
        (new / name).rename(folder / name)
    for name, entry in made.items():
        remove(folder / file_name(name, rejected=entry.status == OK))


def remove(path: Path) -> None:
    """Removes a file or folder if it exists."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def size_and_latency(
    model: keras.Model, inputs: dict[str, Inputs], name: str, task: str = tasks.DEFAULT
) -> dict[str, float]:
    """Returns `bytes` and `latency_ms` (median, one thread) of the LiteRT file of a model.

    The model need not be trained, because both depend on its architecture only.

    Args:
      name: name of a LiteRT format, such as `int8`.
    """
    with tempfile.TemporaryDirectory() as temporary:
        few = litert.calibration_examples(inputs["train"], FEW, task)
        config = ExportConfig.model_validate({"formats": [name]})
        converted = convert(model, few, config, None, Path(temporary))
        file = Path(temporary, "model.tflite")
        file.write_bytes(content_of(converted, name))
        latency = parity.latency(file, inputs["val"])
        return {"bytes": parity.num_bytes(file), "latency_ms": latency.median}


def _converted(subject: Subject, writing: Writing) -> Converted:
    count = writing.config.calibration_examples
    examples = litert.calibration_examples(subject.inputs["train"], count, writing.task)
    return convert(subject.model, examples, writing.config, writing.abstains, writing.folder)


def _log(name: str, result: Exported, task: str, subject: Subject) -> None:
    kept = len(result.repair.kept) if result.repair else 0
    repaired = f", {repair.operators(kept)} kept float" if kept else ""
    main, measured = tasks.of(task, "names").MAIN, ""
    if main in result and not subject.trained_on_last:
        measured = f", {main.replace('_', ' ')} {result[main]:.3f}"
    elif result.agreement is not None:
        measured = f", same answer as model.keras for {result.agreement:.1%} of {result.n} examples"
    size = result.bytes / 1e6
    logging.info("export %s: %.2f MB%s, %s%s", name, size, measured, result.status, repaired)
