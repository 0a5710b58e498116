"""The parts of `result.json` that compare approaches; the command `compare` writes them."""

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
    """Two models compared on the same examples; they are called the first and the second model.

    In the entry `against.NAME` of `recommended`, the first model is that of the recommended
    approach, and the second that of the approach NAME. In `chain`, the first model is that of the
    approach `chain`, and the second that of the approach `finetune`.
    """

    won: int = Field(
        description="Number of examples that the first of the two compared models answers "
        "correctly and the second does not."
    )
    lost: int = Field(
        description="Number of examples that the second of the two compared models answers "
        "correctly and the first does not."
    )
    difference: float = Field(
        description="Main metric of the first of the two compared models minus main metric of the "
        "second; above 0, the first is better."
    )
    interval: Interval = Field(description="95% interval of `difference`, paired by example.")
    n: Maybe[int] = Field(
        None, description="Number of examples for which both compared models have a prediction."
    )


class Standing(Part):
    """The recommended approach compared with each of the others on one split."""

    n: int = Field(description="Number of examples for which all approaches have a prediction.")
    against: dict[str, Against] = Field(
        description="The recommended approach compared with each other approach, by the name of "
        "the other approach."
    )


class Recommended(Part):
    """The recommended approach: the one whose predictions on validation have the best mean score.

    The mean is taken over the validation examples for which all approaches have a prediction.
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

    command: str = Field(description="The command that the approach runs, such as `finetune`.")
    backbone: str = Field(description="Name or file of the backbone.")
    parameters: int = Field(description="Number of weights of the model.")
    kept: str = Field(
        description="Which weights became the model of the approach, such as `head` or "
        "`finetuned`; see model.kept."
    )
    freeze: Maybe[float | str] = Field(
        description="Freeze depth; see model.freeze. null if the approach's own result.json has "
        "none."
    )
    val: Maybe[MainScores] = Field(None, description="The main scores on validation.")
    test: Maybe[MainScores] = Field(
        None, description="The main scores on test. Only with a test split."
    )
    seconds: Seconds = Field(description="Total time of the approach.")
    training: Seconds = Field(
        description="Total time of the approach minus the time to read data, to measure and "
        "explain the model, and to export it."
    )
    to_scratch: Maybe[Seconds] = Field(
        description="Training time until this approach reaches the best validation score of the "
        "approach `scratch`. null if this approach never reaches that score, if it runs a search "
        "or the command `cross_validate` or `parallel`, or if `scratch` was not run."
    )
    format: str = Field(
        "int8",
        description="Format of the exported file whose size and latency are measured; the value of "
        "search.format.",
    )
    bytes: Maybe[Bytes] = Field(description="Size of this file; null without such a file.")
    latency_ms: Maybe[Milliseconds] = Field(
        description="Median time for one example with this file, on one thread; null without such "
        "a file."
    )


class Ranked(Measures):
    """How well the pretrained features of one backbone suit the task, before any training.

    For classification, the measures are `logme` (how well a linear model on the features explains
    the labels) and `left_out_accuracy` (accuracy of a logistic regression on the features, on
    examples that it was not fitted on).
    """

    approach: str = Field(description="Name of the approach that uses this backbone.")
    backbone: str = Field(description="Name or file of the backbone.")
    parameters: int = Field(description="Number of weights of the backbone.")
    seconds: Seconds = Field(
        description="Time to load the backbone, to compute its features for the training examples, "
        "and to compute the measures of this entry from the features."
    )


class Learning(Measures):
    """One point of the learning curve: scores of heads trained on a share of the training examples.

    All points use the features of the backbone in `model.backbone`. For a share below 1, the scores
    are means over several heads, each trained on another random part. For classification it has
    the measures `accuracy` and `log_loss` on validation.
    """

    share: Share = Field(
        description="Share of the training examples on which each head of this point was trained."
    )
    n: int = Field(
        description="Number of training examples on which each head of this point was trained."
    )
