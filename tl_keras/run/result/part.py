"""What the parts of a result have in common."""

from collections.abc import KeysView
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from tl_keras import tasks

Pair = Annotated[list[float], Field(min_length=2, max_length=2)]
Interval = Pair  # 95%: low, high
Seconds = float
OF_THE_TASK = ("METRICS", "CHOOSE_BY", "NOTED", "RANKED")  # Tables of names of measures.
UNKNOWN = "unknown_measure"  # The kind of error of another name.


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
        return name in self.keys()

    def get(self, name: str, default: Any = None) -> Any:
        """What was given under a name, or the default."""
        return self[name] if name in self else default

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise KeyError(name)
        fields = type(self).model_fields.items()
        return getattr(self, next((own for own, field in fields if field.alias == name), name))


class Measures(Part):
    """A part that also has measures of the run's task, by name."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float | None | list[int] | list[float]]

    @model_validator(mode="after")
    def _are_known(self) -> "Measures":
        known = {name for table in OF_THE_TASK for name in tasks.every(table)}
        for name in self.__pydantic_extra__ or ():
            if name not in known:
                raise PydanticCustomError(UNKNOWN, "unknown measure '{name}'", {"name": name})
        return self


class Views(Measures):
    """Scores of answers that are the mean over `evaluate.views` views of each example."""

    count: int
    interval: Interval


class Scores(Measures):
    """Scores of a split. A task's `record.Scores` declares its metrics, the 95% `interval` of the
    main one, and `n`, the number of examples."""

    views: Views | None = None


class MainScores(Measures):
    """The few scores that are recorded of approaches, students and candidates: `metrics.IN_SHORT`
    of the task."""

    interval: Interval | None = None
    n: int | None = None
