"""Exports: each format is written, loaded back and measured against model.keras."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
from absl import logging

from tl_keras.config import ExportConfig
from tl_keras.data.batches import Inputs
from tl_keras.export import litert, parity, saved_model
from tl_keras.export.saved_model import Prepare
from tl_keras.files import TEMPORARY, replacing, write_text
from tl_keras.quiet import quiet

OK = "ok"


def export(
    model: keras.Model,
    inputs: dict[str, Inputs],
    reference: dict[str, np.ndarray],
    prepare: Prepare,
    config: ExportConfig,
    folder: Path,
) -> dict[str, dict[str, Any]]:
    """Writes every format of `export.formats`; `export` of `result.json`.

    A format whose `status` is not "ok" misses its tolerance; the status says by how much.

    Args:
      model: `(size, size, 3) uint8` to probabilities.
      inputs: prepared images of train (to calibrate), val (to judge) and test (to report).
      reference: `model`'s own probabilities of val and, where there is one, test.
      prepare: decoded image to the model's input, for files given to the SavedModel.
      folder: gets the files; those of an earlier export are replaced one by one.
    """
    examples = litert.calibration_examples(inputs["train"], config.calibration_examples)
    results = {}
    with tempfile.TemporaryDirectory() as temporary:
        single = Path(temporary, "single")
        with quiet():
            saved_model.write_single(model, single)
        for name in config.formats:
            path = folder / FILES[name]
            if name == "saved_model":
                _replace_folder(model, path, prepare)
            else:
                with replacing(path) as file, quiet():
                    file.write_bytes(litert.convert(single, name, examples))
            results[name] = _measure(name, path, inputs, reference, config)
            _log(name, results[name])
    return results


def size_and_latency(model: keras.Model, inputs: dict[str, Inputs], name: str) -> dict[str, float]:
    """`bytes` and `latency_ms` (median, one thread) of a model's LiteRT file of a format.

    They depend on the architecture and not on its weights.
    """
    few = litert.calibration_examples(inputs["train"], FEW)
    with tempfile.TemporaryDirectory() as temporary, quiet():
        single, file = Path(temporary, "single"), Path(temporary, "model.tflite")
        saved_model.write_single(model, single)
        file.write_bytes(litert.convert(single, name, few))
        latency = parity.latency(file, inputs["val"])
        return {"bytes": parity.num_bytes(file), "latency_ms": latency["median"]}


FEW = 8  # Images to calibrate a file on of which only size and speed are asked.
FILES = {
    "saved_model": "saved_model",
    "float32": "model_float32.tflite",
    "float16": "model_float16.tflite",
    "dynamic": "model_dynamic.tflite",
    "int8": "model_int8.tflite",
}


def _replace_folder(model: keras.Model, path: Path, prepare: Prepare) -> None:
    """A folder cannot be renamed onto another: the old one makes way at the last moment."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=path.parent))
    try:
        with quiet():
            saved_model.write(model, temporary / "new", prepare)
        shutil.rmtree(path, ignore_errors=True)
        (temporary / "new").rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _measure(
    name: str,
    path: Path,
    inputs: dict[str, Inputs],
    reference: dict[str, np.ndarray],
    config: ExportConfig,
) -> dict[str, Any]:
    with quiet():
        load = parity.load_saved_model if name == "saved_model" else parity.load_litert
        runner = load(path)
    found = {split: runner(inputs[split]) for split in reference}
    last = "test" if "test" in reference else "val"
    compared = parity.compare(found[last], reference[last], inputs[last].labels)
    if name in ("saved_model", "float32"):
        difference = max(
            parity.compare(found[split], reference[split], inputs[split].labels)["max_abs_diff"]
            for split in reference
        )
        status = _status_of_difference(difference, config.max_difference)
    else:
        status = parity.status_of_accuracy(
            found["val"], reference["val"], inputs["val"].labels, config.max_accuracy_drop
        )
    return {
        "path": path.relative_to(path.parents[1]).as_posix(),
        "bytes": parity.num_bytes(path),
        **compared,
        "n": len(inputs[last]),
        "latency_ms": None if name == "saved_model" else parity.latency(path, inputs["val"]),
        "status": status,
    }


def _status_of_difference(difference: float, bound: float) -> str:
    if difference <= bound:
        return OK
    return f"probabilities differ by {difference:.2g}, over export.max_difference {bound:g}"


def _log(name: str, result: dict[str, Any]) -> None:
    logging.info(
        "export %s: %.2f MB, accuracy %.3f, %s",
        *(name, result["bytes"] / 1e6, result["accuracy"], result["status"]),
    )


def write_labels(classes: tuple[str, ...], folder: Path) -> None:
    """Writes `labels.txt`, a class a line, in the order of the probabilities."""
    write_text(folder / "labels.txt", "".join(f"{_one_line(name)}\n" for name in classes))


def _one_line(name: str) -> str:
    return " ".join(name.split())
