"""The parts of a result about a teacher and its students."""

from pydantic import Field

from tl_keras.maybe import Maybe
from tl_keras.run.result.part import (
    Interval,
    MainScores,
    Measures,
    Part,
    Seconds,
    Share,
)
from tl_keras.run.result.training import ModelRecord


class UnlabelledCounts(Part):
    """How many examples `data.unlabelled` has."""

    n: int = Field(description="Number of readable examples; identical copies count once.")
    quarantined: int = Field(description="Number of files that could not be read.")


class LabelCounts(Part):
    """How many labels the teacher gave for one class."""

    n: int = Field(description="Number of examples that the teacher labelled as this class.")
    kept: int = Field(description="Number of these labels that students are trained on.")
    known: Maybe[int] = Field(
        None,
        description="Number of examples with a kept label whose true label is known from a class "
        "folder. Training does not use the true label.",
    )
    right: Maybe[int] = Field(
        None, description="Number of these examples whose kept label is right."
    )


class Labels(Part):
    """The labels that a teacher gave to the unlabelled examples."""

    classes: dict[str, LabelCounts] = Field(description="Number of labels, by class.")
    frequencies: Maybe[list[Share]] = Field(
        None,
        description="Estimated share of each class among the unlabelled examples, in the order of "
        "the classes.",
    )
    thresholds: Maybe[list[Share]] = Field(
        None,
        description="Lowest confidence of a kept label, for each class in the order of the "
        "classes.",
    )


class Segment(Part):
    """One student of a round."""

    segment: int = Field(description="Number of the segment, counted from 0.")
    train: int = Field(
        description="Number of training examples, including those that people labelled."
    )
    val: int = Field(
        description="Number of validation examples, including those that people labelled."
    )
    kept: str = Field(description="Which weights the student kept; see model.kept.")
    seconds: Seconds = Field(description="Total time of the student.")
    labelled: Maybe[MainScores] = Field(
        None, description="Scores on the validation examples that people labelled."
    )
    taught: Maybe[MainScores] = Field(
        None, description="Scores on the validation examples that the teacher labelled."
    )


class Round(Part):
    """One round of parallel training: labels, students, and the merged model."""

    labels: Labels = Field(description="The labels that the teacher of the round gave.")
    segments: list[Segment] = Field(description="The students, in the order of their segments.")
    candidates: dict[str, MainScores] = Field(
        description="Scores of each candidate on the validation examples that people labelled, by "
        "name: each student, their average, their ensemble, and the teacher."
    )
    merged: str = Field(
        description="The candidate that the round kept: average, ensemble, a student such as "
        "segment_0, or teacher."
    )
    model: ModelRecord = Field(description="The model that the round made.")


class Teacher(Measures):
    """The first teacher, measured on the same examples as the final model.

    For classification it has the measures `accuracy` and `log_loss`.
    """

    split: str = Field(
        description="The split that was measured: test, or val if there is no test split."
    )
    interval: Interval = Field(description="95% interval of the main metric.")
    n: int = Field(description="Number of examples.")
    won: int = Field(description="Number of examples that only the final model answers correctly.")
    lost: int = Field(description="Number of examples that only the teacher answers correctly.")
