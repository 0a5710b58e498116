"""Chooses the golden images of `export/device/`, which test whether a device answers correctly.

The images are written with the answers to expect. A device may have faults, such as swapped
colours, and correct devices differ a little by rounding. An image shows a fault only if the fault
changes the answer more than rounding does. So this module simulates faults on images for which the
model is least sure, and chooses the images whose answers change most.
"""

import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

from tl_keras import tasks
from tl_keras.data.batching.batches import examples_of
from tl_keras.export.description import Examples
from tl_keras.modalities import device_folder
from tl_keras.modalities.image import prepare
from tl_keras.modalities.image.config import ImageConfig
from tl_keras.modalities.image.device import predict
from tl_keras.run.files import write_json

IMAGES = 10  # golden images at most
LEAST = 3  # golden images at least, if there are so many examples
ORIGINALS = 2  # The first golden images have an original file, so decoding is checked.
# The last golden images have a made file that is not square. All original files may be square, and
# then stretch, crop and pad would give the same pixels.
MADE = 2
PIXEL_BYTES = 2_000_000  # of all golden images before compression, unless there are `LEAST`
FILE_BYTES = 4_000_000  # of all copied original files
POOL = 128  # examples that the model answers
BLENDS = 32  # means of two examples that the model answers
CANDIDATES = 24  # images in which faults are planted
UNSURE = 0.9  # An image is sure above this probability: faults hardly change its answer.
# Allowed differences of probabilities: at least these, and at least twice the differences that
# `_tolerances` measures.
TOLERANCE = {"pixels": 0.03, "file": 0.06}
# What a device can do wrong before it runs the model.
FAULTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "red and blue swapped": lambda pixels: pixels[..., ::-1],
    "inverted colours": lambda pixels: 255 - pixels,
    "brightness x 0.6": lambda pixels: (pixels * 0.6).astype(np.uint8),
    "shift of 3 px": lambda pixels: np.roll(pixels, 3, axis=1),
}
LABELS = "labels in another order"

Answer = Callable[[np.ndarray], np.ndarray]  # From prepared pixels to probabilities.


@dataclass(frozen=True)
class Candidate:
    """An image that may become a golden image.

    Attributes:
      example: index of the example whose label the image has.
      pixels: the prepared image, which is the input of the model, `(size, size, 3) uint8`.
      original: the file from which `pixels` are prepared; None if there is no such file.
      picture: a generated picture from which `pixels` are prepared, if there is no original file;
        `(height, width, 3) uint8`.
    """

    example: int
    pixels: np.ndarray
    original: Path | None
    picture: np.ndarray | None


