"""The parts of `result.json` about teacher and students; the command `parallel` writes them."""

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
    """The numbers of examples and unreadable files in `data.unlabelled`."""

    n: int = Field(description="Number of readable examples; identical copies count once.")
    quarantined: int = Field(description="Number of files that could not be read.")


class LabelCounts(Part):
    """How many examples the teacher labelled as one class, and how many of them train students."""

    n: int = Field(description="Number of examples that the teacher labelled as this class.")
    kept: int = Field(
        description="Number of the examples counted in `n` whose labels are used to train students."
    )
    known: Maybe[int] = Field(
        None,
        description="Number of the examples counted in `kept` whose true label is known, such as "
        "from the name of their folder. Students train on true labels only if parallel.labels is "
        "`own`.",
    )
    right: Maybe[int] = Field(
        None,
        description="Number of the examples counted in `known` for which the teacher's label is "
        "the true label.",
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
        description="Lowest confidence with which a label is used for training students; one value "
        "for each class, in the order of the classes.",
    )


class Segment(Part):
    """One student model of a round, trained on one segment of the teacher-labelled examples.

    A segment is a part of these examples; each student model trains on its own segment.
    """

    segment: int = Field(
        description="Index, counted from 0, of the student's segment (part) of the "
        "teacher-labelled examples."
    )
    train: int = Field(
        description="Number of the student's training examples, including those that people "
        "labelled."
    )
    val: int = Field(
        description="Number of the student's validation examples, including those that people "
        "labelled."
    )
    kept: str = Field(
        description="Which weights became the student's model, such as `finetuned`; see model.kept."
    )
    seconds: Seconds = Field(description="Total time of the student.")
    labelled: Maybe[MainScores] = Field(
        None, description="The student's scores on the validation examples that people labelled."
    )
    taught: Maybe[MainScores] = Field(
        None,
        description="The student's scores on the validation examples that the teacher labelled.",
    )


class Round(Part):
    """One round of the command `parallel`: the teacher's labels, the students, the merged model."""

    labels: Labels = Field(description="The labels that the teacher of this round gave.")
    segments: list[Segment] = Field(
        description="The student models, in the order of their segments. A segment is the part of "
        "the teacher-labelled examples on which one student trains."
    )
    candidates: dict[str, MainScores] = Field(
        description="Scores of each candidate on the validation examples that people labelled, by "
        "name: each student (`segment_0` and so on), `average` (mean of the students' weights), "
        "`ensemble` (mean of the students' answers), and `teacher`."
    )
    merged: str = Field(
        description="The candidate that became the model of the round: `average`, `ensemble`, a "
        "student such as `segment_0`, or `teacher`."
    )
    model: ModelRecord = Field(
        description="The model of the round, and how it was made. If there is a next round, this "
        "model is its teacher."
    )


class Teacher(Measures):
    """The teacher of the first round, measured on the same examples as the final model.

    For classification this record has the measures `accuracy` and `log_loss`.
    """

    split: str = Field(
        description="The split that was measured: `test`, or `val` if there is no test split."
    )
    interval: Interval = Field(description="95% interval of the main metric.")
    n: int = Field(description="Number of measured examples.")
    won: int = Field(
        description="Number of examples that the final model answers correctly and this teacher "
        "does not."
    )
    lost: int = Field(
        description="Number of examples that this teacher answers correctly and the final model "
        "does not."
    )
