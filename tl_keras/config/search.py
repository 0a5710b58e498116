"""`search`: which fields a search changes, for how long, and which trial is the best."""

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from tl_keras import tasks
from tl_keras.config.messages import messages, nearest, shown
from tl_keras.config.section import Minutes, Section, Text

MOST_DECADES = 100  # Largest ratio of the ends of a range, as a power of ten.


class Range(Section):
    """A range of values of a searched field, both ends included."""

    min: float | int = Field(description="Lowest value of the range.")
    max: float | int = Field(description="Highest value of the range; must be above min.")
    scale: Literal["linear", "log"] = Field(
        "linear",
        description="How values are sampled from the range. linear: evenly between the ends. log: "
        "evenly on a logarithmic scale, so min must be above 0.",
    )

    @model_validator(mode="after")
    def _check_ends(self) -> "Range":
        if self.min >= self.max:
            raise ValueError(f"expected min below max; received {self.min} and {self.max}")
        if self.scale == "log" and self.min <= 0:
            raise ValueError(f"expected min above 0 where scale is log; received {self.min}")
        span = math.log(self.max) - math.log(self.min) if self.scale == "log" else 0.0
        if span > MOST_DECADES * math.log(10) or not math.isfinite(self.max - self.min):
            raise ValueError(
                f"expected a min and a max that are at most {MOST_DECADES} powers of ten apart; "
                f"received {self.min} and {self.max}"
            )
        return self


BLOCKS = "blocks"  # For fit.freeze only: every block boundary.
Values = tuple[Any, ...] | Range | Literal["blocks"]
DEFAULT_SPACE: dict[str, Any] = {
    "fit.freeze": [0.0, 0.25, 0.5, 0.75, 1.0],
    "fit.learning_rate": {"min": 3e-5, "max": 3e-3, "scale": "log"},
}
TRIALS = 12  # Number of trials of the command `search` if the config sets no budget.
LIMITS = ("bytes", "latency_ms")


