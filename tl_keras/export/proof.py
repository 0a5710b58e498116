"""Compares exported files with the model on val, repairs inaccurate files, measures all on test."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from tl_keras import tasks
from tl_keras.config.export import NOT_LITERT
from tl_keras.data.batching.inputs import CORES, Inputs, over_windows
from tl_keras.export import parity, repair
from tl_keras.export.formats import flatbuffer, litert, metadata, onnx, quantise, saved_model
from tl_keras.export.formats.converted import Converted, content_of
from tl_keras.export.subject import Subject, Writing
from tl_keras.modalities import part
from tl_keras.run.progress import progress
from tl_keras.run.quiet import quiet
from tl_keras.run.result.exports import Exported, FileLoss, Repair, RepairStep

OK = "ok"
REJECTED = ".rejected"
JUDGED_ON = 128  # examples by which a repair at least judges how far answers are from the model's


@dataclass(frozen=True)
class Other:
    """How to write and load a format that is not among `quantise.RECIPES`, such as ONNX.

    Attributes:
      file: name of the file or folder inside `export/`.
      write: writes a model to a path.
      load: returns a function that runs the file or folder at a path, see `parity.Runner`.
      longest: returns the length of the longest example that the file at a path takes; the file
        answers longer examples by their start alone. None if files take examples of any length.
    """

    file: str
    write: Callable[[Subject, Path, Writing], None]
    load: Callable[[Path], parity.Runner]
    longest: Callable[[Path], int] | None = None


def _write_saved_model(subject: Subject, path: Path, writing: Writing) -> None:
    saved_model.write(subject.model, path, writing.decode, writing.abstains)


def _write_onnx(subject: Subject, path: Path, writing: Writing) -> None:
    onnx.write(subject.model, path, writing.abstains)


def _write_mediapipe(subject: Subject, path: Path, writing: Writing) -> None:
    module, train = part("text", "mediapipe"), subject.inputs["train"]
    module.write(subject.model, path, train, writing.abstains, writing.about)


OTHERS = {
    "saved_model": Other("saved_model", _write_saved_model, parity.load_saved_model),
    "onnx": Other("model.onnx", _write_onnx, onnx.load),
    "mediapipe": Other(
        "model_mediapipe.tflite",
        _write_mediapipe,
        lambda path: part("text", "mediapipe").load(path),
        lambda path: part("text", "mediapipe").longest(path),
    ),
}


def file_name(name: str, rejected: bool = False) -> str:
    """Returns the name of the file or folder of a format, such as `model_int8.tflite`.

    Args:
      name: the format.
      rejected: whether the file was rejected; its name then contains `.rejected`.
    """
    path = Path(OTHERS[name].file if name in OTHERS else f"model_{name}.tflite")
    return f"{path.stem}{REJECTED}{path.suffix}" if rejected else path.name


def write(content: bytes, name: str, writing: Writing) -> Path:
    """Adds metadata to the content of a LiteRT file, writes the file and returns its path."""
    path = writing.folder / file_name(name)
    path.write_bytes(metadata.add(content, writing.about))
    return path


def not_litert(name: str, subject: Subject, writing: Writing) -> Exported:
    """Writes a file of a format in `OTHERS` and compares it with the model.

    Returns:
      The entry of the file in the field `export` of result.json.
    """
    path = writing.folder / file_name(name)
    with quiet():
        OTHERS[name].write(subject, path, writing)
    return exact(name, path, subject, writing)


def unproved(path: Path) -> Exported:
    """Returns the entry in result.json of a LiteRT file that needs Flex, and so is not measured.

    Flex are operators of TensorFlow itself. The LiteRT package on PyPI does not contain them, so
    it cannot run the file.
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
    """Compares a file that is not quantised with the model; returns its entry in result.json.

    Such a file differs from the model only by rounding. It is rejected if any answer on validation
    differs by more than `export.max_difference`. Examples that the file cuts off do not decide.
    """
    answers, entry = _run(name, path, subject, writing, {"val", subject.last})
    bound = writing.config.max_difference
    # Measured on validation, like everything that decides; test only reports.
    differences = np.abs(answers["val"] - subject.reference["val"])
    if "longest" in entry:
        differences = differences[~_longer(subject.inputs["val"], entry["longest"])]
    difference = float(differences.max(initial=0))
    status = (
        OK
        if difference <= bound
        else f"{writing.judged.ANSWERS} differ by up to {difference:.2g} from those of "
        f"model.keras; this difference is over export.max_difference {bound:g}"
    )
    return Exported(**entry, val=_on_validation(answers["val"], subject, writing), status=status)


