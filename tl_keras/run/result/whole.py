"""The top-level fields of `result.json`, and functions that build and read the whole file."""

import copy
import functools
import operator
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic

from pydantic import Field, TypeAdapter, ValidationError

from tl_keras import tasks
from tl_keras.maybe import Maybe
from tl_keras.run.result.comparison import Against, ApproachRecord, Learning, Ranked, Recommended
from tl_keras.run.result.exports import Exported, Shipped
from tl_keras.run.result.folds import CrossValidation, FoldRecord
from tl_keras.run.result.part import ODD, UNKNOWN, Part, Scores, Seconds
from tl_keras.run.result.search import SearchRecord, TrialRecord
from tl_keras.run.result.teaching import Round, Teacher, UnlabelledCounts
from tl_keras.run.result.training import (
    ActivationsRecord,
    Chosen,
    Counts,
    Digests,
    ModelRecord,
    Pretraining,
)

SCHEMA = 2
# Types of errors at fields that this version does not know, because a later version added them.
LATER_FIELDS = ("extra_forbidden", UNKNOWN)
# Values for missing fields that every result needs.
DEFAULTS: dict[str, Any] = {"schema": SCHEMA, "pipeline": "", "seed": 0, "seconds": {}}
if TYPE_CHECKING:  # `Result` alone means a result of the default task.
    from typing_extensions import TypeVar

    from tl_keras.tasks.classification import record

    AnyScores = TypeVar("AnyScores", bound=Scores, default=record.Scores)
else:
    from typing import TypeVar

    AnyScores = TypeVar("AnyScores", bound=Scores)


class Result(Part, Generic[AnyScores]):
    """Everything that `result.json` may hold.

    The command decides which parts a result has. Runs inside a run, such as trials and folds, have
    fewer parts.
    """

    version: int = Field(
        alias="schema",
        ge=1,
        description="Version of the schema of result.json, currently 2. Files of version 1 lack "
        "the field `task`.",
    )
    task: str = Field(
        tasks.DEFAULT,
        description="The task of the model, such as `classification`; see `task` in the config.",
    )
    pipeline: str = Field(
        description="The command that made the run, such as `finetune`. For a run inside a run, "
        "its kind: `trial`, `fold`, `teacher`, `segment` (a student model) or `pass` (computes "
        "activations)."
    )
    seed: int = Field(description="The random seed; see `seed` in the config.")
    seconds: dict[str, Seconds] = Field(
        description="Time of each phase, by name of the phase, over all sessions (starts of the "
        "command): `data`, `features` (computing activations), `head`, `finetune`, `search`, "
        "`folds`, `teacher`, `label`, `students`, `merge`, `ranking`, `evaluate`, `explain`, "
        "`export`, each approach of the command compare, and `total`."
    )
    data: Maybe[Counts] = Field(None, description="Size of the data set.")
    model: Maybe[ModelRecord] = Field(None, description="The model, and how it was made.")
    chosen: Maybe[Chosen] = Field(None, description="The settings that were chosen on validation.")
    pretraining: Maybe[Pretraining] = Field(
        None,
        description="What the backbone learned without labels. Only in results of the command "
        "pretrain, if pretrain.objective is not labels.",
    )
    val: Maybe[AnyScores] = Field(
        None,
        description="Scores on validation. For cross_validate: scores on all examples of train and "
        "val, each answered by the model of the fold that holds the example out.",
    )
    test: Maybe[AnyScores] = Field(
        None,
        description="Scores on test. No choice depends on test. null without a test split.",
    )
    held_out: Maybe[AnyScores] = Field(
        None,
        description="Scores on the examples that the fold holds out. Only in the result of a fold.",
    )
    labelled: Maybe[AnyScores] = Field(
        None,
        description="Scores on the validation examples that people labelled. Only in the result of "
        "a student.",
    )
    taught: Maybe[AnyScores] = Field(
        None,
        description="Scores on the validation examples that the teacher labelled. Only in the "
        "result of a student.",
    )
    export: Maybe[dict[str, Exported]] = Field(
        None, description="The exported files, by format. Only for commands that export."
    )
    shipped: Maybe[Shipped] = Field(
        None, description="The file to ship. Only for commands that export."
    )
    search: Maybe[SearchRecord] = Field(
        None, description="The search and its trials. Only if there was a search."
    )
    trial: Maybe[TrialRecord] = Field(
        None,
        description="The record of this trial. Its entry in search.trials of the result.json of "
        "the search also has `essence`, `elapsed` and `behind`. Only in the result of a trial.",
    )
    activation_bytes: Maybe[dict[str, int]] = Field(
        None,
        description="Size of the computed activations in bytes, by name of the layer. Only in the "
        "result of a pass, which runs the frozen layers over a split.",
    )
    features: Maybe[dict[str, ActivationsRecord]] = Field(
        None,
        description="Which activations of frozen layers are stored on disk, by name of the layer "
        "and split, as in LAYER/train.",
    )
    backbones: Maybe[dict[str, Digests]] = Field(
        None,
        description="Digests that identify the backbones, by architecture. Only for a search over "
        "several architectures, and for students with a backbone of their own (`students`).",
    )
    folds: Maybe[list[FoldRecord]] = Field(
        None, description="The folds, in order. Only in results of the command cross_validate."
    )
    cross_validation: Maybe[CrossValidation] = Field(
        None,
        description="How the folds were made, and the mean of each metric over them. Only in "
        "results of the command cross_validate.",
    )
    unlabelled: Maybe[UnlabelledCounts] = Field(
        None,
        description="Number of examples in data.unlabelled. Only in results of the command "
        "parallel.",
    )
    rounds: Maybe[list[Round]] = Field(
        None,
        description="The rounds of labelling and training, in order. Only in results of the "
        "command parallel.",
    )
    teacher: Maybe[Teacher] = Field(
        None,
        description="The teacher of the first round, compared with the final model. Only in "
        "results of the command parallel.",
    )
    approaches: Maybe[dict[str, ApproachRecord]] = Field(
        None,
        description="The approaches that were run, by name. Only in results of the command "
        "compare.",
    )
    left_out: Maybe[dict[str, str]] = Field(
        None,
        description="For each approach that was not run, the reason, by name of the approach. Only "
        "in results of the command compare.",
    )
    recommended: Maybe[Recommended] = Field(
        None, description="The recommended approach. Only in results of the command compare."
    )
    chain: Maybe[dict[str, Against]] = Field(
        None,
        description="The approach `chain` compared with the approach `finetune`, by split. Only in "
        "results of the command compare, if compare.chain is set and both approaches were run.",
    )
    ranking: Maybe[list[Ranked]] = Field(
        None,
        description="The backbones, sorted by how well their features suit the task, the best "
        "first. Only in results of the command compare.",
    )
    learning_curve: Maybe[list[Learning]] = Field(
        None,
        description="Validation scores of heads that were trained on parts of the training "
        "examples. Only in results of the command compare.",
    )
    devices: Maybe[int] = Field(
        None,
        description="Number of devices, such as GPUs, among which each batch was divided. Only for "
        "training from random weights.",
    )
    versions: Maybe[dict[str, str]] = Field(
        None, description="Versions of Python and of the main packages, by name."
    )
    device: Maybe[str] = Field(
        None, description="The machine: processor type, CPU cores and number of GPUs."
    )

    def __reduce__(self) -> tuple[Any, ...]:
        return build, (to_json(self),)  # Pickle cannot find a generic model by its name.


