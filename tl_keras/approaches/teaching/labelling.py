"""What a teacher makes of unlabelled examples: labels, how sure they are, segments for students."""

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
    """What the teacher says of an example.

    Attributes:
      label: an index into the classes.
      confidence: its calibrated probability, 0..1.
      kept: whether it is among the surest of its class, which students are trained on.
      segment: whose student has it.
      part: of the segment, `train` or `val`.
    """

    label: int
    confidence: float
    kept: bool
    segment: int
    part: str


def label(
    examples: Sequence[Example], probabilities: np.ndarray, prior: np.ndarray, config: RunConfig
) -> tuple[list[Label], dict[str, Any]]:
    """A label for each example, and a record of how they came about.

    Few labelled examples are often as many of each class, and what is not labelled comes as it
    comes: probabilities are corrected by the classes' frequencies there, estimated from them.

    Args:
      probabilities: `(examples, classes)`, the teacher's.
      prior: `(classes,)`, frequencies in what the teacher was trained on.
    """
    labels_of = tasks.of(config.task, "labels")
    frequencies = labels_of.class_frequencies(probabilities, prior)
    corrected = probabilities * (frequencies / prior)
    corrected /= corrected.sum(1, keepdims=True)
    found, confidence = labels_of.told_by(corrected)
    thresholds = np.ones(len(prior))
    for k in range(len(prior)):
        own = confidence[found == k]
        if len(own):
            thresholds[k] = np.quantile(own, 1 - config.parallel.confident)
    kept = confidence >= thresholds[found]
    dealt = segments(examples, config)
    labels = [
        Label(int(k), float(p), bool(sure), *where)
        for k, p, sure, where in zip(found, confidence, kept, dealt, strict=True)
    ]
    return labels, {"frequencies": frequencies.tolist(), "thresholds": thresholds.tolist()}


def own_labels(examples: Sequence[Example], config: RunConfig) -> list[Label]:
    """The labels that the examples have.

    Raises:
      ValueError: an example has none.
    """
    for example in examples:
        if example.label == UNKNOWN:
            raise ValueError(
                f"parallel.labels: own are those of class folders, and {example.file!r} is in none "
                "of a class; expected teacher"
            )
    dealt = segments(examples, config)
    return [Label(e.label, 1.0, True, *where) for e, where in zip(examples, dealt, strict=True)]


def segments(examples: Sequence[Example], config: RunConfig) -> list[tuple[int, str]]:
    """Segment and part of each example, by a hash of its content: the same in all rounds."""
    count = config.parallel.segments
    ranks = [hashlib.sha256(f"{config.data.split_seed} {e.digest}".encode()) for e in examples]
    order = sorted(range(len(examples)), key=lambda i: ranks[i].hexdigest())
    found: list[tuple[int, str]] = [(0, "train")] * len(examples)
    for segment in range(count):
        members = order[segment::count]
        aside = round(config.data.val * len(members))
        for place, i in enumerate(members):
            found[i] = (segment, "val" if place < aside else "train")
    return found


def write(
    file: Path, examples: Sequence[Example], labels: Sequence[Label], classes: Sequence[str]
) -> None:
    """Writes `labels.csv`."""
    rows = [
        [e.file, classes[own.label], f"{own.confidence:.6f}", str(int(own.kept))]
        + [str(own.segment), own.part]
        for e, own in zip(examples, labels, strict=True)
    ]
    write_csv(file, [COLUMNS, *rows])


def read(file: Path, examples: Sequence[Example], classes: Sequence[str]) -> list[Label]:
    """What `write` wrote.

    Raises:
      ValueError: it is of other examples.
    """
    with file.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    if [row["file"] for row in rows] != [example.file for example in examples]:
        raise ValueError(
            f"data.unlabelled: the examples are not those that {str(file)!r} lists; restore them, "
            "or choose another --workdir"
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
