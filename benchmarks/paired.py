"""Compares two ways of training, by which of the test images each gets right."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

RESAMPLES = 2000
Tally = list[list[int]]


@dataclass(frozen=True)
class Outcome:
    """The test answers of one trained model.

    Attributes:
      files: names of the test images.
      correct: whether the model's answer was right, `(test,) bool`.
      seconds: time that training and testing took.
    """

    files: list[str]
    correct: np.ndarray
    seconds: float

    @property
    def accuracy(self) -> float:
        return float(self.correct.mean())


@dataclass(frozen=True)
class Difference:
    """A difference of two accuracies, in points, with its 95% interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.2f} ({self.low:+.2f} to {self.high:+.2f})"

    @property
    def in_words(self) -> str:
        return (
            f"{self.mean:+.2f} points of test accuracy (95% interval {self.low:+.2f} to "
            f"{self.high:+.2f})"
        )


def of_run(workdir: Path, seconds: float) -> Outcome:
    """Returns the test answers that a run wrote into its predictions.csv."""
    with (workdir / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    correct = np.array([row["prediction"] == row["label"] for row in rows])
    return Outcome([row["file"] for row in rows], correct, seconds)


def tally(ours: list[Outcome], others: list[Outcome]) -> Tally:
    """Counts the test images by how often each side was right about them.

    Args:
      ours: one outcome for each seed.
      others: of the same seeds and test images.

    Returns:
      Rows of [by how much our right answers outnumber the others', number of tests of the image,
      number of such images]. An image may be tested with several seeds.
    """
    by_file: dict[str, tuple[int, int]] = {}
    for one, other in zip(ours, others, strict=True):
        assert one.files == other.files
        for file, a, b in zip(one.files, one.correct, other.correct, strict=True):
            surplus, tests = by_file.get(file, (0, 0))
            by_file[file] = surplus + int(a) - int(b), tests + 1
    counts: dict[tuple[int, int], int] = {}
    for key in by_file.values():
        counts[key] = counts.get(key, 0) + 1
    return [[*key, count] for key, count in sorted(counts.items())]


def difference(tallies: list[Tally]) -> Difference:
    """Returns the difference of two accuracies, averaged over data sets, with its 95% interval.

    Images are resampled, not their occurrences: an image may be tested with several seeds.

    Args:
      tallies: one for each data set.
    """
    generator, by_set = np.random.default_rng(0), []
    for one in tallies:
        surplus, tests, images = np.array(one).T
        drawn = generator.multinomial(images.sum(), images / images.sum(), RESAMPLES)
        observed = (images @ surplus) / (images @ tests)
        by_set.append([observed, *(drawn @ surplus / (drawn @ tests))])
    mean, *resampled = 100 * np.mean(by_set, axis=0)
    return Difference(float(mean), *map(float, np.percentile(resampled, (2.5, 97.5))))


def verdict(found: Difference, one: str, other: str) -> str:
    """Returns what a difference and its interval say about two ways of training."""
    figures = f"{found.mean:+.2f} points, 95% interval {found.low:+.2f} to {found.high:+.2f}"
    if found.low == found.high == 0:
        return f"{one} is exactly as accurate as {other}."
    if found.low > 0:
        return f"{one} is more accurate than {other} ({figures})."
    if found.high < 0:
        return f"{one} is less accurate than {other} ({figures})."
    return f"{one} and {other} do not differ measurably in accuracy ({figures})."
