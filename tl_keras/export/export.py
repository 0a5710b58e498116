"""Exports: each format is written, loaded back, measured against model.keras, and mended."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
from absl import logging

from tl_keras import tasks
from tl_keras.config.export import WHOLE, ExportConfig
from tl_keras.data.inputs import Inputs
from tl_keras.export import parity, proof
from tl_keras.export.formats import flatbuffer, litert
from tl_keras.export.formats.converted import Converted, content_of, convert, shape_of
from tl_keras.export.proof import OK, Subject, Writing, file_name
from tl_keras.run.files import TEMPORARY
from tl_keras.run.result.exports import Exported

FOLDER = "export"  # of a run
FEW = 8  # Examples to calibrate a file on of which only size and speed are asked.


def export(subject: Subject, writing: Writing, judge: Subject | None = None) -> dict[str, Exported]:
    """Writes every format of `export.formats` to `writing.folder`; `export` of `result.json`.

    A format whose `status` is not "ok" misses its tolerance, and has `.rejected` in its name; the
    status says by how much.

    Args:
      judge: a model of the same layers whose val it has not seen, where `subject` has seen its own.

    Raises:
      ValueError: the model needs operators that LiteRT lacks.
    """
    formats = writing.config.formats
    own: Any = None
    theirs: Any = None
    if set(formats) - set(WHOLE):
        own = _converted(subject, writing)
        theirs = own
        if judge and set(formats) - {*WHOLE, "float32"}:
            theirs = _converted(judge, writing)
            if shape_of(own) != shape_of(theirs):
                judge, theirs = None, own
    results: dict[str, Exported] = {}
    for name in formats:
        if name in WHOLE:
            entry = proof.whole(name, subject, writing)
        elif name == "float32" and flatbuffer.flex(own.content):
            entry = proof.unproved(proof.write(own.content, name, writing))
        elif name == "float32":
            entry = proof.exact(name, proof.write(own.content, name, writing), subject, writing)
        else:
            entry = proof.quantised(name, (subject, own), (judge or subject, theirs), writing)
        results[name] = entry
        _log(name, entry, writing.task)
    for made, entry in results.items():
        final = file_name(made, rejected=entry.status != OK)
        (writing.folder / file_name(made)).rename(writing.folder / final)
        results[made] = entry.model_copy(update={"path": f"{FOLDER}/{final}"})
    return results


@contextmanager
def unfinished(folder: Path) -> Iterator[Path]:
    """A folder inside `folder` for files that are not yet in their place."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=folder))
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def put_in_place(new: Path, folder: Path, made: dict[str, Exported], others: Sequence[str]) -> None:
    """Renames what an export wrote to a folder onto what an earlier one left.

    Args:
      made: of `export`.
      others: names of files and folders beside those.
    """
    for name in [*(Path(entry.path).name for entry in made.values()), *others]:
        if (folder / name).is_dir():  # A folder cannot be renamed onto another.
            (folder / name).rename(new / f"{name}.old")
        (new / name).rename(folder / name)
    for name, entry in made.items():
        remove(folder / file_name(name, rejected=entry.status == OK))


def remove(path: Path) -> None:
    """Removes a file or folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def size_and_latency(
    model: keras.Model, inputs: dict[str, Inputs], name: str, task: str = tasks.DEFAULT
) -> dict[str, float]:
    """`bytes` and `latency_ms` (median, one thread) of a model's LiteRT file of a format.

    They depend on the architecture and not on its weights.
    """
    with tempfile.TemporaryDirectory() as temporary:
        few = litert.calibration_examples(inputs["train"], FEW, task)
        config = ExportConfig.model_validate({"formats": [name]})
        own = convert(model, few, config, None, Path(temporary))
        file = Path(temporary, "model.tflite")
        file.write_bytes(content_of(own, name))
        latency = parity.latency(file, inputs["val"])
        return {"bytes": parity.num_bytes(file), "latency_ms": latency.median}


def _converted(subject: Subject, writing: Writing) -> Converted:
    count = writing.config.calibration_examples
    examples = litert.calibration_examples(subject.inputs["train"], count, writing.task)
    return convert(subject.model, examples, writing.config, writing.abstains, writing.folder)


def _log(name: str, result: Exported, task: str) -> None:
    mended = f", {len(result.repair.kept)} operators kept float" if result.repair else ""
    main = tasks.of(task, "names").MAIN
    measured = f", {main.replace('_', ' ')} {result[main]:.3f}" if main in result else ""
    size = result.bytes / 1e6
    logging.info("export %s: %.2f MB%s, %s%s", name, size, measured, result.status, mended)
