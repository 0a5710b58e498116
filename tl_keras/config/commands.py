"""Sections that one command reads: `cross_validate`, `parallel`, `compare`, `evaluate`."""

from typing import Annotated, Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from tl_keras.config.messages import nearest
from tl_keras.config.section import Auto, Location, Minutes, Name, Section

Approach = Literal[  # Quick ones first; `scratch`, which takes all the time that is left, last.
    "head", "finetune", "search", "full", "chain", "cross_validate", "parallel", "scratch"
]
APPROACHES: tuple[Approach, ...] = get_args(Approach)


class CrossValidateConfig(Section):
    """How the command `cross_validate` splits the examples into folds, and which model it makes.

    The teacher of `parallel` is cross-validated too, with at most `folds` folds.
    """

    folds: Annotated[int, Field(ge=2, le=100)] = Field(
        5,
        description="Number of folds. Each example is held out by one fold, whose model is "
        "measured on it.",
    )
    repeats: Annotated[int, Field(ge=1, le=100)] = Field(
        1,
        description="How often the whole cross-validation is repeated, each time with another "
        "random assignment of examples to folds.",
    )
    final: Literal["refit", "average", "ensemble"] = Field(
        "refit",
        description="How the exported model is made. refit: one model is trained on all examples "
        "with the settings that the folds chose. average: the mean of the weights of the folds. "
        "ensemble: the mean of the answers of the folds, as large and as slow as all of them "
        "together.",
        json_schema_extra={
            "expected": "'refit' (on all examples), 'average' (of the weights) or 'ensemble' (of "
            "the models)"
        },
    )


class ParallelConfig(Section):
    """How the command `parallel` labels `data.unlabelled` with a teacher and trains students on it.

    The examples that the teacher labelled are split into segments. One student is trained on each
    segment and on the examples that people labelled. The students are merged into one model.
    """

    segments: Annotated[int, Field(ge=1, le=1000)] = Field(
        2,
        description="Number of segments into which the teacher-labelled examples are split, and "
        "so the number of students.",
    )
    rounds: Annotated[int, Field(ge=1, le=100)] = Field(
        1,
        description="Number of rounds. The merged model of a round is the teacher of the next. "
        "The run ends earlier if no student is better than its teacher.",
    )
    workers: Annotated[int, Field(ge=0)] | Auto = Field(
        "auto",
        description="Number of students that train at the same time on this machine, each in its "
        "own process. auto: the number of segments, at most one for each core. 0: none; the "
        "command waits until the students have been trained elsewhere with --segment=i.",
    )
    retries: Annotated[int, Field(ge=0)] = Field(
        1, description="How often a student that failed is started again."
    )
    confident: Annotated[float, Field(gt=0, le=1)] = Field(
        0.8,
        description="Share of the teacher's labels that is used: within each class, the labels "
        "with the highest confidence.",
    )
    labels: Literal["teacher", "own"] = Field(
        "teacher",
        description="Where the labels of data.unlabelled come from. teacher: the teacher predicts "
        "them. own: from the names of the class folders in data.unlabelled.",
    )
    merge: Literal["average", "ensemble", "best"] | Auto = Field(
        "auto",
        description="How the students become one model. average: the mean of their weights. "
        "ensemble: the mean of their answers, as large and as slow as all of them together. best: "
        "the student with the lowest loss on the labelled validation examples. auto: the average, "
        "unless the labelled validation examples clearly favour the best student, the ensemble or "
        "the teacher.",
        json_schema_extra={
            "expected": "'average' (of the weights), 'ensemble' (of the students), 'best' (one "
            "student) or 'auto' (by validation)"
        },
    )


class CompareConfig(Section):
    """Which approaches the command `compare` runs on one data set, and how long they may take."""

    minutes: Minutes | None = Field(
        None,
        description="Time for all approaches together. full, scratch and search get an equal share "
        "of the time that is left; approaches that have not begun when the time is spent are left "
        "out. null: no limit.",
    )
    approaches: Annotated[tuple[Approach, ...], Field(min_length=1)] | Auto = Field(
        "auto",
        description="Approaches to run. head: only the head is trained. finetune: the config as it "
        "is. search: with a search of the section search. full: nothing is frozen. chain: starts "
        "from the weights of compare.chain. cross_validate: the command of this name. parallel: "
        "the command of this name; needs data.unlabelled. scratch: starts from random weights. "
        "auto: all for which the config has what they need.",
    )
    backbones: tuple[dict[str, Any], ...] = Field(
        (),
        description="Other backbones to compare, each with fields of the section model, as in "
        "[{backbone: MobileNet, weights: a.h5}]. Each one is fine-tuned as backbone_2, backbone_3 "
        "and so on.",
        json_schema_extra={
            "expected": "a list of other backbones, as in [{backbone: MobileNet, weights: a.h5}]"
        },
    )
    chain: Location | None = Field(
        None,
        description="Folder of an earlier run, whose weights the approach chain starts from. "
        "null: the approach chain is left out.",
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
            raise ValueError("compare.chain: expected the folder of an earlier run; received none")
        return self


class EvaluateConfig(Section):
    """Additional ways to measure a finished model."""

    views: Annotated[int, Field(ge=1, le=64)] = Field(
        1,
        description="Number of augmented views of each example. Above 1, the mean of the "
        "probabilities over this many views is measured too, and recorded as views in result.json.",
    )
    classes: dict[Name, Name] = Field(
        {},
        description="For the command evaluate with --data: maps names of classes, of the model or "
        "of the data set, to the class that they count as, as in {tabby: cat, tiger_cat: cat}. "
        "The probabilities of classes that become one are added.",
        json_schema_extra={
            "expected": "classes of the model or of the other data set, and what each counts as, "
            "as in {tabby: cat, tiger_cat: cat}"
        },
    )