def quantised(
    name: str,
    subject: tuple[Subject, Converted],
    judge: tuple[Subject, Converted],
    writing: Writing,
) -> Exported:
    """Writes a quantised file, repairs it if needed, and returns its entry in result.json.

    If `Writing.is_sound` rejects the file, it is repaired: some operators stay float, namely those
    whose quantisation changes the answers most.

    Args:
      subject: the model to export, and its float32 file.
      judge: a model and its float32 file. Its quantised file decides whether the file of `subject`
        is repaired, and what its status is. It is `subject` itself, unless `export.export` was
        called with another judge.
    """
    bound = writing.config.max_accuracy_drop
    model, converted = subject
    plain = content_of(converted, name)
    judge_file = plain if judge[1] is converted else content_of(judge[1], name)
    verdict = _verdict(judge_file, judge[0], writing)
    kept: tuple[int, ...] = ()
    steps: list[RepairStep] = []
    if not writing.is_sound(verdict):
        main = tasks.of(writing.task, "names").MAIN.replace("_", " ")
        logging.info(
            "export %s: on %s, this file loses %.3f of %s, and its answers differ from those of "
            "model.keras by %.3f on average; repairing it: some operators stay float",
            *(name, verdict.on, verdict.lost, main, verdict.moved),
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


def _verdict(content: bytes, judge: Subject, writing: Writing) -> FileLoss:
    path = writing.folder / "judged.tflite"
    path.write_bytes(content)
    run = parity.load_litert(path, silent=True)
    answers = over_windows(run, judge.inputs["val"])[writing.output]
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
    others = _others(judge, writing)

    def cost(positions: Sequence[int]) -> float:
        others = [other for other in operators if other not in positions]
        path.write_bytes(content_of(converted, name, others, ends=False))
        answers = over_windows(parity.load_litert(path, silent=True), examples)[writing.output]
        bar.update()
        return writing.judged.moved(answers, reference)

    def answers_of(content: bytes) -> np.ndarray:
        path.write_bytes(content)
        return over_windows(parity.load_litert(path, silent=True), others)[writing.output]

    # If all operators stay float, the answers are those of the model.
    known = answers_of(content_of(converted, name, operators)) if len(others) else None

    def checked(verdict: FileLoss, content: bytes) -> FileLoss:
        if known is None:
            return verdict
        moved = max(verdict.moved, writing.judged.moved(answers_of(content), known))
        return verdict.model_copy(update={"moved": moved, "also": len(others)})

    def verdict_on(kept: Collection[int]) -> FileLoss:
        content = content_of(converted, name, kept)
        return checked(_verdict(content, judge, writing), content)

    with progress(title=f"repair {name}", unit=" runs") as bar:
        first = checked(first, content_of(converted, name))
        return repair.repair(first, verdict_on, cost, operators, writing.is_sound)


def _others(judge: Subject, writing: Writing) -> Inputs:
    """Returns training examples that a repair also looks at, since validation has few.

    A repair chooses between files by their answers to the validation examples. If these are few, a
    file may fit them by chance. How far its answers are from the model's needs no labels, so
    training examples show it, too.
    """
    train = judge.inputs["train"]
    strata = tasks.of(writing.task, "targets").strata(train.labels)
    few = max(0, JUDGED_ON - len(judge.inputs["val"]))
    return train.part(litert.balanced(strata, few))


def _longer(inputs: Inputs, longest: int) -> np.ndarray:
    """Returns whether each example is longer than `longest`, `(examples,) bool`."""
    longer = np.zeros(len(inputs), bool) if inputs.lengths is None else inputs.lengths > longest
    return longer if inputs.windows is None else longer | (inputs.windows.counts > 1)


def layer_name(scope: str) -> str:
    """Returns the name of the Keras layer that an operator computes, such as `block_1_depthwise`.

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
    """Runs a file on some splits, and measures it on the split `subject.last`.

    Returns:
      the answers, `{split: (examples, ...)}`, and the measurements, as fields of `Exported`.
    """
    with quiet():
        runner = OTHERS[name].load(path) if name in OTHERS else parity.load_litert(path)
    other = OTHERS.get(name)
    longest = other.longest(path) if other and other.longest else None
    outputs = {
        split: over_windows(runner, inputs) if longest is None else runner(inputs)
        for split, inputs in subject.inputs.items()
        if split in splits
    }
    if writing.output not in outputs[subject.last]:
        names = ", ".join(outputs[subject.last])
        raise RuntimeError(
            f"{path.name} has the outputs {names}; expected an output {writing.output!r}"
        )
    answers = {split: by_name[writing.output] for split, by_name in outputs.items()}
    return answers, _measured(name, path, subject, writing, outputs[subject.last], longest)


def _measured(
    name: str,
    path: Path,
    subject: Subject,
    writing: Writing,
    outputs: dict[str, np.ndarray],
    longest: int | None,
) -> dict[str, Any]:
    """Returns the measurements of a file as fields of `Exported`.

    Args:
      outputs: the outputs of the file on the split `subject.last`, by name.
      longest: the length of the longest example that the file takes; None if it takes any.
    """
    last, answers = subject.last, outputs[writing.output]
    labels = subject.inputs[last].labels
    entry = {
        "path": path.name,
        "bytes": parity.num_bytes(path),
        **writing.judged.of_file(answers, subject.reference[last], labels),
        "latency_ms": None,
    }
    if longest is not None:
        entry["longest"] = longest
        entry["cut"] = float(_longer(subject.inputs[last], longest).mean())
    if writing.threshold is not None and last == "test":
        measure = tasks.of(writing.task, "abstain").measure
        entry["abstain"] = measure(answers, outputs["abstain"], labels, writing.threshold)
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
    return entry
