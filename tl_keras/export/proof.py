"""Checks an exported file: loads it back, judges it on val, repairs it, and measures it on test."""

import functools
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np
from absl import logging

from tl_keras import tasks
from tl_keras.config.export import NOT_LITERT, ExportConfig
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


@dataclass(frozen=True)
class Subject:
    """A model, and the examples on which its exported files are run.

    Attributes:
      model: maps a prepared example to an answer.
      inputs: prepared examples of train (to calibrate), val (to judge) and test (to report).
      reference: the model's own answers on val and, if there is one, on test.
      on: what `val` contains, in words, as in "loses 0.02 of accuracy on validation".
      trained_on_val: whether the model was trained on `val`, so that its score there means nothing.
    """

    model: keras.Model
    inputs: dict[str, Inputs]
    reference: dict[str, np.ndarray]
    on: str = "validation"
    trained_on_val: bool = False

    @property
    def last(self) -> str:
        """Returns the split on which files are reported: test, or val without a test split."""
        return "test" if "test" in self.reference else "val"

    @property
    def trained_on_last(self) -> bool:
        """Returns whether the model was trained on the examples on which files are reported."""
        return self.trained_on_val and self.last == "val"


@dataclass(frozen=True)
class Writing:
    """The settings that all files of an export share.

    Attributes:
      decode: turns the content of an example's file into the model's input, for `serve_encoded` of
        the SavedModel.
      about: description that is written into the files.
      config: the config section `export`.
      threshold: threshold of the output `abstain`; None without this output.
      folder: temporary folder to which files are written first.
      task: name of the task.
    """

    decode: Decode
    about: Description
    config: ExportConfig
    threshold: float | None
    folder: Path
    task: str = tasks.DEFAULT

    @property
    def output(self) -> str:
        """Returns the name of the output with the answer."""
        return tasks.of(self.task, "layer").OUTPUT

    @property
    def abstains(self) -> Abstains | None:
        """Returns the function that computes the output `abstain`; None without a threshold."""
        if self.threshold is None:
            return None
        abstains = tasks.of(self.task, "abstain").abstains
        return functools.partial(abstains, threshold=self.threshold)

    @property
    def judged(self) -> ModuleType:
        """Returns the task's module that measures how much a file loses."""
        return tasks.of(self.task, "exports")

    def is_sound(self, verdict: FileLoss) -> bool:
        """Returns whether a file with this verdict needs no repair."""
        return self.judged.is_sound(verdict, self.config.max_accuracy_drop)


@dataclass(frozen=True)
class Other:
    """A format whose files the LiteRT interpreter cannot open.

    Attributes:
      file: name of the file or folder.
      write: writes a model to a path.
      load: opens a path; see `parity.Runner`.
    """

    file: str
    write: Callable[[keras.Model, Path, Writing], None]
    load: Callable[[Path], parity.Runner]


def _write_saved_model(model: keras.Model, path: Path, writing: Writing) -> None:
    saved_model.write(model, path, writing.decode, writing.abstains)


def _write_onnx(model: keras.Model, path: Path, writing: Writing) -> None:
    onnx.write(model, path, writing.abstains)


OTHERS = {
    "saved_model": Other("saved_model", _write_saved_model, parity.load_saved_model),
    "onnx": Other("model.onnx", _write_onnx, onnx.load),
}


def file_name(name: str, rejected: bool = False) -> str:
    """Returns the name of a format's file or folder."""
    path = Path(OTHERS[name].file if name in OTHERS else f"model_{name}.tflite")
    return f"{path.stem}{REJECTED}{path.suffix}" if rejected else path.name


def write(content: bytes, name: str, writing: Writing) -> Path:
    """Writes the LiteRT file of the format `name` with metadata, and returns its path."""
    path = writing.folder / file_name(name)
    path.write_bytes(metadata.add(content, writing.about))
    return path


def not_litert(name: str, subject: Subject, writing: Writing) -> Exported:
    """Writes and checks a file of `OTHERS`; returns its entry of `export` in result.json."""
    path = writing.folder / file_name(name)
    with quiet():
        OTHERS[name].write(subject.model, path, writing)
    return exact(name, path, subject, writing)


def unproved(path: Path) -> Exported:
    """Returns the entry of a file that needs TensorFlow's operators (Flex) and cannot be run here.

    The LiteRT package on PyPI does not contain these operators.
    """
    content = path.read_bytes()
    return Exported(
        path=path.name,
        bytes=len(content),
        latency_ms=None,
        operators=flatbuffer.operators(flatbuffer.read(content)),
        status="not measured: the installed LiteRT cannot run "
        f"{', '.join(flatbuffer.flex(content))}",
    )


