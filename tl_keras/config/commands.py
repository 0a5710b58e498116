"""Sections of single commands: `cross_validate`, `parallel`, `compare`, `evaluate`."""

from typing import Annotated, Any, Literal, get_args

from pydantic import (
    Field,
    field_validator,
    model_validator,
)

from tl_keras.config.messages import nearest
from tl_keras.config.section import Auto, Location, Name, Section

Approach = Literal[  # The quick ones first; from scratch, which takes what time is left, last.
    "head", "finetune", "search", "full", "chain", "cross_validate", "parallel", "scratch"
]
APPROACHES: tuple[Approach, ...] = get_args(Approach)


class CrossValidateConfig(Section):
    """How examples are dealt out to folds, and what becomes of the folds."""

    folds: Annotated[int, Field(ge=2, le=100)] = 5
    repeats: Annotated[int, Field(ge=1, le=100)] = 1  # each deals the examples out anew
    final: Literal["refit", "average", "ensemble"] = Field(
        "refit",
        description="'refit' on all examples as the folds chose, 'average' of the folds' weights, "
        "or their 'ensemble', which is as large and slow as all of them",
    )


class ParallelConfig(Section):
    """How a teacher's labels are cut into segments, and what becomes of their students."""

    segments: Annotated[int, Field(ge=1, le=1000)] = 2
    rounds: Annotated[int, Field(ge=1, le=100)] = 1  # the merged model teaches the next one
    workers: Annotated[int, Field(ge=0)] | Auto = "auto"  # students at a time; 0: run elsewhere
    retries: Annotated[int, Field(ge=0)] = 1  # of a student that failed
    confident: Annotated[float, Field(gt=0, le=1)] = 0.8  # share of a class's labels that is kept
    labels: Literal["teacher", "own"] = "teacher"  # own: of class folders in data.unlabelled
    merge: Literal["average", "ensemble", "best"] | Auto = Field(
        "auto",
        description="'average' of the students' weights, their 'ensemble', the 'best' of them, or "
        "'auto': what validation prefers",
    )


class CompareConfig(Section):
    """Which approaches stand side by side, and how long they may take together."""

    minutes: Annotated[float, Field(gt=0)] | None = None  # null: no limit
    approaches: Annotated[tuple[Approach, ...], Field(min_length=1)] | Auto = (
        "auto"  # all that the config allows
    )
    backbones: tuple[dict[str, Any], ...] = Field(
        (),
        description="others than model's, as in [{backbone: MobileNet, weights: a.h5}]",
    )
    chain: Location | None = Field(
        None, description="an earlier run, whose weights the approach chain starts from"
    )
    learning_curve: bool = True  # of heads on parts of the training examples

    @field_validator("approaches", "backbones", mode="before")
    @classmethod
    def accepts_list(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("approaches", mode="before")
    @classmethod
    def knows_them(cls, value: Any) -> Any:
        for name in value if isinstance(value, list | tuple) else ():
            if name not in APPROACHES:
                raise ValueError(
                    f"compare.approaches: expected some of {', '.join(APPROACHES)}; received "
                    f"{name!r}{nearest(name, APPROACHES)}"
                )
        return value

    @model_validator(mode="after")
    def has_what_it_asks_for(self) -> "CompareConfig":
        if "chain" in self.approaches and self.chain is None:
            raise ValueError("compare.chain: expected an earlier run; received none")
        return self


class EvaluateConfig(Section):
    """How the finished model is measured, beside the plain way."""

    views: Annotated[int, Field(ge=1, le=64)] = 1  # over 1: also the mean of augmented views
    classes: dict[Name, Name] = Field(
        {},
        description="for the command evaluate on another set: classes of the model or of the set, "
        "and what each counts as, as in {tabby: cat, tiger_cat: cat}",
    )
