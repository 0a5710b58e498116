"""Formats numbers and names as plain text, not yet HTML. A missing number becomes a dash."""

import math
import unicodedata
from collections.abc import Sequence
from typing import Any, TypeGuard

NOTHING = "–"


def is_number(value: Any) -> TypeGuard[float]:
    """Returns True if the value is an int or a finite float."""
    return type(value) in (int, float) and math.isfinite(value)


def percent(share: Any) -> str:
    """Returns a share in percent: 0.934 as "93.4%"."""
    return f"{100 * share:.1f}%" if is_number(share) else NOTHING


def interval(pair: Any) -> str:
    """Returns two shares in percent, without percent signs: (0.915, 0.953) as "91.5 to 95.3"."""
    if not pair or not all(map(is_number, pair)):
        return NOTHING
    return f"{100 * pair[0]:.1f} to {100 * pair[1]:.1f}".replace("-", "−")


def number(value: Any) -> str:
    """Returns a number as text: 0.5 as "0.500", 3 as "3", 12345.6 as "12,346".

    Numbers with a fraction have three significant digits; numbers of 999.5 or more are rounded to
    whole numbers.
    """
    if not is_number(value):
        return NOTHING
    if abs(value) >= 999.5 or value == round(value):
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".")


def count(value: Any) -> str:
    """Returns a whole number as text with commas: 1234 as "1,234"."""
    return f"{value:,}" if is_number(value) else NOTHING


def counted(n: Any, one: str, many: str = "") -> str:
    """Returns a number with its noun: "1 file", "1,234 files". `many` is an irregular plural."""
    return f"{count(n)} {one if n == 1 else many or one + 's'}"


def megabytes(value: Any) -> str:
    """Returns a size in MB, or in kB if it is below 0.1 MB.

    Args:
      value: bytes.
    """
    if not is_number(value):
        return NOTHING
    return f"{value / 1e6:.1f} MB" if value >= 1e5 else f"{value / 1e3:.1f} kB"


def milliseconds(value: Any) -> str:
    """Returns a latency: "214 ms", "3.1 ms" or, with two significant digits below 1 ms, "0.021 ms".

    Args:
      value: milliseconds.
    """
    if not is_number(value):
        return NOTHING
    if 0 < abs(value) < 0.95:
        decimals = 1 - math.floor(math.log10(abs(value)))
        return f"{value:.{decimals}f} ms"
    return f"{value:,.0f} ms" if value >= 99.5 else f"{value:.1f} ms"


def duration(seconds: Any) -> str:
    """Returns a time as text: "7.5 s", "1 min 3 s" or "2 h 5 min"."""
    if not is_number(seconds):
        return NOTHING
    if 0 < seconds < 0.05:
        return "< 0.1 s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s"


def listed(names: Sequence[str]) -> str:
    """Returns names as "a, b and c"; of more than five, the first five and how many more."""
    shown = list(names[:5]) + ([f"{len(names) - 5} more"] if len(names) > 5 else [])
    return " and ".join(filter(None, [", ".join(shown[:-1]), *shown[-1:]]))


def split_name(split: str) -> str:
    """Returns the name of a split for a sentence: "validation" for "val"."""
    return {"val": "validation"}.get(split, split)


def points(difference: Any) -> str:
    """Returns a difference of two shares in percentage points: 0.0431 as "4.3 points"."""
    return f"{100 * difference:.1f} points".replace("-", "−") if is_number(difference) else NOTHING


def quoted(name: Any) -> str:
    """Returns a class name in quotes, because it may be a digit or several words."""
    return f"“{isolated(name)}”"


def isolated(name: Any) -> str:
    """Returns a name in Unicode marks that keep it from reordering the text around it.

    Hebrew and Arabic names would reorder numbers beside them. Names without right-to-left
    characters are returned unchanged.
    """
    text = str(name)
    if not any(unicodedata.bidirectional(c) in TURNING for c in text):
        return text
    return f"\u2068{text.replace(POP, '')}\u2069"


POP = "\u2069"  # ends an isolate
TURNING = {"R", "AL", "AN", "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def one_in(share: float) -> str:
    """Returns a share of wrong answers in everyday words: 0.031 as "one wrong answer in 32"."""
    if share > 0.4:
        return f"being wrong {100 * share:.0f} times in 100"
    return f"one wrong answer in {1 / share:.0f}"