def exact(name: str, path: Path, subject: Subject, writing: Writing) -> Exported:
    """Returns the entry of a file whose answers may differ from the model's only by rounding.

    The file is rejected if any answer differs by more than `export.max_difference`.
    """
    answers, entry = _run(name, path, subject, writing, {"val", subject.last})
    bound = writing.config.max_difference
    # Measured on validation, like everything that decides; test only reports.
    difference = float(np.abs(answers["val"] - subject.reference["val"]).max())
    status = (
        OK
        if difference <= bound
        else f"{writing.judged.ANSWERS} differ by up to {difference:.2g}, which is over "
        f"export.max_difference {bound:g}"
    )
    return Exported(**entry, val=_on_validation(answers["val"], subject, writing), status=status)


def quantised(
    name: str,
    subject: tuple[Subject, Converted],
    judge: tuple[Subject, Converted],
    writing: Writing,
) -> Exported:
    """Returns the entry of a quantised file, judged by its loss on validation.

    If the file loses too much, the operators that cost most stay float.

    Args:
      subject: the model to export, and its float32 file.
      judge: the model on which the loss is measured, and its float32 file.
    """
    bound = writing.config.max_accuracy_drop
    model, converted = subject
    plain = content_of(converted, name)
    judged = plain if judge[1] is converted else content_of(judge[1], name)
    verdict = _verdict(judged, judge[0], writing)
    kept: tuple[int, ...] = ()
    steps: list[RepairStep] = []
    if not writing.is_sound(verdict):
        logging.info(
            "export %s: loses too much (%.3f) on %s; repairing it by keeping operators float",
            *(name, verdict.lost, verdict.on),
        )
        repaired = _repair(name, *judge, verdict, writing)
        kept, steps, verdict = repaired.kept, repaired.steps, repaired.verdict
    path = write(content_of(converted, name, kept) if kept else plain, name, writing)
    entry = _run(name, path, model, writing, {model.last})[1]
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
    answers = parity.load_litert(path, silent=True)(judge.inputs["val"])[writing.output]
    return _on_validation(answers, judge, writing)


def _on_validation(answers: np.ndarray, judge: Subject, writing: Writing) -> FileLoss:
    labels = judge.inputs["val"].labels
    return writing.judged.lost(answers, judge.reference["val"], labels, judge.on)


def _repair(
    name: str, judge: Subject, converted: Converted, first: FileLoss, writing: Writing
) -> repair.Repaired:
    strata = tasks.of(writing.task, "targets").strata(judge.inputs["val"].labels)
    chosen = litert.balanced(strata, repair.RANKED_ON)
    examples, reference = judge.inputs["val"].part(chosen), judge.reference["val"][chosen]
    path = writing.folder / "ranked.tflite"
    operators = quantise.candidates(converted.calibrated, name)

    def cost(positions: Sequence[int]) -> float:
        others = [other for other in operators if other not in positions]
        path.write_bytes(content_of(converted, name, others, ends=False))
        answers = parity.load_litert(path, silent=True)(examples)[writing.output]
        bar.update()
        return writing.judged.moved(answers, reference)

    def judged(kept: Collection[int]) -> FileLoss:
        return _verdict(content_of(converted, name, kept), judge, writing)

    with progress(title=f"repair {name}", unit=" runs") as bar:
        return repair.repair(first, judged, cost, operators, writing.is_sound)


def layer_name(scope: str) -> str:
    """Returns the name of the layer whose weights an operator has, such as `block_1_depthwise`.

    Args:
      scope: names of the operator's outputs, joined by semicolons.
    """
    parts = [part for part in scope.split(";") if part]
    with_weights = ("convolution", "depthwise", "MatMul")
    name = next((part for part in parts if part.endswith(with_weights)), parts[0])
    return name.rpartition("/")[0].removesuffix("_1") or name


def _run(
    name: str, path: Path, subject: Subject, writing: Writing, splits: Collection[str]
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Runs a file; returns answers by split, and fields of `Exported` from `subject.last`."""
    with quiet():
        runner = OTHERS[name].load(path) if name in OTHERS else parity.load_litert(path)
    outputs = {split: runner(subject.inputs[split]) for split in splits}
    if writing.output not in outputs[subject.last]:
        names = ", ".join(outputs[subject.last])
        raise RuntimeError(f"{path.name} has the outputs {names}; expected {writing.output!r}")
    answers = {split: by_name[writing.output] for split, by_name in outputs.items()}
    last = subject.last
    labels = subject.inputs[last].labels
    entry = {
        "path": path.name,
        "bytes": parity.num_bytes(path),
        **writing.judged.of_file(answers[last], subject.reference[last], labels),
        "latency_ms": None,
    }
    if writing.threshold is not None and last == "test":
        abstain = outputs[last]["abstain"]
        measure = tasks.of(writing.task, "abstain").measure
        entry["abstain"] = measure(answers[last], abstain, labels, writing.threshold)
    if name not in NOT_LITERT:
        content = path.read_bytes()
        entry |= {
            "latency_ms": parity.latency(path, subject.inputs["val"]),
            "latency_all_ms": parity.latency(path, subject.inputs["val"], CORES),
            "arena_bytes": parity.arena_bytes(content),
            "operators": flatbuffer.operators(flatbuffer.read(content)),
        }
    if name in quantise.STATIC:
        entry["float_operators"] = parity.float_operators(content)
    return answers, entry
