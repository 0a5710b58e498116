"""The whole of `result.json`: its fields, writing it, reading it."""

import copy
import functools
import operator
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic

from pydantic import Field, TypeAdapter, ValidationError

from tl_keras import tasks
from tl_keras.run.result.comparison import Against, ApproachRecord, Learning, Ranked, Recommended
from tl_keras.run.result.exports import Exported, Shipped
from tl_keras.run.result.folds import CrossValidation, FoldRecord
from tl_keras.run.result.part import ODD, UNKNOWN, Maybe, Part, Scores, Seconds
from tl_keras.run.result.search import SearchRecord, TrialRecord
from tl_keras.run.result.teaching import Round, Teacher, UnlabelledCounts
from tl_keras.run.result.training import ActivationsRecord, Chosen, Counts, Digests, ModelRecord

SCHEMA = 2
# Kinds of errors at fields that this version does not know, as a later one may have.
LATER_FIELDS = ("extra_forbidden", UNKNOWN)
# What stands in for fields that every result needs.
DEFAULTS: dict[str, Any] = {"schema": SCHEMA, "pipeline": "", "seed": 0, "seconds": {}}
if TYPE_CHECKING:  # `Result` alone means a result of the default task.
    from typing_extensions import TypeVar

    from tl_keras.tasks.classification import record

    AnyScores = TypeVar("AnyScores", bound=Scores, default=record.Scores)
else:
    from typing import TypeVar

    AnyScores = TypeVar("AnyScores", bound=Scores)


class Result(Part, Generic[AnyScores]):
    """Everything that `result.json` may hold. A run inside a run fills in fewer parts."""

    version: int = Field(alias="schema", ge=1)  # 1: without `task`
    task: str = tasks.DEFAULT
    pipeline: str  # the command, or the kind of job
    seed: int
    seconds: dict[str, Seconds]  # by phase; `total`
    data: Maybe[Counts] = None
    model: Maybe[ModelRecord] = None
    chosen: Maybe[Chosen] = None
    val: Maybe[AnyScores] = None
    test: Maybe[AnyScores] = None
    held_out: Maybe[AnyScores] = None  # of a fold
    labelled: Maybe[AnyScores] = None  # of a student: validation examples that people labelled
    taught: Maybe[AnyScores] = None  # of a student: those that the teacher labelled
    export: Maybe[dict[str, Exported]] = None  # by format
    shipped: Maybe[Shipped] = None
    search: Maybe[SearchRecord] = None
    trial: Maybe[TrialRecord] = None  # of a trial
    activation_bytes: Maybe[dict[str, int]] = None  # of a pass, by cut
    features: Maybe[dict[str, ActivationsRecord]] = None  # by cut and split
    backbones: Maybe[dict[str, Digests]] = None  # by architecture, of a search over several
    folds: Maybe[list[FoldRecord]] = None
    cross_validation: Maybe[CrossValidation] = None
    unlabelled: Maybe[UnlabelledCounts] = None
    rounds: Maybe[list[Round]] = None
    teacher: Maybe[Teacher] = None
    approaches: Maybe[dict[str, ApproachRecord]] = None
    left_out: Maybe[dict[str, str]] = None  # approaches that were not run, and why
    recommended: Maybe[Recommended] = None
    chain: Maybe[dict[str, Against]] = None  # by split, against its last step alone
    ranking: Maybe[list[Ranked]] = None
    learning_curve: Maybe[list[Learning]] = None
    devices: Maybe[int] = None  # that a batch was divided among
    versions: Maybe[dict[str, str]] = None
    device: Maybe[str] = None  # the machine

    def __reduce__(self) -> tuple[Any, ...]:
        return build, (to_json(self),)  # Pickle finds no generic model by its name.


@functools.cache
def of(task: str) -> type[Result]:
    """The model of a result of a task."""
    return Result[tasks.of(task, "record").Scores]  # type: ignore[misc, return-value]  # At run time.


def schema() -> dict[str, Any]:
    """The JSON schema of `result.json`, of any task."""
    every = tuple(of(task) for task in tasks.TASKS)
    union = functools.reduce(operator.or_, every)
    return TypeAdapter(union).json_schema(by_alias=True)


def to_json(value: Any) -> Any:
    """Parts, wherever they stand in dicts and lists, as what JSON has: given fields alone."""
    if isinstance(value, Part):
        return value.model_dump(by_alias=True, exclude_unset=True)
    if isinstance(value, Mapping):
        return {name: to_json(inner) for name, inner in value.items()}
    return [to_json(inner) for inner in value] if isinstance(value, list | tuple) else value


def build(parts: Mapping[str, Any]) -> Result:
    """A result of its parts, by their names in the file: models, or what JSON has.

    Raises:
      ValidationError: a part is not as it is declared: a fault of ours.
    """
    values = to_json(parts)
    return of(values["task"]).model_validate(values)


def parse(values: Mapping[str, Any], task: str) -> tuple[Result, list[str]]:
    """A result of what a file holds, and what is wrong in the file, a line a field.

    Whatever is not as it is declared is left out, with the part that cannot do without. So results
    of other versions, or edited by hand, are read as far as they go.

    Args:
      task: that the run's config has; files of version 1 do not name it.
    """
    fields = copy.deepcopy(dict(values))
    wrong: dict[str, str] = {}
    ignored: tuple[str, ...] = LATER_FIELDS
    if fields.setdefault("task", task) != task:
        wrong["task"] = f"expected {task!r}; received {fields['task']!r}"
        fields["task"] = task
    while True:
        try:
            result = of(task).model_validate(fields)
            return result, [f"{field}: {message}" for field, message in wrong.items()]
        except ValidationError as error:
            details = error.errors(include_url=False)
            places = {_place(fields, detail) for detail in details}
            for detail in details:
                if detail["type"] not in ignored:
                    is_missing = detail["type"] == "missing"
                    field = detail["loc"] if is_missing else _place(fields, detail)
                    wrong.setdefault(".".join(map(str, field)), detail["msg"])
            ignored = (*LATER_FIELDS, "missing")  # What is missing now was left out here.
            for place in sorted(places, reverse=True):  # Of a list the last ones first.
                _leave_out(fields, place)


def _place(values: Any, detail: Mapping[str, Any]) -> tuple[str | int, ...]:
    """Where in the values to leave something out: what is wrong itself, or the part that lacks a
    field that it needs."""
    place: list[str | int] = []
    for step in detail["loc"]:  # The last steps may name what no file has: a type that was tried.
        inside = isinstance(values, dict) and step in values
        if not inside and not (isinstance(values, list) and isinstance(step, int)):
            break
        values = values[step]
        place.append(step)
    if not place and detail["type"] == "missing":
        place = list(detail["loc"])
    if detail["type"] in (UNKNOWN, ODD):
        place.append(detail["ctx"]["name"])
    return tuple(place)


def _leave_out(values: Any, place: tuple[str | int, ...]) -> None:
    if not place:  # A name that is not valid Unicode.
        kept = {name: value for name, value in values.items() if _is_unicode(name)}
        kept = kept if len(kept) < len(values) else {}
        values.clear()
        values |= kept
        return
    if len(place) == 1 and place[0] in DEFAULTS:
        values[place[0]] = DEFAULTS[place[0]]
        return
    *above, last = place
    for step in above:
        values = values[step]
    del values[last]


def _is_unicode(name: str) -> bool:
    return name.encode(errors="replace").decode() == name
