"""The parts of a result about folds."""

from typing import Any

from pydantic import Field

from tl_keras.maybe import Maybe
from tl_keras.run.result.exports import Abstaining
from tl_keras.run.result.part import Interval, Measures, Part, Seconds


class FoldRecord(Measures):
    """One fold: its model, measured on the examples that the fold holds out.

    A fold also has a field for each metric of the task.
    """

    fold: str = Field(description="Name of the fold's folder, such as fold_0.")
    repeat: int = Field(
        description="Repetition of the cross-validation that the fold belongs to, counted from 0."
    )
    train: int = Field(description="Number of training examples of the fold.")
    val: int = Field(
        description="Number of validation examples of the fold, on which its settings are chosen."
    )
    n: int = Field(description="Number of examples that the fold holds out.")
    interval: Interval = Field(description="95% interval of the main metric.")
    kept: str = Field(description="Which weights the fold kept; see model.kept.")
    regularisation: Maybe[float] = Field(
        None,
        description="Strength of regularisation of the head that the fold chose; see "
        "chosen.regularisation. Only if a head was fitted.",
    )
    seconds: Seconds = Field(description="Total time of the fold.")
    values: Maybe[dict[str, Any]] = Field(
        None,
        description="Values of the searched fields in the best trial of the fold, by name. Only "
        "if each fold has a search.",
    )


class Spread(Part):
    """One metric over all folds."""

    mean: float = Field(description="Mean over all folds.")
    deviation: float = Field(description="Standard deviation over all folds (n - 1).")


class CrossValidation(Part):
    """How the examples were split into folds, and the metrics over all folds."""

    folds: int = Field(description="Number of folds in one repetition.")
    repeats: int = Field(description="Number of repetitions.")
    final: str = Field(
        description="How the final model was made: refit, average or ensemble; see "
        "cross_validate.final in the config."
    )
    scores: dict[str, Spread] = Field(description="Mean and deviation of each metric, by name.")
    abstain: Maybe[Abstaining] = Field(
        None,
        description="What abstaining does on the held-out examples, by the models of the folds "
        "with the calibration of the final model. The threshold for a fold is chosen on the other "
        "folds. Only with export.abstain, and if the other folds have enough examples.",
    )
