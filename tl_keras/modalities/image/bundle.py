"""`export/device/`: what it takes to use a file on a device, and the proof that it works there."""

import importlib.resources
import re
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from PIL import Image

from tl_keras import tasks
from tl_keras.data.batches import evaluation, examples_of
from tl_keras.data.inputs import CORES
from tl_keras.export import parity
from tl_keras.export.description import Examples
from tl_keras.modalities.image.config import ImageConfig
from tl_keras.modalities.image.device import predict
from tl_keras.modalities.image.pillow import quiet_pillow
from tl_keras.run.files import write_json, write_text
from tl_keras.run.result.exports import OnFiles

FOLDER = importlib.resources.files("tl_keras.modalities.image.device")
COPIED = ("predict.py", "check.py")
FILLED = ("prepare.h", "classify.cc", "Prepare.kt", "Classifier.kt", "README.md")
TASKS = ("classification",)  # Those whose answers the programs give.
IMAGES = 3  # golden ones
BATCH = 64
# Of probabilities: kernels of other processors round otherwise, other decoders differ by a level.
TOLERANCE = {"pixels": 0.03, "file": 0.06}


def told(device: OnFiles) -> str:
    """What was measured on files, in words: from `measure`, or without an accuracy."""
    right = f"accuracy {device['accuracy']:.3f}; " if "accuracy" in device else ""
    return (
        f"By `predict.py`, from the files as they are: {right}{device.identical:.0%} of "
        "the images reach the model the same to the last pixel."
    )


def spec_of(
    settings: ImageConfig,
    classes: Sequence[str],
    name: str,
    threshold: float | None,
    batch: int | str = 1,
) -> dict[str, Any]:
    """`spec.json`: what a program has to know of the file."""
    return {
        "format": name,
        "batch": batch,
        "image_size": settings.size,
        "resize": settings.resize,
        "antialias": settings.antialias,
        "labels": list(classes),
        "abstain_threshold": threshold,
    }


def measure(file: Path, spec: dict[str, Any], examples: Examples) -> OnFiles:
    """Accuracy on files as the device reads them: decoded and resized by `predict.py`.

    Returns:
      As `exports.of_file` of the task against the file on prepared pixels.
    """
    count = min(CORES, parity.MOST_AT_ONCE)
    interpreters, rows = [predict.load(file) for _ in range(count)], []

    def run(interpreter: Any, prepared: np.ndarray, places: np.ndarray) -> list[tuple]:
        found = []
        for expected, place in zip(prepared, places, strict=True):
            pixels = predict.prepare(predict.decode(examples.paths[place]), spec)
            same = bool((pixels == expected).all())
            runs = [predict.run(interpreter, x)["probabilities"] for x in (pixels, expected)]
            found.append((*runs, same))
        return found

    with ThreadPoolExecutor(count) as pool, quiet_pillow():
        for images in evaluation(examples.inputs, BATCH).as_numpy_iterator():
            places = np.array_split(np.arange(len(rows), len(rows) + len(images)), count)
            shares = np.array_split(images, count)
            for share in pool.map(run, interpreters, shares, places):
                rows += share
    found, reference = (np.stack([row[i] for row in rows]) for i in (0, 1))
    compared = tasks.of(TASKS[0], "exports").of_file(found, reference, examples.inputs.labels)
    return OnFiles(**compared, identical=float(np.mean([row[2] for row in rows])))


def write(
    folder: Path,
    file: Path,
    spec: dict[str, Any],
    about: dict[str, str],
    examples: Examples,
    measured: str,
) -> None:
    """Writes the folder, which does not exist yet.

    Args:
      file: the LiteRT file that it is about.
      about: `title` and `about` of the model.
      measured: Markdown, what the file was measured at.
    """
    folder.mkdir()
    for name in COPIED:
        shutil.copyfile(str(FOLDER / name), folder / name)
    values = {**words(spec), **about, "measured": measured}
    for name in FILLED:
        text = Template((FOLDER / name).read_text(encoding="utf-8"))
        # A dollar that is no field is code: Kotlin's and the shell's.
        write_text(folder / name, text.safe_substitute(values))
    write_json(folder / "spec.json", spec)
    _write_golden(folder / "golden", file, spec, examples)


def words(spec: dict[str, Any]) -> dict[str, Any]:
    """What stands in the templates for their fields."""
    fit, antialias, size = spec["resize"], spec["antialias"], spec["image_size"]
    integer = spec["format"] == "int8"
    threshold, output = spec["abstain_threshold"], "uint8" if integer else "float32"
    batch = "any" if spec["batch"] == "dynamic" else spec["batch"]
    return {
        "image_size": size,
        "resize": fit,
        "antialias": str(antialias).lower(),
        "fit": {"stretch": "kStretch", "crop": "kCrop", "pad": "kPad"}[fit],
        "fit_words": {
            "stretch": "Take all of it: height and width become the same.",
            "crop": "Cut the largest square out of its middle.",
            "pad": f"Resize it so that the longer side is {size} px, and lay black beside it, the "
            "same on both sides.",
        }[fit],
        "antialias_words": "with antialiasing (a triangle as wide as the reduction)"
        if antialias
        else "without antialiasing",
        "tf_words": " with `antialias=True`" if antialias else "",
        "format": spec["format"],
        "classes": len(spec["labels"]),
        "output": output,
        "batch": batch,
        "scale_words": ": divide by 256." if integer else ".",
        "abstain_words": ""
        if threshold is None
        else f"\n`abstain ({batch},) {output}`: 1 where none or several classes reach a "
        f"probability of {threshold:.4g}, and the device had better not decide; else 0.\n",
        "labels": "".join(f"    {_c_string(name)},\n" for name in spec["labels"]),
    }


def _c_string(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("?", "\\?")
    return f'"{escaped}"'


def _write_golden(folder: Path, file: Path, spec: dict[str, Any], examples: Examples) -> None:
    folder.mkdir()
    interpreter, images = predict.load(file), []
    row = tasks.of(TASKS[0], "predictions").row
    chosen = different(examples.inputs.labels)
    for number, pixels in enumerate(examples_of(examples.inputs.part(chosen))):
        found = predict.run(interpreter, pixels)["probabilities"]
        Image.fromarray(pixels).save(folder / f"{number}.png")
        entry = {"pixels": f"{number}.png", "file": None}
        if examples.paths is not None:
            source = examples.paths[chosen[number]]
            suffix = source.suffix.lower()
            # Only one that says what the file is: the rest of a long name may be too long here.
            kept = suffix if re.fullmatch(r"\.\w{1,5}", suffix) else ""
            entry["file"] = f"{number}_file{kept}"
            shutil.copyfile(source, folder / entry["file"])
        label = int(examples.inputs.labels[chosen[number]])
        entry["label"], entry["prediction"], *_ = row(found, label, spec["labels"])
        images.append({**entry, "probabilities": [float(p) for p in found]})
    write_json(folder / "golden.json", {"tolerance": TOLERANCE, "images": images})


def different(labels: np.ndarray) -> np.ndarray:
    """Places of a few examples, of different labels as far as there are so many."""
    firsts = np.unique(labels, return_index=True)[1]
    others = np.setdiff1d(np.arange(len(labels)), firsts)
    return np.concatenate([np.sort(firsts), others])[:IMAGES]
