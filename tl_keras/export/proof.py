"""A format's file: written, loaded back, judged on validation, mended, and measured on test."""

import functools
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np
from absl import logging

from tl_keras import tasks
from tl_keras.config.export import WHOLE, ExportConfig
from tl_keras.data.inputs import CORES, Inputs
from tl_keras.export import parity, repair
from tl_keras.export.description import Description
from tl_keras.export.formats import flatbuffer, litert, metadata, onnx, quantise, saved_model
from tl_keras.export.formats.converted import Converted, content_of
from tl_keras.export.formats.saved_model import Abstains, Decode
from tl_keras.run.progress import progress
from tl_keras.run.quiet import quiet
from tl_keras.run.result.exports import Exported, FileLoss, Repair, RepairStep

OK = "ok"
REJECTED = ".rejected"
NAMES = {"saved_model": "saved_model", "onnx": "model.onnx"}  # Others by `file_name`.


@dataclass(frozen=True)
class Subject:
    """A model, and the examples that its files are run on.

    Attributes:
      model: a prepared example to answer.
      inputs: prepared examples of train (to calibrate), val (to judge) and test (to report).
      reference: the model's own answers of val and, where there is one, test.
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
      decode: what a file holds to the model's input, for files given to the SavedModel.
      about: goes into the files.
      threshold: of the task's `abstain`, where there is such an output.
      folder: where files are written before they are renamed.
      task: what the answers are.
    """

    decode: Decode
    about: Description
    config: ExportConfig
    threshold: float | None
    folder: Path
    task: str = tasks.DEFAULT

    @property
    def output(self) -> str:
        """The name of the files' answer."""
        return tasks.of(self.task, "layer").OUTPUT

    @property
    def abstains(self) -> Abstains | None:
        """What gives the output `abstain`; None where there is no threshold."""
        if self.threshold is None:
            return None
        abstains = tasks.of(self.task, "abstain").abstains
        return functools.partial(abstains, threshold=self.threshold)

    @property
    def judged(self) -> ModuleType:
        """What says how good a file is."""
        return tasks.of(self.task, "exports")

    def is_sound(self, verdict: FileLoss) -> bool:
        """Whether a file of a verdict needs no mending."""
        return self.judged.is_sound(verdict, self.config.max_accuracy_drop)


def file_name(name: str, rejected: bool = False) -> str:
    """Of a format's file or folder."""
    path = Path(NAMES.get(name, f"model_{name}.tflite"))
    return f"{path.stem}{REJECTED}{path.suffix}" if rejected else path.name


def write(made: bytes, name: str, writing: Writing) -> Path:
    """A LiteRT file with its metadata."""
    path = writing.folder / file_name(name)
    path.write_bytes(metadata.add(made, writing.about))
    return path


def whole(name: str, subject: Subject, writing: Writing) -> Exported:
    """A format that is not a LiteRT file."""
    path = writing.folder / file_name(name)
    with quiet():
        if name == "saved_model":
            saved_model.write(subject.model, path, writing.decode, writing.abstains)
        else:
            onnx.write(subject.model, path, writing.abstains)
    return exact(name, path, subject, writing)


def unproved(path: Path) -> Exported:
    """The entry of a file that needs TensorFlow's operators: LiteRT's own wheel has none."""
    content = path.read_bytes()
    return Exported(
        path=path.name,
        bytes=len(content),
        latency_ms=None,
        operators=flatbuffer.operators(flatbuffer.read(content)),
        status=f"not proved: no LiteRT here runs {', '.join(flatbuffer.flex(content))}",
    )


def exact(name: str, path: Path, subject: Subject, writing: Writing) -> Exported:
    """The entry of a file that gives the model's own answers, or it is rejected."""
    found, entry = _run(name, path, subject, writing, {"val", subject.last})
    bound = writing.config.max_difference
    # Of validation, as all that decides.
    difference = float(np.abs(found["val"] - subject.reference["val"]).max())
    named = writing.judged.ANSWERS
    status = (
        OK
        if difference <= bound
        else f"{named} differ by {difference:.2g}, over export.max_difference {bound:g}"
    )
    return Exported(**entry, val=_on_validation(found["val"], subject, writing), status=status)


