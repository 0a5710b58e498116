"""Writes `export/device/`: code that runs the shipped file on a device, and images to check it."""

import importlib.resources
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from tl_keras import tasks
from tl_keras.data.batching.batches import evaluation
from tl_keras.data.batching.inputs import CORES
from tl_keras.export import parity
from tl_keras.export.description import Examples
from tl_keras.modalities import device_folder
from tl_keras.modalities.image import golden
from tl_keras.modalities.image.config import ImageConfig
from tl_keras.modalities.image.decoding.pillow import quiet_pillow
from tl_keras.modalities.image.device import predict
from tl_keras.run.files import write_json
from tl_keras.run.result.exports import OnFiles

FOLDER = importlib.resources.files("tl_keras.modalities.image.device")
FILLED = ("prepare.h", "classify.cc", "Prepare.kt", "Classifier.kt", "README.md")
TASKS = ("classification",)  # Tasks whose outputs the device programs can print.
BATCH = 64


def measured_sentence(device: OnFiles) -> str:
    """Returns the result of `measure` as a sentence.

    The sentence leaves out the accuracy if `device` does not have it.
    """
    accuracy = f"accuracy {device['accuracy']:.3f}; " if "accuracy" in device else ""
    return (
        f"On the original files, decoded and resized by `predict.py`: {accuracy}"
        f"{device.identical:.0%} of the images have exactly the same pixels as after preparation "
        "by the training code."
    )


def spec_of(
    settings: ImageConfig,
    classes: Sequence[str],
    name: str,
    threshold: float | None,
    batch: int | str = 1,
) -> dict[str, Any]:
    """Returns the content of `spec.json`: what a program must know to use the model file.

    Args:
      name: format of the model file.
      threshold: a class is possible if its probability is at least this. The output `abstain` is 0
        if exactly one class is possible, else 1. None if the file has no output `abstain`.
      batch: batch size of the file, or `dynamic`.
    """
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
    """Measures the model file on the original images, decoded and resized by `predict.py`.

    The answers are compared with the answers of the same model file to the same images, prepared as
    in training.

    Returns:
      the accuracy on the original images and its interval; the share of images with the same
      answer; the largest difference of a probability; and `identical`, the share of images that
      get exactly the same pixels from both preparations.
    """
    count = min(CORES, parity.MOST_AT_ONCE)
    interpreters = [predict.load(file) for _ in range(count)]
    rows: list[tuple] = []

    def run(interpreter: Any, prepared: np.ndarray, places: np.ndarray) -> list[tuple]:
        compared = []
        for expected, place in zip(prepared, places, strict=True):
            pixels = predict.prepare(predict.decode(examples.paths[place]), spec)
            same = bool((pixels == expected).all())
            runs = [predict.run(interpreter, x)["probabilities"] for x in (pixels, expected)]
            compared.append((*runs, same))
        return compared

    with ThreadPoolExecutor(count) as pool, quiet_pillow():
        for images in evaluation(examples.inputs, BATCH).as_numpy_iterator():
            places = np.array_split(np.arange(len(rows), len(rows) + len(images)), count)
            shares = np.array_split(images, count)
            for share in pool.map(run, interpreters, shares, places):
                rows += share
    answers, reference = (np.stack([row[i] for row in rows]) for i in (0, 1))
    measures = tasks.of(TASKS[0], "exports").of_file(answers, reference, examples.inputs.labels)
    return OnFiles(**measures, identical=float(np.mean([row[2] for row in rows])))


def write(
    folder: Path,
    file: Path,
    spec: dict[str, Any],
    about: dict[str, str],
    examples: Examples,
    measured: str,
) -> None:
    """Writes the device folder. The folder must not exist yet.

    Args:
      file: the LiteRT file to ship.
      spec: the result of `spec_of`.
      about: texts for the README: `title` of the model, `about` (what the model does) and `by`
        (version, author, licence).
      examples: the examples from which the golden images, which test a device, are chosen.
      measured: score, size and latency of the file as Markdown, for the README.
    """
    folder.mkdir()
    values = {**words(spec), **about, "measured": measured}
    device_folder.fill(folder, FOLDER, FILLED, values)
    write_json(folder / "spec.json", {**spec, **device_folder.identity_of(file)})
    golden.write(folder / "golden", file, spec, examples, TASKS[0])


def words(spec: dict[str, Any]) -> dict[str, Any]:
    """Returns `{placeholder: value}` for the template files of the device folder.

    Args:
      spec: the result of `spec_of`.
    """
    fit, antialias, size = spec["resize"], spec["antialias"], spec["image_size"]
    return {
        "image_size": size,
        "resize": fit,
        "antialias": str(antialias).lower(),
        "fit": {"stretch": "kStretch", "crop": "kCrop", "pad": "kPad"}[fit],
        "fit_words": {
            "stretch": f"Keep the whole picture: step 3 stretches it to {size} x {size} px.",
            "crop": f"Crop the largest centred square: step 3 resizes it to {size} x {size} px.",
            "pad": f"Keep the whole picture: step 3 resizes it until its longer side is {size} px. "
            "Then add black equally on both sides to make it square.",
        }[fit],
        "antialias_words": "with antialiasing (a triangle filter; to each side it reaches "
        "`before / after`, see below, but at least 1, in pixels before resizing)"
        if antialias
        else "without antialiasing",
        "tf_words": " with `antialias=True`" if antialias else "",
        **device_folder.answer_words(spec),
    }
