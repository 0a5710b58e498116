"""Exports: each format is written, loaded back, measured against model.keras, and mended."""

import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from absl import logging
from tqdm import tqdm

from tl_keras.config import ExportConfig
from tl_keras.data.batches import CORES, Inputs
from tl_keras.export import (
    conformal,
    flatbuffer,
    litert,
    metadata,
    onnx,
    parity,
    quantise,
    repair,
    saved_model,
)
from tl_keras.export.metadata import Description
from tl_keras.export.saved_model import Prepare
from tl_keras.files import TEMPORARY, write_text
from tl_keras.quiet import quiet

OK = "ok"
FEW = 8  # Images to calibrate a file on of which only size and speed are asked.
REJECTED = ".rejected"
NAMES = {"saved_model": "saved_model", "onnx": "model.onnx"}  # Others by `file_name`.
EXACT = ("saved_model", "float32", "onnx")  # Formats that compute as model.keras does.


@dataclass(frozen=True)
class Subject:
    """A model, and the examples that its files are run on.

    Attributes:
      model: `(size, size, 3) uint8` to probabilities.
      inputs: prepared images of train (to calibrate), val (to judge) and test (to report).
      reference: the model's own probabilities of val and, where there is one, test.
      on: what val is, in words.
    """

    model: keras.Model
    inputs: dict[str, Inputs]
    reference: dict[str, np.ndarray]
    on: str = "validation"

    @property
    def last(self) -> str:
        """The split that is reported: test where there is one."""
        return "test" if "test" in self.reference else "val"


@dataclass(frozen=True)
class Writing:
    """What all files of an export have in common.

    Attributes:
      prepare: decoded image to the model's input, for files given to the SavedModel.
      about: goes into the files.
      threshold: of `conformal`, where there is an output `abstain`.
      folder: where files are written before they are renamed.
    """

    prepare: Prepare
    about: Description
    config: ExportConfig
    threshold: float | None
    folder: Path


@dataclass(frozen=True)
class Converted:
    """The float32 LiteRT file of a model, and what it takes to quantise it."""

    content: bytes
    calibrated: quantise.Calibrated | None


def file_name(name: str, rejected: bool = False) -> str:
    """Of a format's file or folder."""
    path = Path(NAMES.get(name, f"model_{name}.tflite"))
    return f"{path.stem}{REJECTED}{path.suffix}" if rejected else path.name


def export(
    subject: Subject, writing: Writing, folder: Path, judge: Subject | None = None
) -> dict[str, dict[str, Any]]:
    """Writes every format of `export.formats`; `export` of `result.json`.

    A format whose `status` is not "ok" misses its tolerance, and has `.rejected` in its name; the
    status says by how much. Files of an earlier export stay until all of the new ones are there.

    Args:
      folder: gets the files.
      judge: a model of the same layers whose val it has not seen, where `subject` has seen its own.

    Raises:
      ValueError: the model needs operators that LiteRT lacks, or a package is missing.
    """
    formats = writing.config.formats
    own = theirs = None
    if set(formats) - set(NAMES):
        own = _converted(subject, writing)
        theirs = _converted(judge, writing) if judge else own
        if _shape_of(own) != _shape_of(theirs):
            judge, theirs = None, own
    results = {}
    for name in formats:
        if name in NAMES:
            entry = _whole(name, subject, writing)
        elif name == "float32" and flatbuffer.flex(own.content):
            entry = _unproved(_write(own.content, name, writing))
        elif name == "float32":
            entry = _exact(name, _write(own.content, name, writing), subject, writing)
        else:
            entry = _quantised(name, (subject, own), (judge or subject, theirs), writing)
        results[name] = entry
        _log(name, entry)
    for name, entry in results.items():
        rejected = entry["status"] != OK
        target = folder / file_name(name, rejected)
        replace(writing.folder / file_name(name), target)
        remove(folder / file_name(name, not rejected))
        entry["path"] = target.relative_to(folder.parent).as_posix()
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


def replace(source: Path, target: Path) -> None:
    """Renames a file or folder onto another. A folder cannot be: the old one makes way at the last
    moment."""
    if target.is_dir():
        shutil.rmtree(target)
    os.replace(source, target)


