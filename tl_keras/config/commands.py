"""The config sections of single commands: `cross_validate`, `parallel`, `compare`, `evaluate`."""

from typing import Annotated, Any, Literal, get_args

from pydantic import Field, ValidationError, field_validator, model_validator

from tl_keras.config.messages import messages, nearest
from tl_keras.config.model import ModelConfig
from tl_keras.config.section import Auto, Location, Minutes, Name, Section

Approach = Literal[  # Quick ones first; `scratch`, which takes all the time that is left, last.
    "head", "finetune", "search", "full", "chain", "cross_validate", "parallel", "scratch"
]
APPROACHES: tuple[Approach, ...] = get_args(Approach)


class CrossValidateConfig(Section):
    """How the command `cross_validate` splits the examples into folds and makes the exported model.

    The command `parallel` cross-validates its teacher model too, with at most `folds` folds.
    """

    folds: Annotated[int, Field(ge=2, le=100)] = Field(
        5,
        description="Number of folds. Each example is held out in one fold: the model of this fold "
        "is trained without the example and measured on it.",
    )
    repeats: Annotated[int, Field(ge=1, le=100)] = Field(
        1,
        description="Total number of times that the whole cross-validation is run, each time with "
        "another random assignment of examples to folds.",
    )
    final: Literal["refit", "average", "ensemble"] = Field(
        "refit",
        description="How the exported model is made. refit: one model is trained on all examples. "
        "Its settings, such as the regularisation of the head, are chosen from the results of all "
        "folds; with a search, they are the best values of a further search, which uses all "
        "examples. "
        "average: one model, whose weights are the mean of the weights of the fold models. "
        "ensemble: all fold models in one file, which answers with the mean of their predictions "
        "and is as large and as slow as all of them together.",
        json_schema_extra={
            "expected": "'refit' (a model trained on all examples), 'average' (the mean of the "
            "weights of the fold models) or 'ensemble' (all fold models together)"
        },
    )


