"""The parts of a result on folds."""

from typing import Any

from tl_keras.run.result.part import Interval, Maybe, Measures, Part, Seconds


class FoldRecord(Measures):
    """A fold, measured on what it held out."""

    fold: str
    repeat: int
    train: int
    val: int
    n: int
    interval: Interval
    kept: str
    seconds: Seconds
    values: Maybe[dict[str, Any]] = None  # of the best trial, where each fold searches


class Spread(Part):
    """A metric over all folds."""

    mean: float
    deviation: float


class CrossValidation(Part):
    """How folds were dealt out, and the scores over all of them."""

    folds: int
    repeats: int
    final: str
    scores: dict[str, Spread]
