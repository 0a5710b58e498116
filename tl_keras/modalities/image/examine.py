"""What looks wrong in examples that can be read: listed for people to judge, never left out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tl_keras.data.doctor import rare_answers
from tl_keras.data.examples import SPLITS, Dataset, Example
from tl_keras.data.inputs import Inputs
from tl_keras.modalities.image.config import ImageConfig
from tl_keras.modalities.image.copies import MAX_EXAMPLES, near_duplicates, thumbnails

ODD_ELONGATION = 2.0  # times the median of longer side / shorter side
ONE_COLOUR = 4.0  # standard deviation of grey levels, 0..127
FLAT = 2 / 3  # share of neighbouring pixels that are equal; photographs have under a half
FLATTER = 0.4  # than the median share
ODD_BRIGHTNESS = 5.0  # robust deviations from the median
ODD_LEVELS = 40.0  # grey levels from the median, at least


def examine(dataset: Dataset, inputs: dict[str, Inputs], settings: ImageConfig) -> dict[str, Any]:
    """Findings on a data set, ready for JSON; what cannot be looked at is not in it.

    Returns:
      `near_duplicates`: pairs that lie in two splits or under two labels: `files`, `splits`,
      `labels`, `distance` in bits. `rare`: classes that are hardly represented: `class`, `n`,
      `why`. `sizes` of the files, px: `n`; `width`, `height` and `aspect` (width / height) as
      [least, median, most]; `odd`, a list of `file`, `width`, `height`, `why`. `brightness`, mean
      grey in 0..255: `n`, `median`, `odd`, a list of `file`, `mean`, `why`.
    """
    findings: dict[str, Any] = {"rare": rare_answers(dataset)}
    splits = [split for split in SPLITS if dataset.splits[split]]
    examples = [example for split in splits for example in dataset.splits[split]]
    if dataset.root is not None:
        findings["sizes"] = sizes(examples, settings)
    in_memory = all(inputs[split].array is not None for split in splits)
    if in_memory and len(examples) <= MAX_EXAMPLES:
        grey = np.concatenate([thumbnails(inputs[split].array) for split in splits])
        flat = np.concatenate([flatness(inputs[split].array) for split in splits])
        findings["brightness"] = brightness(grey, flat, examples)
        of_split = [split for split in splits for _ in dataset.splits[split]]
        # Alike in one split under one label: nobody is harmed.
        split_of = np.repeat(np.arange(len(splits)), [len(dataset.splits[s]) for s in splits])
        labels = np.concatenate([dataset.labels(split) for split in splits])
        values, places = np.unique(labels, return_inverse=True)
        kind = split_of * len(values) + places
        findings["near_duplicates"] = [
            _pair((first, second), distance, examples, of_split, dataset)
            for first, second, distance in near_duplicates(grey, kind)
        ]
    return findings


def _pair(
    both: tuple[int, int],
    distance: int,
    examples: list[Example],
    splits: list[str],
    dataset: Dataset,
) -> dict[str, Any]:
    return {
        "files": [examples[i].file for i in both],
        "splits": [splits[i] for i in both],
        "labels": [dataset.text(examples[i]) for i in both],
        "distance": distance,
    }


def sizes(examples: Sequence[Example], settings: ImageConfig) -> dict[str, Any]:
    """Widths, heights and aspect ratios of files, and the odd ones among them."""
    width = np.array([example.checked.width for example in examples])
    height = np.array([example.checked.height for example in examples])
    aspect = width / height
    elongation = np.maximum(aspect, 1 / aspect)  # Upright or lying is all the same.
    median = float(np.median(elongation))
    odd = []
    for example, ratio in zip(examples, elongation, strict=True):
        if ratio > ODD_ELONGATION * median:
            why = f"{ratio:.1f} times as long as wide, {median:.1f} is the median"
        elif example.checked.short < settings.size / 2:
            why = f"enlarged more than twice to image.size, {settings.size}"
        else:
            continue
        size = {"width": example.checked.width, "height": example.checked.height}
        odd.append({"file": example.file, **size, "why": why})
    return {
        "n": len(examples),
        "width": _spread(width),
        "height": _spread(height),
        "aspect": [round(value, 3) for value in _spread(aspect)],
        "odd": odd,
    }


def _spread(values: np.ndarray) -> list[float]:
    return [float(values.min()), float(np.median(values)), float(values.max())]


def flatness(images: np.ndarray) -> np.ndarray:
    """`(n,)` share of neighbouring pixels that are equal, of `(n, size, size, 3) uint8 RGB`."""
    shares = np.empty(len(images))
    for i, image in enumerate(images):
        wide = image.astype(np.uint32)
        pixels = wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]  # One number each.
        pairs = (pixels[1:] == pixels[:-1], pixels[:, 1:] == pixels[:, :-1])
        shares[i] = np.mean([same.mean() for same in pairs])
    return shares


def brightness(grey: np.ndarray, flat: np.ndarray, examples: Sequence[Example]) -> dict[str, Any]:
    """Mean grey levels, and images that stand apart by them or by areas of one colour.

    Args:
      grey: thumbnails, `(n, 32, 32) uint8`.
      flat: `flatness` of the images, `(n,)`.
      examples: the images' own, n of them.
    """
    levels = grey.reshape(len(grey), -1).astype(np.float64)
    mean, deviation = levels.mean(1), levels.std(1)
    median = float(np.median(mean))
    # Of a normal distribution, 1.4826 times the median absolute deviation is the standard one.
    robust = 1.4826 * float(np.median(np.abs(mean - median)))
    odd = []
    flat_bound = max(FLAT, float(np.median(flat)) + FLATTER)
    for example, level, spread, share in zip(examples, mean, deviation, flat, strict=True):
        away = abs(level - median)
        if spread < ONE_COLOUR:
            why = "of almost one colour"
        elif share > flat_bound:
            why = "areas of one colour: a drawing, a placeholder, a cut-out?"
        elif away > max(ODD_BRIGHTNESS * robust, ODD_LEVELS):
            why = f"far {'brighter' if level > median else 'darker'} than the others"
        else:
            continue
        odd.append({"file": example.file, "mean": round(float(level), 1), "why": why})
    return {"n": len(grey), "median": round(median, 1), "odd": odd}


def lines(found: Mapping[str, Any]) -> list[str]:
    """What `examine` found in images alone, a line a kind."""
    sizes, brightness = (len(found.get(k, {}).get("odd", [])) for k in ("sizes", "brightness"))
    return [f"{sizes} images of odd size, {brightness} of odd brightness or colour"]