class ParallelConfig(Section):
    """How the command `parallel` labels `data.unlabelled` with a teacher and trains students on it.

    The examples that the teacher model labelled are split into parts, the segments. For each
    segment, one student model is trained on this segment and on the examples that people labelled.
    The student models are merged into one model.
    """

    segments: Annotated[int, Field(ge=1, le=1000)] = Field(
        2,
        description="Number of segments (parts) into which the teacher-labelled examples are "
        "split. One student model is trained for each segment.",
    )
    rounds: Annotated[int, Field(ge=1, le=100)] = Field(
        1,
        description="Number of rounds. The merged model of a round is the teacher of the next "
        "round. The run ends earlier if no student is better than its teacher.",
    )
    workers: Annotated[int, Field(ge=0)] | Auto = Field(
        "auto",
        description="Number of student models that train at the same time on this machine, each in "
        "its own process. auto: the number of segments, at most one for each core. 0: none; the "
        "command waits until the student models have been trained elsewhere, each with "
        "--segment=NUMBER.",
    )
    retries: Annotated[int, Field(ge=0)] = Field(
        1,
        description="Largest number of times that the training of a student model is started again "
        "after a failure.",
    )
    student: dict[str, Any] | None = Field(
        None,
        description="The backbone of the students, with fields of the section model, as in "
        "{backbone: MobileNet, weights: a.h5}. If it is smaller than that of the teacher, the "
        "final model is smaller, too. null: the students have the backbone of the teacher.",
        json_schema_extra={
            "expected": "the backbone of the students, as in {backbone: MobileNet, weights: a.h5}, "
            "or null for the backbone of the teacher"
        },
    )
    confident: Annotated[float, Field(gt=0, le=1)] = Field(
        0.8,
        description="Share of the teacher's labels that is used for training: within each class, "
        "the labels with the highest confidence.",
    )
    labels: Literal["teacher", "own"] = Field(
        "teacher",
        description="Where the labels of data.unlabelled come from. teacher: the teacher predicts "
        "them. own: from the names of the class folders in data.unlabelled.",
    )
    merge: Literal["average", "ensemble", "best"] | Auto = Field(
        "auto",
        description="How the student models become one model. average: one model, whose weights "
        "are the mean of the students' weights. ensemble: all students in one file, which answers "
        "with the mean of their predictions and is as large and as slow as all of them together. "
        "best: the student with the lowest loss on the labelled validation examples. auto: "
        "average, unless the labelled validation examples clearly favour the best student, the "
        "ensemble or the teacher.",
        json_schema_extra={
            "expected": "'average' (the mean of the weights of the student models), 'ensemble' "
            "(all student models together), 'best' (the best student model) or 'auto' (the choice "
            "depends on the results on the labelled validation examples)"
        },
    )

    @field_validator("student", mode="after")
    @classmethod
    def _check_student(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        """Returns the fields with absolute paths, so that a saved config loads from any folder."""
        if value is None:
            return None
        if "backbone" not in value:
            raise ValueError(
                "parallel.student: expected the field 'backbone', as in {backbone: MobileNet}; "
                f"received {value!r}"
            )
        try:
            model = ModelConfig.model_validate(value)
        except ValidationError as error:
            raise ValueError(f"parallel.student: {messages(error, ModelConfig)[0]}") from None
        return {name: getattr(model, name) for name in ModelConfig.model_fields if name in value}


class CompareConfig(Section):
    """Which approaches the command `compare` runs on one data set, and how long they may take."""

    minutes: Minutes | None = Field(
        None,
        description="Time for all approaches together. The approaches 'full', 'scratch' and "
        "'search' have a limit of their own: the remaining time at their beginning, divided by "
        "the number of unfinished approaches, including this one. Approaches that have not begun "
        "when the time is used up are not run. null: no limit.",
    )
    approaches: Annotated[tuple[Approach, ...], Field(min_length=1)] | Auto = Field(
        "auto",
        description="Approaches to run. head: only the head is trained. finetune: fine-tuning with "
        "the config unchanged. search: the best model of a search, see the section 'search'. full: "
        "fine-tuning of all layers. chain: fine-tuning from the weights of the run compare.chain. "
        "cross_validate: the command cross_validate. parallel: the command parallel; needs "
        "data.unlabelled. scratch: training from random weights. auto: all of these, but chain "
        "only if compare.chain is set, parallel only if data.unlabelled is set, and full only if "
        "finetune freezes some layers.",
    )
    backbones: tuple[dict[str, Any], ...] = Field(
        (),
        description="Other backbones to compare, each with fields of the section model, as in "
        "[{backbone: MobileNet, weights: a.h5}]. Each one is fine-tuned in a further approach, "
        "which is named backbone_2, backbone_3 and so on.",
        json_schema_extra={
            "expected": "a list of other backbones, as in [{backbone: MobileNet, weights: a.h5}]"
        },
    )
    chain: Location | None = Field(
        None,
        description="Folder of the earlier run from whose weights the approach 'chain' starts. "
        "null: the approach 'chain' is not run.",
        json_schema_extra={"expected": "the folder of an earlier run"},
    )
    learning_curve: bool = Field(
        True,
        description="Whether heads are also trained on a tenth, a quarter and half of the training "
        "examples, to estimate what more labels would bring.",
    )

    @field_validator("approaches", "backbones", mode="before")
    @classmethod
    def _accept_list(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("approaches", mode="before")
    @classmethod
    def _check_names(cls, value: Any) -> Any:
        for name in value if isinstance(value, list | tuple) else ():
            if name not in APPROACHES:
                raise ValueError(
                    f"compare.approaches: expected some of {', '.join(APPROACHES)}; received "
                    f"{name!r}{nearest(name, APPROACHES)}"
                )
        return value

    @model_validator(mode="after")
    def _check_chain(self) -> "CompareConfig":
        if "chain" in self.approaches and self.chain is None:
            raise ValueError(
                "compare.chain: expected the folder of an earlier run, since compare.approaches "
                "contains 'chain'; received null"
            )
        return self


class EvaluateConfig(Section):
    """Additional ways to measure a finished model."""

    views: Annotated[int, Field(ge=1, le=64)] = Field(
        1,
        description="Number of views of each example: the example itself, then augmented (rotated, "
        "zoomed ...) versions. Above 1, the predictions for these views are averaged, and the "
        "averaged predictions are scored too; result.json has these scores in the field 'views' of "
        "a split's scores.",
    )
    classes: dict[Name, Name] = Field(
        {},
        description="For the command evaluate with --data: other names for classes of the model or "
        "of the data set, as in {tabby: cat, tiger_cat: cat}. Predictions and labels are renamed "
        "before they are compared. If several classes of the model get the same name, their "
        "probabilities are added.",
        json_schema_extra={
            "expected": "classes of the model or of the data set of --data, each with its new "
            "name, as in {tabby: cat, tiger_cat: cat}"
        },
    )
