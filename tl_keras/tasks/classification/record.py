"""The scores of one split in `result.json`, as `metrics.measure` computes them."""

from pydantic import Field

from tl_keras.run.result import part
from tl_keras.run.result.part import Interval, Part, Share


class ClassScores(Part):
    """Scores of one class."""

    precision: Share | None = Field(
        description="Share of the predictions of this class that are right; null if the class was "
        "never predicted."
    )
    recall: Share | None = Field(
        description="Share of the examples of this class that the model recognises; null if the "
        "class has no examples."
    )
    n: int = Field(description="Number of examples of this class.")


class SharedClassScores(Part):
    """Scores on another data set if the model may only answer with classes of that data set."""

    accuracy: Share = Field(description="Share of examples whose likeliest class is right.")
    interval: Interval = Field(description="95% interval of the accuracy (Wilson).")
    log_loss: float = Field(
        description="Mean negative logarithm of the right class's probability; less is better.",
        json_schema_extra={"unit": "nats"},
    )
    n: int = Field(description="Number of examples.")


class Scores(part.Scores):
    """Scores of a classification model on one split."""

    accuracy: Share = Field(
        description="Share of examples whose likeliest class is right. The main metric."
    )
    interval: Interval = Field(description="95% interval of the accuracy (Wilson).")
    balanced_accuracy: Share = Field(description="Mean recall over the classes that have examples.")
    macro_f1: Share = Field(
        description="Mean F1 score over the classes that have examples or were predicted."
    )
    log_loss: float = Field(
        description="Mean negative logarithm of the right class's probability; less is better.",
        json_schema_extra={"unit": "nats"},
    )
    calibration_error: Share = Field(
        description="Expected calibration error with 15 bins of equal width (arXiv 1706.04599): by "
        "how much confidence and accuracy differ; less is better."
    )
    n: int = Field(description="Number of examples.")
    classes: dict[str, ClassScores] = Field(description="Scores of each class, by name.")
    confusion: list[list[int]] = Field(
        description="Number of examples by true class (rows) and predicted class (columns), both "
        "in the order of the field `classes`."
    )
    among_shared: SharedClassScores | None = Field(
        None,
        description="Scores if the model may only answer with classes that occur in the data of "
        "`evaluate --data`. Only in results of this command, if those data lack some classes.",
    )