def write(folder: Path, file: Path, spec: dict[str, Any], examples: Examples, task: str) -> None:
    """Writes golden images and `golden.json`, which has the answers to expect.

    Args:
      folder: a folder that does not exist yet.
      file: the LiteRT file to ship.
      spec: the result of `bundle.spec_of`.
      examples: the examples to choose from.
      task: a task for which `predictions.csv` has the columns label and prediction.
    """
    folder.mkdir()
    answer = _answering(predict.load(file))
    candidates = _candidates(answer, spec, examples)
    inputs = [candidate.pixels for candidate in candidates]
    expected = [answer(pixels) for pixels in inputs]
    allowed = _tolerances(inputs, expected, answer, _answering(device_folder.without_xnnpack(file)))
    changes = np.stack(
        [
            _changes(pixels, right, answer) / tolerance["pixels"]
            for pixels, right, tolerance in zip(inputs, expected, allowed, strict=True)
        ]
    )
    count = int(np.clip(PIXEL_BYTES // (3 * spec["image_size"] ** 2), LEAST, IMAGES))
    real = np.array([candidate.original is not None for candidate in candidates])
    chosen = most_changed(changes, real, count)
    copied = _to_copy([candidates[i] for i in chosen])
    images, row = [], tasks.of(task, "predictions").row
    for number, i in enumerate(chosen):
        entry = _write_image(folder, number, candidates[i], copied)
        label = int(examples.inputs.labels[candidates[i].example])
        entry["label"], entry["prediction"], *_ = row(expected[i], label, spec["labels"])
        entry["probabilities"] = [float(p) for p in expected[i]]
        entry["tolerance"] = dict(allowed[i])
        if candidates[i].original is None:  # Every decoder gives the same pixels of a made PNG.
            entry["tolerance"]["file"] = max(allowed[i]["pixels"], TOLERANCE["file"])
        images.append(entry)
    shown = changes[chosen].max(axis=0, initial=0)
    missed = [name for name, change in zip([*FAULTS, LABELS], shown, strict=True) if change <= 1]
    write_json(folder / "golden.json", {"images": images, "undetected": missed})


def _answering(interpreter: Any) -> Answer:
    return lambda pixels: predict.run(interpreter, np.ascontiguousarray(pixels))["probabilities"]


def _tolerances(
    inputs: Sequence[np.ndarray], expected: Sequence[np.ndarray], answer: Answer, plain: Answer
) -> list[dict[str, float]]:
    """Returns, for each image, how far a correct device's probability may be from the expected one.

    Each image has two bounds, as in `{"pixels": 0.03, "file": 0.06}`: `pixels` is for a device that
    gets the prepared pixels, `file` is for a device that decodes and resizes the file itself.
    Kernels of another processor round differently. Another decoder may also change pixels by one
    level of 255.

    Args:
      inputs: the prepared images.
      expected: the answers of `answer`.
      answer: runs the model with the default kernels.
      plain: runs the model with kernels that round differently.
    """
    generator = np.random.default_rng(0)
    rounded, decoded = [], []
    for pixels, right in zip(inputs, expected, strict=True):
        levels = pixels + generator.integers(-1, 2, pixels.shape)
        rounded.append(_difference(plain(pixels), right))
        decoded.append(_difference(answer(np.clip(levels, 0, 255).astype(np.uint8)), right))
    kernels = _at_least_typical(rounded)
    files = np.maximum(kernels, _at_least_typical(decoded))
    return [
        {
            "pixels": round(max(TOLERANCE["pixels"], 2 * float(kernel)), 4),
            "file": round(max(TOLERANCE["file"], 2 * float(file)), 4),
        }
        for kernel, file in zip(kernels, files, strict=True)
    ]


def _at_least_typical(differences: Sequence[float]) -> np.ndarray:
    """Returns `differences`, each raised to their root mean square if it is smaller.

    The difference measured on one image is not enough, because it can be 0 by chance.

    Args:
      differences: for each image, how much its answer differs by rounding or by decoding.
    """
    values = np.asarray(differences)
    return np.maximum(values, np.sqrt(np.mean(values**2)))


def _difference(answer: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(answer - expected).max())


def _changes(pixels: np.ndarray, expected: np.ndarray, answer: Answer) -> np.ndarray:
    """Returns how much each fault changes the answer to one image, `(faults,)`.

    The change is the largest difference of a probability. The faults are those of `FAULTS`, in
    their order, and then `LABELS`: labels in another order.
    """
    answers = [answer(fault(pixels)) for fault in FAULTS.values()]
    return np.array([_difference(changed, expected) for changed in (*answers, expected[::-1])])


def most_changed(changes: np.ndarray, real: np.ndarray, count: int) -> list[int]:
    """Returns the indices of up to `count` images that best reveal the faults of a device.

    The faults take turns, more than once if needed: at each turn, the image is chosen whose answer
    that fault changes most. The first `ORIGINALS` images are chosen among images with an original
    file, and the last `MADE` images among images without one, as long as any of these are left.

    Args:
      changes: `(images, faults)`, the change of the answer by a fault, divided by the change that
        is allowed for a correct device.
      real: `(images,) bool`, whether the image has an original file.
    """
    chosen: list[int] = []
    count = min(count, len(changes))
    while (place := len(chosen)) < count:
        values = changes[:, place % changes.shape[1]].copy()
        values[chosen] = -np.inf
        wanted = values > -np.inf
        if place < ORIGINALS:
            wanted &= real
        elif place >= count - MADE:
            wanted &= ~real
        if wanted.any():
            values[~wanted] = -np.inf
        chosen.append(int(values.argmax()))
    return chosen


def _candidates(answer: Answer, spec: dict[str, Any], examples: Examples) -> list[Candidate]:
    """Returns candidates for golden images, preferably images for which the model is unsure.

    At most `CANDIDATES` images are taken, and a few enlarged copies are added at the end. The
    images are taken from these groups in this order, the least sure of each group first:

    1. the least sure examples, as many as `LEAST`;
    2. other examples for which the model is unsure;
    3. blends (means of two examples) for which the model is unsure;
    4. other examples;
    5. other blends.
    """
    places = pool(examples.inputs.labels)
    pixels = examples_of(examples.inputs.part(places))
    answers = np.stack([answer(image) for image in pixels])
    pairs = _pairs(answers.argmax(axis=1))
    blends = [((pixels[i].astype(int) + pixels[j]) // 2).astype(np.uint8) for i, j in pairs]
    tops = np.concatenate([answers.max(axis=1), [answer(image).max() for image in blends]])
    blended = np.arange(len(tops)) >= len(pixels)
    order = np.lexsort((tops, blended, tops > UNSURE))
    sources = [*places, *(places[i] for i, _ in pairs)]
    # The least sure examples stay in the list even if the model is sure of all of them.
    first = order[~blended[order]][:LEAST]
    rest = order[~np.isin(order, first)]
    images = [*pixels, *blends]
    listed = [
        _candidate(int(sources[i]), images[i], bool(blended[i]), spec, examples)
        for i in np.concatenate([first, rest])[:CANDIDATES]
    ]
    real = [candidate for candidate in listed[: 2 * MADE] if candidate.original]
    made = [_enlarged(candidate.example, candidate.pixels, spec) for candidate in real]
    return [*listed, *made]


def pool(labels: np.ndarray) -> np.ndarray:
    """Returns indices of up to `POOL` examples to make candidates of: one per class, then others.

    The others are evenly spaced over the data set.
    """
    firsts = np.sort(np.unique(labels, return_index=True)[1])
    others = np.setdiff1d(np.arange(len(labels)), firsts)
    step = -(-len(others) // POOL) or 1
    return np.concatenate([firsts, others[::step]])[:POOL]


def _pairs(predicted: np.ndarray) -> list[tuple[int, int]]:
    """Returns up to `BLENDS` pairs of images with different predictions."""
    order = np.argsort(predicted, kind="stable")
    half = len(order) // 2
    pairs = [(int(i), int(j)) for i, j in zip(order[:half], order[half:], strict=False)]
    return [(i, j) for i, j in pairs if predicted[i] != predicted[j]][:BLENDS]


def _candidate(
    example: int, pixels: np.ndarray, blended: bool, spec: dict[str, Any], examples: Examples
) -> Candidate:
    if examples.paths is not None and not blended:
        original = examples.paths[example]
        if original.stat().st_size <= FILE_BYTES:
            return Candidate(example, pixels, original, None)
    return _enlarged(example, pixels, spec)


def _enlarged(example: int, pixels: np.ndarray, spec: dict[str, Any]) -> Candidate:
    """Returns a candidate whose picture is larger than `pixels` and not square, to test resizing.

    The picture is enlarged from `pixels`, and then prepared again.
    """
    size = spec["image_size"]
    height, width = 3 * size // 2 + 1, 2 * size + 3
    rows, columns = (np.arange(n) * size // n for n in (height, width))
    picture = pixels[rows][:, columns]
    how = {name: spec[name] for name in ("resize", "antialias")}
    prepared = prepare.prepare(tf.constant(picture), ImageConfig(size=size, **how)).numpy()
    return Candidate(example, prepared, None, picture)


def _to_copy(candidates: list[Candidate]) -> set[Path]:
    """Returns the original files to copy into the folder of golden images.

    The smallest files are taken first, until their total size would exceed `FILE_BYTES`.
    """
    files = {candidate.original for candidate in candidates if candidate.original is not None}
    sizes = sorted((file.stat().st_size, file) for file in files)
    totals = np.cumsum([size for size, _ in sizes])
    return {file for (_, file), total in zip(sizes, totals, strict=True) if total <= FILE_BYTES}


def _write_image(
    folder: Path, number: int, candidate: Candidate, copied: set[Path]
) -> dict[str, Any]:
    """Writes the prepared image as `N.png`, and the picture before preparation as `N_file`.

    Returns:
      a dict: `pixels` is the name of the first file, `file` is the name of the second file, or None
      if the second file was not written.
    """
    Image.fromarray(candidate.pixels).save(folder / f"{number}.png")
    names: dict[str, Any] = {"pixels": f"{number}.png", "file": None}
    if candidate.original in copied:
        suffix = candidate.original.suffix.lower()
        # Keep only a short, plain suffix: any other may be too long for a file name here.
        plain_suffix = suffix if re.fullmatch(r"\.\w{1,5}", suffix) else ""
        names["file"] = f"{number}_file{plain_suffix}"
        shutil.copyfile(candidate.original, folder / names["file"])
    elif candidate.picture is not None:
        names["file"] = f"{number}_file.png"
        Image.fromarray(candidate.picture).save(folder / names["file"])
    return names
