"""The parts of `result.json` that compare approaches."""

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
    """How a first model compares with a second model on the same examples.

    In `recommended`, the first model is the recommended approach and the second is the approach
    NAME. In `chain`, the first is the approach chain and the second is the approach finetune.
    """

    won: int = Field(description="Number of examples that only the first model answers correctly.")
    lost: int = Field(
        description="Number of examples that only the second model answers correctly."
    )
    difference: float = Field(
        description="Main metric of the first model minus main metric of the second; above 0, the "
        "first is better."
    )
    interval: Interval = Field(
        description="95% interval of the field difference, paired by example."
    )
    n: Maybe[int] = Field(
        None, description="Number of examples for which both models have a prediction."
    )


class Standing(Part):
    """The recommended approach compared with each of the others on one split."""

    n: int = Field(description="Number of examples for which all approaches have a prediction.")
    against: dict[str, Against] = Field(
        description="The recommended approach compared with each other approach, by the name of "
        "the other approach."
    )


class Recommended(Part):
    """The recommended approach: the one with the best mean score on the validation examples.

    Only the examples count for which all approaches have a prediction.
    """

    best: Maybe[str] = Field(None, description="Name of the recommended approach.")
    val: Maybe[Standing] = Field(
        None, description="The recommended approach compared with the others on validation."
    )
    test: Maybe[Standing] = Field(
        None,
        description="The recommended approach compared with the others on test. Test has no "
        "influence on the recommendation. Only with a test split.",
    )


class ApproachRecord(Part):
    """One approach of the command `compare`, with values from `result.json` of its own run."""

    command: str = Field(description="The command that the approach runs, such as finetune.")
    backbone: str = Field(description="Name or file of the backbone.")
    parameters: int = Field(description="Number of weights of the model.")
    kept: str = Field(
        description="Which weights became the model, such as head or finetuned; see model.kept."
    )
    freeze: Maybe[float | str] = Field(
        description="Freeze depth; see model.freeze. null if the run's own result.json has none."
    )
    val: Maybe[MainScores] = Field(None, description="The main scores on validation.")
    test: Maybe[MainScores] = Field(
        None, description="The main scores on test. Only with a test split."
    )
    seconds: Seconds = Field(description="Total time of the approach.")
    training: Seconds = Field(
        description="Total time of the approach without reading data, measuring and exporting."
    )
    to_scratch: Maybe[Seconds] = Field(
        description="Training time until the approach reaches the best validation score of the "
        "approach scratch; null if it never does, if it is cross_validate, parallel or search, or "
        "if scratch was not run."
    )
    bytes: Maybe[Bytes] = Field(description="Size of the int8 file; null without such a file.")
    latency_ms: Maybe[Milliseconds] = Field(
        description="Median time for one example with the int8 file, on one thread; null "
        "without such a file."
    )


class Ranked(Measures):
    """How well the pretrained features of one backbone suit the task, before any training.

    For classification it has the measures `logme` and `left_out_accuracy`.
    """

    approach: str = Field(description="Name of the approach that uses this backbone.")
    backbone: str = Field(description="Name or file of the backbone.")
    parameters: int = Field(description="Number of weights of the backbone.")
    seconds: Seconds = Field(
        description="Time to load the backbone, compute its features and compute the measures."
    )


class Learning(Measures):
    """One point of the learning curve: scores of heads trained on a share of the training examples.

    All points use the features of the backbone in `model.backbone`. For a share below 1, the scores
    are means over several heads, each trained on another random part. For classification it has
    the measures `accuracy` and `log_loss` on validation.
    """

    share: Share = Field(
        description="Share of the training examples on which each head was trained."
    )
    n: int = Field(description="Number of training examples on which each head was trained.")
