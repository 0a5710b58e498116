"""Lists images that people should look at, such as very dark ones; all stay in the data set."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tl_keras.data.batching.inputs import Inputs
from tl_keras.data.doctor import rare_answers
from tl_keras.data.examples import SPLITS, Dataset, Example
from tl_keras.modalities.image.config import ImageConfig
from tl_keras.modalities.image.copies import MAX_EXAMPLES, near_duplicates, thumbnails

# An image is listed if one of these bounds is crossed.
ODD_ELONGATION = 2.0  # longer side / shorter side, in multiples of the median
ONE_COLOUR = 4.0  # standard deviation of the grey levels; it can be 0..127
FLAT = 2 / 3  # share of neighbouring pixels that are equal; in photographs it is under a half
FLATTER = 0.4  # this share minus its median; must be crossed together with FLAT
ODD_BRIGHTNESS = 5.0  # distance of the mean grey from its median, in robust standard deviations
ODD_LEVELS = 40.0  # the same in grey levels; must be crossed together with ODD_BRIGHTNESS


def examine(dataset: Dataset, inputs: dict[str, Inputs], settings: ImageConfig) -> dict[str, Any]:
    """Returns findings on the images of a data set, ready for JSON.

    Returns:
      a dict with these keys:

      - `near_duplicates`: a list of pairs of similar images in different splits or with different
        labels, each with `files`, `splits`, `labels` and `distance` (differing bits of the hashes).
      - `rare`: a list of classes with few examples, each with `class`, `n` and `why`.
      - `sizes`: sizes of the files in px: `n`, the number of files; `width`, `height` and `aspect`
        (width / height), each as [least, median, most]; `odd`, a list of images of unusual size,
        each with `file`, `width`, `height` and `why`.
      - `brightness`: mean grey levels in 0..255: `n`, the number of images; `median`; `odd`, a list
        of images of unusual brightness or colour, each with `file`, `mean` and `why`.

      `sizes` is missing if the data are not files. `near_duplicates` and `brightness` are missing
      if the images are not kept in memory, or are more than `MAX_EXAMPLES`.
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
        # Near-duplicates within one split and with one label do no harm and are not listed.
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
    """Returns the finding `sizes`, see `examine`."""
    width = np.array([example.checked.width for example in examples])
    height = np.array([example.checked.height for example in examples])
    aspect = width / height
    elongation = np.maximum(aspect, 1 / aspect)  # The same for portrait and landscape.
    median = float(np.median(elongation))
    odd = []
    for example, ratio in zip(examples, elongation, strict=True):
        if ratio > ODD_ELONGATION * median:
            why = f"{ratio:.1f} times as long as wide; the median of all images is {median:.1f}"
        elif example.checked.short < settings.size / 2:
            why = (
                f"the shorter side is below half of image.size, {settings.size}, so the image is "
                "enlarged more than twofold"
            )
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
    """Returns the share of pairs of neighbouring pixels that are equal, in 0..1, for each image.

    Args:
      images: `(n, size, size, 3) uint8 RGB`.
    """
    shares = np.empty(len(images))
    for i, image in enumerate(images):
        wide = image.astype(np.uint32)
        # One integer a pixel, for fast comparison.
        pixels = wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
        pairs = (pixels[1:] == pixels[:-1], pixels[:, 1:] == pixels[:, :-1])
        shares[i] = np.mean([same.mean() for same in pairs])
    return shares


def brightness(grey: np.ndarray, flat: np.ndarray, examples: Sequence[Example]) -> dict[str, Any]:
    """Returns the finding `brightness`, see `examine`.

    Args:
      grey: thumbnails, `(n, 32, 32) uint8`.
      flat: the result of `flatness` for the same images, `(n,)`.
      examples: the same images as examples of the data set.
    """
    levels = grey.reshape(len(grey), -1).astype(np.float64)
    mean, deviation = levels.mean(1), levels.std(1)
    median = float(np.median(mean))
    # For a normal distribution, the standard deviation is 1.4826 median absolute deviations.
    robust = 1.4826 * float(np.median(np.abs(mean - median)))
    odd = []
    flat_bound = max(FLAT, float(np.median(flat)) + FLATTER)
    for example, level, spread, share in zip(examples, mean, deviation, flat, strict=True):
        away = abs(level - median)
        if spread < ONE_COLOUR:
            why = "almost a single colour"
        elif share > flat_bound:
            why = "large areas of a single colour: a drawing, a placeholder or a cut-out?"
        elif away > max(ODD_BRIGHTNESS * robust, ODD_LEVELS):
            why = f"much {'brighter' if level > median else 'darker'} than most images"
        else:
            continue
        odd.append({"file": example.file, "mean": round(float(level), 1), "why": why})
    return {"n": len(grey), "median": round(median, 1), "odd": odd}


def lines(findings: Mapping[str, Any]) -> list[str]:
    """Returns a list with one log line: how many images have an unusual size, brightness or colour.

    Args:
      findings: the result of `examine`.
    """
    sizes, brightness = (len(findings.get(k, {}).get("odd", [])) for k in ("sizes", "brightness"))
    return [f"{sizes} images of unusual size, {brightness} of unusual brightness or colour"]
