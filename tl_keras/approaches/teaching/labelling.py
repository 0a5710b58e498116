"""Labels examples with a teacher model, and divides them into segments.

Each student model trains on one segment.
"""

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tl_keras import tasks
from tl_keras.config.whole import RunConfig
from tl_keras.data.examples import Example
from tl_keras.data.sources.unlabelled import UNKNOWN
from tl_keras.run.files import write_csv

COLUMNS = ("file", "label", "confidence", "kept", "segment", "part")


@dataclass(frozen=True)
class Label:
    """The label that the teacher gave an example.

    Attributes:
      label: an index into the classes.
      confidence: the calibrated probability of the label, 0..1.
      kept: whether a student trains on the example; only the examples with the most confident
        labels of each class are kept.
      segment: the number of the segment (part of the data) that the example is in. Each segment has
        its own student.
      part: the split in which the student uses the example, `train` or `val`.
    """

    label: int
    confidence: float
    kept: bool
    segment: int
    part: str


def label(
    examples: Sequence[Example], probabilities: np.ndarray, prior: np.ndarray, config: RunConfig
) -> tuple[list[Label], dict[str, Any]]:
    """Returns a label for each example, and a dict with the estimates that the labels depend on.

    Labelled examples are often balanced over the classes, while unlabelled ones are not. So the
    probabilities are corrected by the class frequencies of the unlabelled examples, which are
    estimated from the probabilities. The dict has these `frequencies`, and for each class the
    confidence that a kept label must reach, in `thresholds`.

    Args:
      probabilities: the teacher's probabilities, `(examples, classes)`.
      prior: `(classes,)`, the class frequencies of the examples that the teacher was trained on.
    """
    labels_of = tasks.of(config.task, "labels")
    frequencies = labels_of.class_frequencies(probabilities, prior)
    corrected = probabilities * (frequencies / prior)
    corrected /= corrected.sum(1, keepdims=True)
    indices, confidence = labels_of.predicted(corrected)
    thresholds = np.ones(len(prior))
    for k in range(len(prior)):
        of_class = confidence[indices == k]
        if len(of_class):
            thresholds[k] = np.quantile(of_class, 1 - config.parallel.confident)
    kept = confidence >= thresholds[indices]
    places = segments(examples, config)
    labels = [
        Label(int(k), float(p), bool(sure), *place)
        for k, p, sure, place in zip(indices, confidence, kept, places, strict=True)
    ]
    return labels, {"frequencies": frequencies.tolist(), "thresholds": thresholds.tolist()}


def own_labels(examples: Sequence[Example], config: RunConfig) -> list[Label]:
    """Returns a label for each example: the class whose class folder contains the example.

    Raises:
      ValueError: an example lies in no class folder.
    """
    for example in examples:
        if example.label == UNKNOWN:
            raise ValueError(
                "parallel.labels: 'own' takes labels from class folders, but "
                f"{example.file!r} does not lie in a folder that is named after a class; move the "
                "file into such a folder, or set parallel.labels=teacher"
            )
    places = segments(examples, config)
    return [Label(e.label, 1.0, True, *place) for e, place in zip(examples, places, strict=True)]


def segments(examples: Sequence[Example], config: RunConfig) -> list[tuple[int, str]]:
    """Returns for each example the number of its segment, and its split, `train` or `val`.

    A segment is the part of the examples on which one student model trains and validates. Both
    values follow from a hash of the example's content, so that they are the same in all rounds.
    """
    count = config.parallel.segments
    ranks = [hashlib.sha256(f"{config.data.split_seed} {e.digest}".encode()) for e in examples]
    order = sorted(range(len(examples)), key=lambda i: ranks[i].hexdigest())
    places: list[tuple[int, str]] = [(0, "train")] * len(examples)
    for segment in range(count):
        members = order[segment::count]
        num_val = round(config.data.val * len(members))
        for rank, i in enumerate(members):
            places[i] = (segment, "val" if rank < num_val else "train")
    return places


def write(
    file: Path, examples: Sequence[Example], labels: Sequence[Label], classes: Sequence[str]
) -> None:
    """Writes `labels.csv`, with the columns `COLUMNS` and a row for each example."""
    rows = [
        [e.file, classes[label.label], f"{label.confidence:.6f}", str(int(label.kept))]
        + [str(label.segment), label.part]
        for e, label in zip(examples, labels, strict=True)
    ]
    write_csv(file, [COLUMNS, *rows])


def read(file: Path, examples: Sequence[Example], classes: Sequence[str]) -> list[Label]:
    """Returns the labels in `labels.csv`, in the order of `examples`.

    Raises:
      ValueError: the examples that the file lists are not `examples`.
    """
    with file.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    if [row["file"] for row in rows] != [example.file for example in examples]:
        raise ValueError(
            "data.unlabelled: the examples have changed since their labels were written to "
            f"{str(file)!r}; restore the examples, or choose another --workdir"
        )
    return [
        Label(
            classes.index(row["label"]),
            float(row["confidence"]),
            row["kept"] == "1",
            int(row["segment"]),
            row["part"],
        )
        for row in rows
    ]
