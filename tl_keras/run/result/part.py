"""What the parts of a result have in common."""

import functools
from collections.abc import KeysView
from typing import TYPE_CHECKING, Annotated, Any, Optional, TypeVar, Union

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from tl_keras import tasks

Value = TypeVar("Value")
if TYPE_CHECKING:
    # Type checkers accept `run.result.test.accuracy` without a check for None, and refuse unknown
    # names: which parts a result has follows from the command.
    Maybe = Union[Value, Any]  # noqa: UP007
else:
    Maybe = Optional[Value]  # noqa: UP045

Pair = Annotated[list[float], Field(min_length=2, max_length=2)]
Interval = Pair  # 95%: low, high
Seconds = float
# Tables of names of measures that are a number, and of those that have one for each example.
SINGLE, LISTS = ("METRICS", "CHOOSE_BY", "RANKED"), ("NOTED",)
UNKNOWN, ODD = "unknown_measure", "odd_measure"  # Kinds of errors: another name, another type.


class Part(BaseModel):
    """A part of a result. Its attributes read as those of a dict do, too, by their names in the
    file: `run.result["test"]["accuracy"]`."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", validate_by_name=True)

    def keys(self) -> KeysView[str]:
        """The names of what was given, in the order in which they are declared."""
        given = self.__pydantic_fields_set__
        every = {name: field.alias or name for name, field in type(self).model_fields.items()}
        every |= {name: name for name in self.__pydantic_extra__ or ()}
        return {own: None for name, own in every.items() if name in given}.keys()

    def __contains__(self, name: str) -> bool:
        return _field_of(type(self), name) in self.__pydantic_fields_set__

    def get(self, name: str, default: Any = None) -> Any:
        """What was given under a name, or the default."""
        return self[name] if name in self else default

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise KeyError(name)
        return getattr(self, _field_of(type(self), name))


@functools.cache
def _aliases(model: type[Part]) -> dict[str, str]:
    return {field.alias: name for name, field in model.model_fields.items() if field.alias}


def _field_of(model: type[Part], name: str) -> str:
    """The field of a model that has a name in the file."""
    return _aliases(model).get(name, name)


class Measured(Part):
    """A part that also has measures of the run's task."""

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
    """Names of measures, see `SINGLE` and `LISTS`, once for all parts that these tasks have."""
    single, lists = ({n for t in tables for n in tasks.every(t)} for tables in (SINGLE, LISTS))
    return single, lists


class Measures(Measured):
    """A part with measures whose names only the task knows, so type checkers accept any name."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> float | Any: ...


class Views(Measures):
    """Scores of answers that are the mean over `evaluate.views` views of each example."""

    count: int
    interval: Interval


class Scores(Measured):
    """Scores of a split. A task's `record.Scores` declares its metrics, the 95% `interval` of the
    main one, and `n`, the number of examples."""

    views: Maybe[Views] = None


class MainScores(Measures):
    """The few scores that are recorded of approaches, students and candidates: `metrics.IN_SHORT`
    of the task."""

    interval: Maybe[Interval] = None
    n: Maybe[int] = None
