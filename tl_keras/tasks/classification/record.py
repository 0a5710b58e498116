"""What `metrics.measure` says of a split, as `result.json` has it."""

from tl_keras.run.result import part
from tl_keras.run.result.part import Interval, Part


class ClassScores(Part):
    """Scores of one class."""

    precision: float | None  # None where the class was never predicted
    recall: float | None  # None where the class has no examples
    n: int


class SharedClassScores(Part):
    """Scores of a model that could only answer with a class that the other data set has."""

    accuracy: float
    interval: Interval
    log_loss: float
    n: int


class Scores(part.Scores):
    """Scores of a split."""

    accuracy: float
    interval: Interval
    balanced_accuracy: float  # the mean recall
    macro_f1: float
    log_loss: float  # nats
    calibration_error: float
    n: int
    classes: dict[str, ClassScores]
    confusion: list[list[int]]  # rows are true labels
    among_shared: SharedClassScores | None = None