@functools.cache
def of(task: str) -> type[Result]:
    """Returns the pydantic model that describes `result.json` for a task."""
    return Result[tasks.of(task, "record").Scores]  # type: ignore[misc, return-value]  # At run time.


def schema() -> dict[str, Any]:
    """Returns the JSON schema of `result.json` for all tasks."""
    every = tuple(of(task) for task in tasks.TASKS)
    union = functools.reduce(operator.or_, every)
    return TypeAdapter(union).json_schema(by_alias=True)


def to_json(value: Any) -> Any:
    """Returns a value in which all parts of a result are replaced by plain JSON values.

    A part, also inside dicts and lists, becomes a dict of the fields that are set.
    """
    if isinstance(value, Part):
        return value.model_dump(by_alias=True, exclude_unset=True)
    if isinstance(value, Mapping):
        return {name: to_json(inner) for name, inner in value.items()}
    return [to_json(inner) for inner in value] if isinstance(value, list | tuple) else value


def build(parts: Mapping[str, Any]) -> Result:
    """Builds a result from its parts and checks them.

    Args:
      parts: the parts by their names in `result.json`; each is an instance of `Part` or a plain
        JSON value.

    Raises:
      ValidationError: a part differs from its declaration. This is a fault of the package.
    """
    values = to_json(parts)
    return of(values["task"]).model_validate(values)


def parse(values: Mapping[str, Any], task: str) -> tuple[Result, list[str]]:
    """Parses the content of a `result.json`; returns the result, and one line for each wrong field.

    Wrong fields are left out, and so is a part that lacks a required field. In this way results of
    other versions, and files edited by hand, are read as far as possible.

    Args:
      values: the content of the file.
      task: the task in the run's config; files of version 1 do not name their task.
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
            ignored = (*LATER_FIELDS, "missing")  # From now on, missing fields were left out here.
            for place in sorted(places, reverse=True):  # Later entries of a list first.
                _leave_out(fields, place)


def _place(values: Any, detail: Mapping[str, Any]) -> tuple[str | int, ...]:
    """Returns the path of the value that must be left out because of a validation error.

    The value is a wrong one, or a part that lacks a required field.

    Args:
      values: the content of the file.
      detail: one error of pydantic.
    """
    place: list[str | int] = []
    for step in detail["loc"]:  # The last steps may be types that pydantic tried.
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
    if not place:  # A name in the file is not valid Unicode.
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
