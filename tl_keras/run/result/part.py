"""The base classes of the parts of a result, and the types that their fields share.

Units and ranges of fields are entries of `json_schema_extra`. They are documentation and are not
checked, so that results of other versions can still be read.
"""

import functools
from collections.abc import KeysView
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from tl_keras import tasks
from tl_keras.maybe import Maybe

Pair = Annotated[list[float], Field(min_length=2, max_length=2)]
Interval = Pair  # 95%: low, high
Share = Annotated[float, Field(json_schema_extra={"range": "0 to 1"})]
Seconds = Annotated[float, Field(json_schema_extra={"unit": "seconds"})]
Milliseconds = Annotated[float, Field(json_schema_extra={"unit": "ms"})]
Bytes = Annotated[int, Field(json_schema_extra={"unit": "bytes"})]
# Tables of a task's `names`: measures that are one number, and measures that are a list.
SINGLE, LISTS = ("METRICS", "CHOOSE_BY", "RANKED"), ("NOTED",)
UNKNOWN, ODD = "unknown_measure", "odd_measure"  # Types of validation errors of a measure.


class Part(BaseModel):
    """A part of a result, such as the scores on one split.

    Its fields can be read as attributes, as in `run.result.test.accuracy`, or like the items of a
    dict with their names in `result.json`, as in `run.result["test"]["accuracy"]`.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", validate_by_name=True)

    def keys(self) -> KeysView[str]:
        """Returns the names of the fields that are set, in the order of their declaration."""
        fields_set = self.__pydantic_fields_set__
        names = {name: field.alias or name for name, field in type(self).model_fields.items()}
        names |= {name: name for name in self.__pydantic_extra__ or ()}
        return {alias: None for name, alias in names.items() if name in fields_set}.keys()

    def __contains__(self, name: str) -> bool:
        return _field_of(type(self), name) in self.__pydantic_fields_set__

    def get(self, name: str, default: Any = None) -> Any:
        """Returns the value of a field, or the default if the field is not set."""
        return self[name] if name in self else default

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise KeyError(name)
        return getattr(self, _field_of(type(self), name))


@functools.cache
def _aliases(model: type[Part]) -> dict[str, str]:
    return {field.alias: name for name, field in model.model_fields.items() if field.alias}


def _field_of(model: type[Part], name: str) -> str:
    """Returns the name of the attribute for a key of `result.json`, such as `version` for `schema`.

    Most attributes have the name of their key.
    """
    return _aliases(model).get(name, name)


class Measured(Part):
    """A part of a result that has, beside its declared fields, measures that the task defines.

    For classification, `accuracy` is such a measure.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float | None | list[int] | list[float]]

    @model_validator(mode="before")
    @classmethod
    def _are_known(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        single, lists = _measures(tuple(tasks.TASKS))
        for name in values.keys() - cls.model_fields.keys():
            if name not in single | lists:
                raise PydanticCustomError(UNKNOWN, "unknown measure '{name}'", {"name": name})
            value = values[name]
            if value is not None and (name in single) == isinstance(value, list):
                raise PydanticCustomError(ODD, "'{name}' is of another kind", {"name": name})
        return values


@functools.cache
def _measures(_: tuple[str, ...]) -> tuple[set[str], set[str]]:
    """Returns two sets of names: of measures that are one number, and of measures that are a list.

    The argument, the names of all tasks, is not used. It makes `functools.cache` compute the sets
    again when tests have added a task.
    """
    single, lists = ({n for t in tables for n in tasks.every(t)} for tables in (SINGLE, LISTS))
    return single, lists


class Measures(Measured):
    """A part with measures that the task defines. Type checkers accept any attribute of it."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> float | Any: ...


class Views(Measures):
    """Scores of answers that are averaged over several augmented views of each example.

    The answers to the views of an example are averaged first; then the mean answers are scored.
    For classification this record has the measures `accuracy` and `log_loss`.
    """

    count: int = Field(
        description="Number of views (augmented versions) of each example, including the "
        "unaugmented example; see evaluate.views in the config."
    )
    interval: Interval = Field(description="95% interval of the main metric.")


class Scores(Measured):
    """Scores on one split. Each task has a subclass with its metrics."""

    views: Maybe[Views] = Field(
        None,
        description="Scores if the answers to several augmented views of each example are averaged "
        "before they are scored. Only with evaluate.views above 1.",
    )
    if TYPE_CHECKING:
        interval: Interval
        n: int


class MainScores(Measures):
    """The main scores of an approach of `compare`, or of a student or candidate of `parallel`.

    The candidates of a round are the student models, the merged models and the teacher model.
    For classification this record has the measures `accuracy` and `log_loss`.
    """

    interval: Maybe[Interval] = Field(None, description="95% interval of the main metric.")
    n: Maybe[int] = Field(None, description="Number of examples.")
