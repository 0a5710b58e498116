"""The parts of `result.json` about the folds of cross-validation."""

from typing import Any

from pydantic import Field

from tl_keras.maybe import Maybe
from tl_keras.run.result.exports import Abstaining
from tl_keras.run.result.part import Interval, Measures, Part, Seconds


class FoldRecord(Measures):
    """One fold: its model, measured on the examples that the fold holds out.

    Each metric of the task is a further field.
    """

    fold: str = Field(description="Name of the fold's folder, such as fold_0.")
    repeat: int = Field(
        description="Repetition of the cross-validation that the fold belongs to, counted from 0."
    )
    train: int = Field(description="Number of training examples of the fold.")
    val: int = Field(
        description="Number of validation examples of the fold. The weights and settings of the "
        "fold's model are chosen on them."
    )
    n: int = Field(description="Number of examples that the fold holds out.")
    interval: Interval = Field(description="95% interval of the main metric.")
    kept: str = Field(
        description="Which weights became the fold's model, such as `head` or `finetuned`; see "
        "model.kept."
    )
    regularisation: Maybe[float] = Field(
        None,
        description="Strength of regularisation of the head, chosen on the fold's validation "
        "examples; see chosen.regularisation. Only if a head was fitted.",
    )
    seconds: Seconds = Field(description="Total time of the fold.")
    values: Maybe[dict[str, Any]] = Field(
        None,
        description="Values of the searched fields in the best trial of the fold's search, by "
        "name of the field. Only if each fold has a search.",
    )


class Spread(Part):
    """Mean and standard deviation of one metric over all folds."""

    mean: float = Field(description="Mean over all folds.")
    deviation: float = Field(
        description="Standard deviation over all folds, with n - 1 in the denominator."
    )


class CrossValidation(Part):
    """How the examples were split into folds, and the metrics over all folds."""

    folds: int = Field(description="Number of folds in one repetition.")
    repeats: int = Field(description="Number of repetitions.")
    final: str = Field(
        description="How the final model was made: `refit` (trained again on all examples), "
        "`average` (mean of the weights of the folds' models) or `ensemble` (mean of the answers "
        "of the folds' models); see cross_validate.final in the config."
    )
    scores: dict[str, Spread] = Field(
        description="Mean and standard deviation of each metric over all folds, by name of the "
        "metric."
    )
    abstain: Maybe[Abstaining] = Field(
        None,
        description="How often the models of the folds answer, instead of abstaining, on the "
        "examples that their folds hold out, and how often these answers are right. The models "
        "abstain by the same rule as the exported files: their probabilities are calibrated like "
        "those of the final model, and a model answers if the probability of exactly one class "
        "reaches a threshold. The threshold for a fold is computed on the examples of the other "
        "folds. Only with export.abstain, and if the other folds have enough examples.",
    )
