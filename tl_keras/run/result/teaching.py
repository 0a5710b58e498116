"""The parts of a result on a teacher and its students."""

from tl_keras.run.result.part import Interval, Measures, Part, Seconds, Short
from tl_keras.run.result.training import Model


class Unlabelled(Part):
    """The unlabelled examples of a teacher's students."""

    n: int
    quarantined: int


class Labelled(Part):
    """What a teacher labelled as one class."""

    n: int
    kept: int
    known: int | None = None  # of those kept, with a known label
    right: int | None = None


class Labels(Part):
    """What a teacher made of the unlabelled examples."""

    classes: dict[str, Labelled]
    frequencies: list[float] | None = None
    thresholds: list[float] | None = None


class Segment(Part):
    """A student of a round."""

    segment: int
    train: int
    val: int
    kept: str
    seconds: Seconds
    labelled: Short | None = None
    taught: Short | None = None


class Round(Part):
    """A round of parallel training."""

    labels: Labels
    segments: list[Segment]
    candidates: dict[str, Short]
    merged: str
    model: Model


class Teacher(Measures):
    """The first teacher, measured beside the model."""

    split: str
    interval: Interval
    n: int
    won: int  # examples on which the model is better
    lost: int