def remove(path: Path) -> None:
    """Removes a file or folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def size_and_latency(model: keras.Model, inputs: dict[str, Inputs], name: str) -> dict[str, float]:
    """`bytes` and `latency_ms` (median, one thread) of a model's LiteRT file of a format.

    They depend on the architecture and not on its weights.
    """
    with tempfile.TemporaryDirectory() as temporary:
        few = litert.calibration_examples(inputs["train"], FEW)
        own = _convert(model, few, ExportConfig(formats=(name,)), None, Path(temporary))
        file = Path(temporary, "model.tflite")
        file.write_bytes(_content(own, name))
        latency = parity.latency(file, inputs["val"])
        return {"bytes": parity.num_bytes(file), "latency_ms": latency["median"]}


def _converted(subject: Subject, writing: Writing) -> Converted:
    count = writing.config.calibration_examples
    examples = litert.calibration_examples(subject.inputs["train"], count)
    return _convert(subject.model, examples, writing.config, writing.threshold, writing.folder)


def _convert(
    model: keras.Model,
    examples: np.ndarray,
    config: ExportConfig,
    threshold: float | None,
    folder: Path,
) -> Converted:
    batch_size = None if config.batch == "dynamic" else 1
    with tempfile.TemporaryDirectory(dir=folder) as temporary, quiet():
        plain = Path(temporary, "plain")
        saved_model.write_plain(model, plain, batch_size, threshold)
        content = litert.convert(plain, config.allow_flex)
    quantised = sorted(set(config.formats) - {*NAMES, "float32"})
    if not quantised:
        return Converted(content, None)
    if flex := flatbuffer.flex(content):
        raise ValueError(
            f"export.formats: {', '.join(quantised)} cannot be made of a model with operators that "
            f"no LiteRT here runs ({', '.join(flex)}); expected saved_model or float32 alone"
        )
    return Converted(content, quantise.calibrate(content, examples))


def _content(own: Converted, name: str, kept: Collection[int] = (), ends: bool = True) -> bytes:
    if name == "float32":
        return own.content
    with quiet():
        return quantise.quantise(own.calibrated, name, kept, ends)


def _shape_of(converted: Converted) -> list[tuple[str, tuple[int, ...]]]:
    """What operators of two files must have in common for one to be judged by the other."""
    model = flatbuffer.read(converted.content)
    graph = model.subgraphs[0]
    return [
        (flatbuffer.kind(model, operator), tuple(graph.tensors[operator.outputs[0]].shape))
        for operator in graph.operators
    ]


def _write(content: bytes, name: str, writing: Writing) -> Path:
    """A LiteRT file with its metadata."""
    path = writing.folder / file_name(name)
    path.write_bytes(metadata.add(content, writing.about))
    return path


def _whole(name: str, subject: Subject, writing: Writing) -> dict[str, Any]:
    """A format that is no LiteRT file."""
    path = writing.folder / file_name(name)
    with quiet():
        if name == "saved_model":
            saved_model.write(subject.model, path, writing.prepare, writing.threshold)
        else:
            onnx.write(subject.model, path, writing.threshold)
    return _exact(name, path, subject, writing)


def _unproved(path: Path) -> dict[str, Any]:
    """The entry of a file that needs TensorFlow's operators: LiteRT's own wheel has none."""
    content = path.read_bytes()
    return {
        "path": path.name,
        "bytes": len(content),
        "latency_ms": None,
        "operators": flatbuffer.operators(flatbuffer.read(content)),
        "status": f"not proved: no LiteRT here runs {', '.join(flatbuffer.flex(content))}",
    }


def _exact(name: str, path: Path, subject: Subject, writing: Writing) -> dict[str, Any]:
    """The entry of a file that gives the model's own probabilities, or it is rejected."""
    found, entry = _run(name, path, subject, writing)
    bound = writing.config.max_difference
    difference = max(
        parity.compare(found[split], own, subject.inputs[split].labels)["max_abs_diff"]
        for split, own in subject.reference.items()
    )
    entry["val"] = _on_validation(found["val"], subject)
    entry["status"] = (
        OK
        if difference <= bound
        else f"probabilities differ by {difference:.2g}, over export.max_difference {bound:g}"
    )
    return entry


def _quantised(
    name: str,
    subject: tuple[Subject, Converted],
    judge: tuple[Subject, Converted],
    writing: Writing,
) -> dict[str, Any]:
    """The entry of a file that is judged by what it loses on validation, and mended by it."""
    bound = writing.config.max_accuracy_drop
    verdict = _verdict(name, *judge, writing)
    kept, steps = (), []
    if not repair.is_sound(verdict, bound):
        logging.info("export %s: loses %.3f on %s; mending", name, verdict["lost"], verdict["on"])
        mended = _repair(name, *judge, verdict, writing)
        kept, steps, verdict = mended.kept, mended.steps, mended.verdict
    own, converted = subject
    path = _write(_content(converted, name, kept), name, writing)
    entry = _run(name, path, own, writing)[1]
    entry["val"] = verdict
    if steps:
        plain = len(metadata.add(_content(converted, name), writing.about))
        entry["repair"] = {
            "kept": [layer_name(converted.calibrated.scopes[i]) for i in kept],
            "bytes": entry["bytes"] - plain,
            "steps": steps,
        }
    entry["status"] = _status(verdict, bound)
    if not verdict["interval"][0] > bound and verdict["interval"][1] > bound:
        entry["undecided"] = verdict["n"]
    return entry


