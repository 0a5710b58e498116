"""The parts of a result that compare approaches."""

from pydantic import Field

from tl_keras.maybe import Maybe
from tl_keras.run.result.part import (
    Bytes,
    Interval,
    MainScores,
    Measures,
    Milliseconds,
    Part,
    Seconds,
    Share,
)


class Against(Part):
    """How two models differ on the same examples."""

    won: int = Field(description="Number of examples that only the first model answers correctly.")
    lost: int = Field(
        description="Number of examples that only the second model answers correctly."
    )
    difference: float = Field(
        description="Main metric of the first model minus main metric of the second; above 0, the "
        "first is better."
    )
    interval: Interval = Field(description="95% interval of the difference, paired by example.")
    n: Maybe[int] = Field(None, description="Number of examples that both models answered.")


class Standing(Part):
    """How the best approach compares with each of the others on one split."""

    n: int = Field(description="Number of examples that all approaches answered.")
    against: dict[str, Against] = Field(
        description="How the best approach compares with each other approach, by name."
    )


class Recommended(Part):
    """The approach to take: the best on the validation examples that all approaches answered."""

    best: Maybe[str] = Field(None, description="Name of the recommended approach.")
    val: Maybe[Standing] = Field(
        None, description="How the best approach compares with the others on validation."
    )
    test: Maybe[Standing] = Field(
        None,
        description="How the best approach compares with the others on test, which the "
        "recommendation does not depend on. Only with a test split.",
    )


class ApproachRecord(Part):
    """One approach of `compare`, from the result of its own run."""

    command: str = Field(description="The command that the approach runs, such as finetune.")
    backbone: str = Field(description="Name or file of the backbone.")
    parameters: int = Field(description="Number of weights of the model.")
    kept: str = Field(description="Which weights the run kept; see model.kept.")
    freeze: Maybe[float | str] = Field(
        description="Freeze depth; see model.freeze. null if the model has none."
    )
    val: Maybe[MainScores] = Field(None, description="The main scores on validation.")
    test: Maybe[MainScores] = Field(None, description="The main scores on test, if there is one.")
    seconds: Seconds = Field(description="Total time of the approach.")
    training: Seconds = Field(
        description="Time of the approach without reading data, measuring and exporting."
    )
    to_scratch: Maybe[Seconds] = Field(
        description="Training time until the approach reaches the best validation score of the "
        "approach scratch; null if it never does, or if scratch was not run."
    )
    bytes: Maybe[Bytes] = Field(description="Size of the int8 file; null without such a file.")
    latency_ms: Maybe[Milliseconds] = Field(
        description="Median time for one example with the int8 file, on one thread; null "
        "without such a file."
    )


class Ranked(Measures):
    """How well the features of one backbone suit the task, before any training.

    For classification it has the measures `logme` and `left_out_accuracy`.
    """

    approach: str = Field(description="Name of the approach with this backbone.")
    backbone: str = Field(description="Name or file of the backbone.")
    parameters: int = Field(description="Number of weights of the backbone.")
    seconds: Seconds = Field(description="Time to compute the features and rank them.")


class Learning(Measures):
    """A point of the learning curve: a head that is trained on a part of the training examples.

    For classification it has the measures `accuracy` and `log_loss` on validation.
    """

    share: Share = Field(description="Share of the training examples that the head was trained on.")
    n: int = Field(description="Number of training examples that the head was trained on.")
