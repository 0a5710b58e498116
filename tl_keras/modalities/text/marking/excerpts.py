"""Excerpts of texts, in which words are marked: what `explain` writes and the report shows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

CHARACTERS = 600  # A longer text is not shown as a whole.
AROUND = 60  # characters before and after a marked word that are shown
BEGINNING = 160  # characters at the beginning that are shown of a longer text
GAP = " … "
LARGEST = 4 * CHARACTERS  # `from_json` refuses longer texts.


@dataclass(frozen=True)
class Mark:
    """A marked word.

    Attributes:
      start, end: indices of its first character and of the character after it.
      weight: -1..1; above 0 if the word supports an answer, below 0 if it speaks against it.
    """

    start: int
    end: int
    weight: float


@dataclass(frozen=True)
class Excerpt:
    """A text, or parts of a long text, with its marked words, sorted by their place."""

    text: str
    marks: tuple[Mark, ...] = ()


def excerpt(text: str, marks: Sequence[Mark] = (), characters: int = CHARACTERS) -> Excerpt:
    """Returns a text with marks, or the beginning of a long text and the parts around its marks.

    Args:
      characters: length to which a longer text is shortened; the strongest marks are kept first.
    """
    marks = sorted(marks, key=lambda mark: mark.start)
    if len(text) <= characters:
        return Excerpt(text, tuple(marks))
    beginning = min(BEGINNING, characters) if marks else characters
    parts = [(0, _word_end(text, beginning))]
    for mark in sorted(marks, key=lambda mark: -abs(mark.weight)):
        part = _word_start(text, mark.start - AROUND), _word_end(text, mark.end + AROUND)
        joined = _joined([*parts, part])
        if sum(end - start for start, end in joined) <= characters:
            parts = joined
    return _cut(text, parts, marks)


def _word_start(text: str, place: int) -> int:
    """Returns the start of the word at a place; the place itself within a long word."""
    place = max(0, place)
    start = text.rfind(" ", max(0, place - 20), place) + 1
    return start or place


def _word_end(text: str, place: int) -> int:
    """Returns the end of the word at a place; the place itself within a long word."""
    end = text.find(" ", place, place + 20)
    return min(len(text), place if end < 0 else end)


def _joined(parts: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Returns parts of a text in their order; parts that touch become one."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(parts):
        if joined and start <= joined[-1][1] + len(GAP):
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined


def _cut(text: str, parts: Sequence[tuple[int, int]], marks: Sequence[Mark]) -> Excerpt:
    shown, moved = "", []
    for start, end in parts:
        shown += GAP if shown or start > 0 else ""
        shift = len(shown) - start
        moved += [
            Mark(mark.start + shift, mark.end + shift, mark.weight)
            for mark in marks
            if start <= mark.start and mark.end <= end
        ]
        shown += text[start:end]
    return Excerpt(shown + (GAP.rstrip() if parts[-1][1] < len(text) else ""), tuple(moved))


def to_json(excerpt: Excerpt) -> dict[str, Any]:
    """Returns an excerpt as values for JSON; `from_json` reads them."""
    marks = [[mark.start, mark.end, round(mark.weight, 3)] for mark in excerpt.marks]
    return {"text": excerpt.text, "marks": marks}


def from_json(value: object) -> Excerpt | None:
    """Returns an excerpt from values of JSON; None if they are not an excerpt."""
    if not isinstance(value, dict) or not isinstance(value.get("text"), str):
        return None
    text, marks = value["text"], value.get("marks")
    if len(text) > LARGEST or not isinstance(marks, list):
        return None
    read, past = [], 0
    for mark in marks:
        if not isinstance(mark, list) or len(mark) != 3:
            return None
        start, end, weight = mark
        if type(start) is not int or type(end) is not int or not past <= start < end <= len(text):
            return None
        # A comparison, since `math.isfinite` fails at integers that no float can hold.
        if type(weight) not in (int, float) or not -math.inf < weight < math.inf:
            return None
        read.append(Mark(start, end, max(-1.0, min(1.0, weight))))
        past = end
    return Excerpt(text, tuple(read))