class SearchConfig(Section):
    """Which fields a search changes, how long the search runs, and how it picks the best trial.

    If `trials` or `minutes` is set, each command that trains begins with a search; the command
    `search` only searches. Each trial is a training run of its own, measured on the validation set.
    """

    trials: Annotated[int, Field(ge=0, le=10_000)] = Field(
        0,
        description="Number of trials, including those that were made before the search was "
        "resumed. 0: no limit on the number if search.minutes is set, else no search (but the "
        f"command 'search' makes {TRIALS} trials).",
    )
    minutes: Minutes | None = Field(
        None,
        description="Time for all trials, including those that were made before the search was "
        "resumed; no trial begins after this time. null: no limit.",
    )
    tuner: Literal["bayesian", "random", "hyperband"] = Field(
        "bayesian",
        description="The search algorithm, an oracle of KerasTuner, that proposes the trials. "
        "hyperband begins with many short trials, so it needs some dozens of trials.",
    )
    objective: Text = Field(
        "log_loss",
        description="The metric of the validation set by which the best trial is picked: "
        f"{', '.join(tasks.every('METRICS'))}. Limits on the size and latency of the exported file "
        "may follow, as in 'accuracy subject to bytes <= 3e6 and latency_ms <= 5'. log_loss is the "
        "default because accuracy on a hundred examples is coarse.",
        json_schema_extra={
            "expected": "a metric, as in 'accuracy' or 'log_loss', optionally with limits of the "
            "exported file, as in 'accuracy subject to bytes <= 3e6 and latency_ms <= 5'"
        },
    )
    format: Literal["float32", "float16", "dynamic", "int8"] = Field(
        "int8",
        description="Format of the exported file to which the limits in search.objective apply, "
        "and whose size and latency the command compare measures. One file is measured for each "
        "architecture, which is a combination of backbone, head and preparation of the examples. "
        "The default for texts is dynamic.",
    )
    keep: Annotated[int, Field(ge=1)] = Field(
        1, description="How many of the best trials keep their model.keras on disk."
    )
    space: dict[str, Values] = Field(
        default_factory=lambda: dict(DEFAULT_SPACE),
        validate_default=True,
        description="The fields that the search changes, by name, as in fit.freeze. For each "
        "field: a list of values; or a range {min, max, scale}; or, only for fit.freeze, 'blocks', "
        "which means every block boundary. The entry 'model' takes a list of combinations of "
        "fields of the section 'model', as in [{backbone: MobileNet, weights: a.h5}, {backbone: "
        "MobileNetV2, weights: b.h5}].",
        json_schema_extra={
            "expected": "fields, as in fit.freeze, and for each a list of values, a range {min, "
            "max, scale}, or for fit.freeze 'blocks'"
        },
    )

    @field_validator("space", mode="before")
    @classmethod
    def _accept_lists(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: _values(name, entry) for name, entry in _flat(value).items()}

    @field_validator("tuner", mode="before")
    @classmethod
    def _refuse_grid(cls, value: Any) -> Any:
        if value == "grid":
            raise ValueError(
                "search.tuner: 'grid' is not available, since a grid search could not be resumed "
                "(https://github.com/keras-team/keras-tuner/issues/1055); expected 'bayesian', "
                "'random' or 'hyperband'"
            )
        return value

    @model_validator(mode="after")
    def _check_objective(self) -> "SearchConfig":
        self.goal  # noqa: B018
        return self

    @property
    def wanted(self) -> bool:
        """Whether the config asks for a search."""
        return self.trials > 0 or self.minutes is not None

    @property
    def goal(self) -> "Goal":
        """The metric and the limits that `objective` states."""
        metric, subject, limits = self.objective.partition(" subject to ")
        limits_by_name = {}
        for part in limits.split(" and ") if subject else ():
            name, less, number = part.partition("<=")
            if not less or name.strip() not in LIMITS or not _is_positive(number):
                raise ValueError(
                    "search.objective: expected limits as in 'accuracy subject to bytes <= 3e6 and "
                    f"latency_ms <= 5'; received {part.strip()!r}"
                )
            limits_by_name[name.strip()] = float(number)
        known = tasks.every("METRICS")
        if metric.strip() not in known:
            near = nearest(metric.strip(), known)
            raise ValueError(
                f"search.objective: expected one of {', '.join(known)}; received "
                f"{metric.strip()!r}{near}"
            )
        return Goal(metric.strip(), limits_by_name)


def _flat(space: dict[str, Any]) -> dict[str, Any]:
    """Returns `search.space` without nesting: `{fit.keep: [best]}` for `{fit: {keep: [best]}}`.

    `--set search.space.fit.keep=[best]` makes the nested form. If a field has an entry in both
    forms, the nested entry is used.
    """
    nested = {
        name: entry
        for name, entry in space.items()
        if isinstance(entry, dict) and entry and not entry.keys() & Range.model_fields.keys()
    }
    flat = {name: entry for name, entry in space.items() if name not in nested}
    for name, entry in nested.items():
        flat |= _flat({f"{name}.{field}": value for field, value in entry.items()})
    return flat


def _values(name: str, value: Any) -> Any:
    """Returns one entry of `search.space` as a tuple, a `Range` or "blocks".

    Raises:
      ValueError: the entry is none of these, or is not a valid range.
    """
    if isinstance(value, list | tuple):
        return tuple(value)
    if isinstance(value, dict):
        try:
            return Range.model_validate(value)
        except ValidationError as error:
            first = messages(error, Range)[0].removeprefix(": ")
            raise ValueError(f"search.space.{name}: {first}") from None
    if value == BLOCKS or isinstance(value, Range):
        return value
    raise ValueError(
        f"search.space.{name}: expected a list of values, {{min: ..., max: ..., scale: log}}, or "
        f"for fit.freeze 'blocks'; received {shown(value)}"
    )


@dataclass(frozen=True)
class Goal:
    """What a search optimises: a metric within limits.

    Attributes:
      metric: name of a metric of the task, on the validation set.
      limits: largest `bytes` and `latency_ms` of the exported file, by name; a name without a limit
        is left out.
    """

    metric: str
    limits: dict[str, float]


def _is_positive(text: str) -> bool:
    try:
        return 0 < float(text) < float("inf")
    except ValueError:
        return False
