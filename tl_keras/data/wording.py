"""Shortens lists of files and names to what fits into a message."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from tl_keras.data.examples import Quarantined

CELL = re.compile(r"(?:.*[/\\])?(row|line) \d+", re.DOTALL)  # The name of a cell of a table.


def shortened(names: Sequence[str]) -> str:
    """Returns the first three names in quotes, and how many more there are."""
    shown = ", ".join(map(repr, names[:3]))
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown


def count_of(items: Sequence[object], noun: str) -> str:
    """Returns the number of items with its noun, such as "1 image" or "3 images"."""
    return number_of(len(items), noun)


def number_of(count: int, noun: str, nouns: str = "") -> str:
    """Returns a number with a noun in singular or plural, such as "1 class" or "3 classes".

    Args:
      nouns: the plural; "" if it is `noun` with an s.
    """
    return f"{count} {noun if count == 1 else nouns or f'{noun}s'}"


def count_of_examples(names: Sequence[str]) -> str:
    """Returns the number of examples with a noun: "1 file", or "3 rows" for cells of a table."""
    return number_of(len(names), place_of(names))


def place_of(names: Iterable[str]) -> str:
    """Returns the noun for where examples are: `file`, or `row` or `line` for cells of a table.

    Returns `example` if there are no names, or of several kinds.
    """
    kinds = {match[1] if (match := CELL.fullmatch(name)) else "file" for name in names}
    return kinds.pop() if len(kinds) == 1 else "example"


def left_out(entries: Sequence[Quarantined], how: str = "left out") -> list[str]:
    """Returns one line for each reason why files are left out, with their number and some names.

    Reasons that differ only in numbers, such as file sizes, share a line.

    Args:
      how: the words for what happened to the files, such as "skipped".
    """
    groups = defaultdict(list)
    for entry in entries:
        groups[re.sub(r"\d+", "#", entry.reason)].append(entry)
    lines = []
    for group in groups.values():
        files, reason = [entry.file for entry in group], group[0].reason
        if len(files) == 1:
            lines.append(f"{files[0]!r} is {how}: {reason}")
            continue
        if len({entry.reason for entry in group}) > 1:
            reason = f"{reason}, or similar"
        lines.append(f"{count_of_examples(files)} are {how} ({shortened(files)}): {reason}")
    return lines
