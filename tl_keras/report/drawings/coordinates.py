"""Searched fields as axes of parallel coordinates: places for the chart, a key for the page."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tl_keras.report.drawings.search_charts import SPAN
from tl_keras.report.drawings.words import counted, is_number, listed
from tl_keras.report.facts.trials import Search, Trial, fields

MOST = 8  # Axes; more would not be told apart.
LONG = 60  # Characters of a value.


@dataclass(frozen=True)
class Axis:
    """A field whose values differ.

    Attributes:
      name: of the field, a user's text.
      places: of each trial 0..1, NaN where it has no value of the field.
      ends: numbers at the lower and the upper end; "" where the values are no numbers.
      key: what stands on the axis, in words, a user's text.
    """

    name: str
    places: list[float]
    ends: tuple[str, str]
    key: str


def axes(search: Search, shown: Sequence[Trial]) -> list[Axis]:
    """The axes of the trials that are shown, in the order of the space; at most `MOST`."""
    found = [_axis(name, shown) for name in fields(search)]
    return [axis for axis in found if axis][:MOST]


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
    return Axis(name, places, ("", ""), f"from below {listed(list(map(_shortened, words)))}")


def _of_numbers(name: str, shown: Sequence[Trial], low: float, high: float) -> Axis:
    by_ratio = low > 0 and high > SPAN * low
    scale = math.log if by_ratio else float
    start, span = scale(low), scale(high) - scale(low)
    values = [trial.record.values.get(name) for trial in shown]
    places = [(scale(v) - start) / span if is_number(v) else math.nan for v in values]
    ends = f"{low:.3g}", f"{high:.3g}"
    key = f"{ends[0]} to {ends[1]}{', logarithmic' if by_ratio else ''}"
    return Axis(name, places, ends, key)


def scaled(values: Sequence[float | None]) -> list[float]:
    """Values between the lowest, 0, and the highest, 1; NaN where there is none."""
    known = [value for value in values if value is not None]
    low, span = min(known), max(known) - min(known)
    return [math.nan if v is None else (v - low) / span if span else 0.5 for v in values]


def written(value: Any) -> str:
    """A value of a field as text that is not too long."""
    return _shortened(_whole(value))


def _whole(value: Any) -> str:
    if isinstance(value, float) and is_number(value):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _shortened(text: str) -> str:
    """Without its middle: paths and lists of fields often differ at their ends."""
    half = LONG // 2
    return text if len(text) <= LONG else f"{text[:half]}…{text[1 - half :]}"


def left_out(search: Search, shown: Sequence[Trial]) -> str:
    """A sentence on fields that have no axis for want of room; empty if there are none."""
    varied = [name for name in fields(search) if _axis(name, shown)]
    more = len(varied) - MOST
    return f"{counted(more, 'more field')} {'varies' if more == 1 else 'vary'}." if more > 0 else ""
