"""The parts of a result on a teacher and its students."""

from tl_keras.run.result.part import Interval, MainScores, Maybe, Measures, Part, Seconds
from tl_keras.run.result.training import ModelRecord


class UnlabelledCounts(Part):
    """The unlabelled examples of a teacher's students."""

    n: int
    quarantined: int


class LabelCounts(Part):
    """How many examples the teacher labelled as one class, and how many of the labels are kept."""

    n: int
    kept: int
    known: Maybe[int] = None  # of those kept, with a known label
    right: Maybe[int] = None


class Labels(Part):
    """What a teacher made of the unlabelled examples."""

    classes: dict[str, LabelCounts]
    frequencies: Maybe[list[float]] = None
    thresholds: Maybe[list[float]] = None


class Segment(Part):
    """A student of a round."""

    segment: int
    train: int
    val: int
    kept: str
    seconds: Seconds
    labelled: Maybe[MainScores] = None
    taught: Maybe[MainScores] = None


class Round(Part):
    """A round of parallel training."""

    labels: Labels
    segments: list[Segment]
    candidates: dict[str, MainScores]
    merged: str
    model: ModelRecord


class Teacher(Measures):
    """The first teacher, measured beside the model."""

    split: str
    interval: Interval
    n: int
    won: int  # examples on which the model is better
    lost: int
