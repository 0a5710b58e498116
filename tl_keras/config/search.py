"""`search`: which trials, how many, and what the best of them is."""

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from tl_keras import tasks
from tl_keras.config.messages import messages, nearest, shown
from tl_keras.config.section import Section, Text

MOST_DECADES = 100  # between the ends of a range


class Range(Section):
    """Values between two ends, both among them."""

    min: float | int
    max: float | int
    scale: Literal["linear", "log"] = "linear"

    @model_validator(mode="after")
    def rises(self) -> "Range":
        if self.min >= self.max:
            raise ValueError(f"expected min below max; received {self.min} and {self.max}")
        if self.scale == "log" and self.min <= 0:
            raise ValueError(f"expected min above 0 where scale is log; received {self.min}")
        span = math.log(self.max) - math.log(self.min) if self.scale == "log" else 0.0
        if span > MOST_DECADES * math.log(10) or not math.isfinite(self.max - self.min):
            raise ValueError(
                f"expected ends that are at most {MOST_DECADES} powers of ten apart; received "
                f"{self.min} and {self.max}"
            )
        return self


BLOCKS = "blocks"  # Of fit.freeze: every block boundary.
Values = tuple[Any, ...] | Range | Literal["blocks"]
DEFAULT_SPACE: dict[str, Any] = {
    "fit.freeze": [0.0, 0.25, 0.5, 0.75, 1.0],
    "fit.learning_rate": {"min": 3e-5, "max": 3e-3, "scale": "log"},
}
TRIALS = 12  # Of the command `search` where the config has no budget.
LIMITS = ("bytes", "latency_ms")


class SearchConfig(Section):
    """Which trials stand on validation, how many, and what the best of them is."""

    trials: Annotated[int, Field(ge=0, le=10_000)] = 0  # 0 without minutes: no search
    minutes: Annotated[float, Field(gt=0)] | None = None  # of all sessions; null: no such limit
    tuner: Literal["bayesian", "random", "hyperband"] = "bayesian"
    objective: Text = Field(
        "log_loss",
        description="a metric of validation, as in 'accuracy' or 'log_loss', and maybe limits of "
        "the exported file, as in 'accuracy subject to bytes <= 3e6 and latency_ms <= 5'",
    )
    format: Literal["float32", "float16", "dynamic", "int8"] = "int8"  # the file of those limits
    keep: Annotated[int, Field(ge=1)] = 1  # best trials whose model.keras stays
    space: dict[str, Values] = Field(
        default_factory=lambda: dict(DEFAULT_SPACE),
        validate_default=True,
        description="fields, as in fit.freeze, and for each a list of values, {min, max, scale}, "
        "or for fit.freeze 'blocks'",
    )

    @field_validator("space", mode="before")
    @classmethod
    def accepts_lists(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: _values(name, entry) for name, entry in _flat(value).items()}

    @field_validator("tuner", mode="before")
    @classmethod
    def can_be_resumed(cls, value: Any) -> Any:
        if value == "grid":
            raise ValueError(
                "search.tuner: a grid could not be resumed "
                "(https://github.com/keras-team/keras-tuner/issues/1055); expected 'bayesian', "
                "'random' or 'hyperband'"
            )
        return value

    @model_validator(mode="after")
    def names_an_objective(self) -> "SearchConfig":
        self.goal  # noqa: B018
        return self

    @property
    def wanted(self) -> bool:
        """Whether there is to be a search."""
        return self.trials > 0 or self.minutes is not None

    @property
    def goal(self) -> "Goal":
        """What `objective` says."""
        metric, subject, limits = self.objective.partition(" subject to ")
        found = {}
        for part in limits.split(" and ") if subject else ():
            name, less, number = part.partition("<=")
            if not less or name.strip() not in LIMITS or not _is_positive(number):
                raise ValueError(
                    "search.objective: expected limits as in 'accuracy subject to bytes <= 3e6 and "
                    f"latency_ms <= 5'; received {part.strip()!r}"
                )
            found[name.strip()] = float(number)
        known = tasks.every("METRICS")
        if metric.strip() not in known:
            near = nearest(metric.strip(), known)
            raise ValueError(
                f"search.objective: expected one of {', '.join(known)}; received "
                f"{metric.strip()!r}{near}"
            )
        return Goal(metric.strip(), found)


def _flat(space: dict[str, Any]) -> dict[str, Any]:
    """`{fit: {keep: [best]}}`, which `--set search.space.fit.keep=[best]` makes, as
    `{fit.keep: [best]}`; it wins over what is written so."""
    nested = {
        name: entry
        for name, entry in space.items()
        if isinstance(entry, dict) and entry and not entry.keys() & Range.model_fields.keys()
    }
    found = {name: entry for name, entry in space.items() if name not in nested}
    for name, entry in nested.items():
        found |= _flat({f"{name}.{field}": value for field, value in entry.items()})
    return found


def _values(name: str, value: Any) -> Any:
    """An entry of `search.space`."""
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
    """What a search is after: the best of a metric of the task, among files within limits."""

    metric: str
    limits: dict[str, float]  # of `bytes` and `latency_ms`


def _is_positive(text: str) -> bool:
    try:
        return 0 < float(text) < float("inf")
    except ValueError:
        return False