def quantised(
    name: str,
    subject: tuple[Subject, Converted],
    judge: tuple[Subject, Converted],
    writing: Writing,
) -> Exported:
    """The entry of a file that is judged by what it loses on validation, and mended by it."""
    bound = writing.config.max_accuracy_drop
    own, converted = subject
    plain = content_of(converted, name)
    judged = plain if judge[1] is converted else content_of(judge[1], name)
    verdict = _verdict(judged, judge[0], writing)
    kept: tuple[int, ...] = ()
    steps: list[RepairStep] = []
    if not writing.is_sound(verdict):
        logging.info("export %s: loses %.3f on %s; mending", name, verdict.lost, verdict.on)
        mended = _repair(name, *judge, verdict, writing)
        kept, steps, verdict = mended.kept, mended.steps, mended.verdict
    path = write(content_of(converted, name, kept) if kept else plain, name, writing)
    entry = _run(name, path, own, writing, {own.last})[1]
    if steps:
        entry["repair"] = Repair(
            kept=[layer_name(converted.calibrated.scopes[i]) for i in kept],
            bytes=entry["bytes"] - len(metadata.add(plain, writing.about)),
            steps=steps,
        )
    status = writing.judged.status(verdict, bound)
    if status == OK and verdict.interval[1] > bound:
        entry["undecided"] = verdict.n
    return Exported(**entry, val=verdict, status=status)


def _verdict(judged: bytes, judge: Subject, writing: Writing) -> FileLoss:
    path = writing.folder / "judged.tflite"
    path.write_bytes(judged)
    found = parity.load_litert(path, silent=True)(judge.inputs["val"])[writing.output]
    return _on_validation(found, judge, writing)


def _on_validation(found: np.ndarray, judge: Subject, writing: Writing) -> FileLoss:
    labels = judge.inputs["val"].labels
    return writing.judged.lost(found, judge.reference["val"], labels, judge.on)


def _repair(
    name: str, judge: Subject, converted: Converted, first: FileLoss, writing: Writing
) -> repair.Repaired:
    strata = tasks.of(writing.task, "targets").strata(judge.inputs["val"].labels)
    chosen = litert.in_turn(strata, repair.RANKED_ON)
    some, reference = judge.inputs["val"].part(chosen), judge.reference["val"][chosen]
    path = writing.folder / "ranked.tflite"
    every = quantise.candidates(converted.calibrated, name)

    def cost(places: Sequence[int]) -> float:
        others = [other for other in every if other not in places]
        path.write_bytes(content_of(converted, name, others, ends=False))
        found = parity.load_litert(path, silent=True)(some)[writing.output]
        bar.update()
        return writing.judged.moved(found, reference)

    def judged(kept: Collection[int]) -> FileLoss:
        return _verdict(content_of(converted, name, kept), judge, writing)

    with progress(title=f"mend {name}", unit=" runs") as bar:
        return repair.repair(first, judged, cost, every, writing.is_sound)


def layer_name(scope: str) -> str:
    """Of an operator, for people: the layer's whose weights it has, as in `block_1_depthwise`."""
    parts = [part for part in scope.split(";") if part]
    with_weights = ("convolution", "depthwise", "MatMul")
    found = next((part for part in parts if part.endswith(with_weights)), parts[0])
    return found.rpartition("/")[0].removesuffix("_1") or found


def _run(
    name: str, path: Path, subject: Subject, writing: Writing, splits: Collection[str]
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Answers by split, and fields of `Exported`: what was measured, on test where there is one."""
    with quiet():
        runner = RUNNERS.get(name, parity.load_litert)(path)
    outputs = {split: runner(subject.inputs[split]) for split in splits}
    found = {split: own[writing.output] for split, own in outputs.items()}
    last = subject.last
    labels = subject.inputs[last].labels
    entry = {
        "path": path.name,
        "bytes": parity.num_bytes(path),
        **writing.judged.of_file(found[last], subject.reference[last], labels),
        "latency_ms": None,
    }
    if writing.threshold is not None and last == "test":
        abstain = outputs[last]["abstain"]
        measure = tasks.of(writing.task, "abstain").measure
        entry["abstain"] = measure(found[last], abstain, labels, writing.threshold)
    if name not in WHOLE:
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
