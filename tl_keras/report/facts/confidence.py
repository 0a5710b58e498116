"""Facts on the confidence of a model: groups of predictions, and the most confident mistakes."""

import math
from dataclasses import dataclass

from tl_keras.report.drawings.words import is_number
from tl_keras.report.facts.figures import Share, predicted
from tl_keras.report.read import Prediction, RunFiles

BINS = 10  # of the reliability diagram
SURE = 0.9  # With at least this probability, the model counts as sure.
MISTAKES = 12  # mistakes shown at most


@dataclass(frozen=True)
class Bin:
    """A group of predictions with about the same confidence, and how many of them are right."""

    confidence: float  # mean
    right: Share


def bins(run: RunFiles) -> list[Bin]:
    """Returns the predictions in up to `BINS` groups, each for an equally wide confidence range.

    Empty groups and predictions without a confidence are left out.
    """
    grouped: dict[int, list[Prediction]] = {}
    for prediction in predicted(run)[1]:
        if is_number(prediction.probability):
            # A bin includes its upper end, as in the calibration error.
            step = math.ceil(prediction.probability * BINS) - 1
            grouped.setdefault(min(max(step, 0), BINS - 1), []).append(prediction)
    return [
        Bin(
            sum(p.probability for p in members) / len(members),
            Share(sum(p.label == p.prediction for p in members), len(members)),
        )
        for _, members in sorted(grouped.items())
    ]


def sure(run: RunFiles) -> Share:
    """Returns how many of the predictions with a probability of `SURE` or more are right."""
    some = [p for p in predicted(run)[1] if p.probability >= SURE]
    return Share(sum(p.label == p.prediction for p in some), len(some))


def worst(run: RunFiles) -> list[Prediction]:
    """Returns the most confident mistakes, at most `MISTAKES`."""
    return wrong(run)[:MISTAKES]


def wrong(run: RunFiles) -> list[Prediction]:
    """Returns the mistakes, the most confident first."""
    return sorted((p for p in predicted(run)[1] if p.prediction != p.label), key=_doubt)


def _doubt(prediction: Prediction) -> float:
    return -prediction.probability if is_number(prediction.probability) else 1.0
