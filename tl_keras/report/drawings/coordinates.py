"""Lays out the searched fields of trials as the axes of a chart of parallel coordinates."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tl_keras.report.drawings.search_charts import SPAN
from tl_keras.report.drawings.words import counted, is_number, listed
from tl_keras.report.facts.trials import Search, Trial, fields

MOST = 8  # axes; a chart with more would be unreadable
LONG = 60  # characters of a value; a longer value is shortened


@dataclass(frozen=True)
class Axis:
    """An axis for a config field whose values differ between trials.

    Attributes:
      name: the name of the field, text from a user.
      places: position of each trial on the axis, 0..1; NaN if the trial has no value of the field.
      ends: labels of the lower and the upper end of the axis; "" if the values are not numbers.
      key: the legend, which says what values the axis shows; text from a user.
    """

    name: str
    places: list[float]
    ends: tuple[str, str]
    key: str


def axes(search: Search, shown: Sequence[Trial]) -> list[Axis]:
    """Returns an axis for each field that varies between the shown trials, at most `MOST` axes.

    The axes are in the order of `search.space`.
    """
    candidates = [_axis(name, shown) for name in fields(search)]
    return [axis for axis in candidates if axis][:MOST]


def _axis(name: str, shown: Sequence[Trial]) -> Axis | None:
    values = [t.record.values[name] for t in shown if name in t.record.values]
    if len(set(map(_whole, values))) < 2:
        return None
    if all(map(is_number, values)):
        return _of_numbers(name, shown, min(values), max(values))
    words = sorted(set(map(_whole, values)))
    place = {word: i / (len(words) - 1) for i, word in enumerate(words)}
    places = [
        place[_whole(t.record.values[name])] if name in t.record.values else math.nan for t in shown
    ]
    upwards = listed(list(map(_shortened, words)))
    return Axis(name, places, ("", ""), f"from bottom to top {upwards}")


def _of_numbers(name: str, shown: Sequence[Trial], low: float, high: float) -> Axis:
    by_ratio = low > 0 and high > SPAN * low
    scale = math.log if by_ratio else float
    start, span = scale(low), scale(high) - scale(low)
    values = [trial.record.values.get(name) for trial in shown]
    places = [(scale(v) - start) / span if is_number(v) else math.nan for v in values]
    ends = f"{low:.3g}", f"{high:.3g}"
    key = f"{ends[0]} to {ends[1]}{', logarithmic scale' if by_ratio else ''}"
    return Axis(name, places, ends, key)


def scaled(values: Sequence[float | None]) -> list[float]:
    """Returns the values scaled so that the lowest is 0 and the highest is 1.

    Args:
      values: at least one number; None stands for a missing value, which becomes NaN. Equal
        numbers become 0.5.
    """
    known = [value for value in values if value is not None]
    low, span = min(known), max(known) - min(known)
    return [math.nan if v is None else (v - low) / span if span else 0.5 for v in values]


def written(value: Any) -> str:
    """Returns the value of a config field as text of at most `LONG` characters."""
    return _shortened(_whole(value))


def _whole(value: Any) -> str:
    if isinstance(value, float) and is_number(value):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _shortened(text: str) -> str:
    """Returns long text without its middle: paths and lists often differ at their start or end."""
    half = LONG // 2
    return text if len(text) <= LONG else f"{text[:half]}…{text[1 - half :]}"


def left_out(search: Search, shown: Sequence[Trial]) -> str:
    """Returns a sentence that counts the fields that vary but get no axis; "" if all have one."""
    varied = [name for name in fields(search) if _axis(name, shown)]
    more = len(varied) - MOST
    if more <= 0:
        return ""
    verb = "varies but has" if more == 1 else "vary but have"
    return f"{counted(more, 'more field')} {verb} no axis in this chart."