def _status(verdict: dict[str, Any], bound: float) -> str:
    low, high = verdict["interval"]
    if low <= bound:
        return OK
    return (
        f"loses {verdict['lost']:.3f} of accuracy on {verdict['on']} (95% interval {low:.3f} to "
        f"{high:.3f}), over export.max_accuracy_drop {bound:g}"
    )


def _verdict(
    name: str, judge: Subject, converted: Converted, writing: Writing, kept: Collection[int] = ()
) -> dict[str, Any]:
    path = writing.folder / "judged.tflite"
    path.write_bytes(metadata.add(_content(converted, name, kept), writing.about))
    found = parity.load_litert(path, silent=True)(judge.inputs["val"])["probabilities"]
    return _on_validation(found, judge)


def _on_validation(found: np.ndarray, judge: Subject) -> dict[str, Any]:
    lost = parity.lost(found, judge.reference["val"], judge.inputs["val"].labels)
    return {**lost, "on": judge.on}


def _repair(
    name: str, judge: Subject, converted: Converted, first: dict[str, Any], writing: Writing
) -> repair.Repaired:
    some = judge.inputs["val"].part(np.arange(min(repair.RANKED_ON, len(judge.inputs["val"]))))
    reference = judge.reference["val"][: len(some)]
    path = writing.folder / "ranked.tflite"
    every = quantise.candidates(converted.calibrated, name)

    def cost(place: int) -> float:
        others = [other for other in every if other != place]
        content = _content(converted, name, others, ends=False)
        path.write_bytes(metadata.add(content, writing.about))
        found = parity.load_litert(path, silent=True)(some)["probabilities"]
        bar.update()
        return parity.moved(found, reference)

    def judged(kept: Sequence[int]) -> dict[str, Any]:
        return _verdict(name, judge, converted, writing, kept)

    with tqdm(total=len(every), desc=f"mend {name}", unit=" operators", leave=False) as bar:
        return repair.repair(first, judged, cost, every, writing.config.max_accuracy_drop)


def layer_name(scope: str) -> str:
    """Of an operator, for people: the layer's whose weights it has, as in `block_1_depthwise`."""
    parts = [part for part in scope.split(";") if part]
    with_weights = ("convolution", "depthwise", "MatMul")
    found = next((part for part in parts if part.endswith(with_weights)), parts[0])
    return found.rpartition("/")[0].removesuffix("_1") or found


def _run(
    name: str, path: Path, subject: Subject, writing: Writing
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Probabilities by split, and what was measured of a file; of test, where there is one."""
    with quiet():
        runner = RUNNERS.get(name, parity.load_litert)(path)
    outputs = {split: runner(subject.inputs[split]) for split in subject.reference}
    found = {split: own["probabilities"] for split, own in outputs.items()}
    last = subject.last
    labels = subject.inputs[last].labels
    entry = {
        "path": path.name,
        "bytes": parity.num_bytes(path),
        **parity.compare(found[last], subject.reference[last], labels),
        "latency_ms": None,
    }
    if writing.threshold is not None:
        abstain = outputs[last]["abstain"]
        entry["abstain"] = conformal.measure(found[last], abstain, labels, writing.threshold)
    if name not in NAMES:
        content = path.read_bytes()
        entry |= {
            "latency_ms": parity.latency(path, subject.inputs["val"]),
            "latency_all_ms": parity.latency(path, subject.inputs["val"], CORES),
            "arena_bytes": parity.arena_bytes(content),
            "operators": flatbuffer.operators(flatbuffer.read(content)),
        }
    if name in quantise.STATIC:
        entry["float_operators"] = parity.float_operators(content)
    return found, entry


RUNNERS = {"saved_model": parity.load_saved_model, "onnx": onnx.load}


def _log(name: str, result: dict[str, Any]) -> None:
    mended = f", {len(result['repair']['kept'])} operators kept float" if "repair" in result else ""
    accuracy = f", accuracy {result['accuracy']:.3f}" if "accuracy" in result else ""
    size = result["bytes"] / 1e6
    logging.info("export %s: %.2f MB%s, %s%s", name, size, accuracy, result["status"], mended)


def write_labels(classes: tuple[str, ...], folder: Path) -> None:
    """Writes `labels.txt`, a class a line, in the order of the probabilities."""
    write_text(folder / "labels.txt", "".join(f"{one_line(name)}\n" for name in classes))


def one_line(name: str) -> str:
    """A class name as a line of a label file."""
    return " ".join(name.split())
