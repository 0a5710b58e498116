"""Lists of files and names in the few words that a message has room for."""

import re
from collections import defaultdict
from collections.abc import Sequence

from tl_keras.data.examples import Quarantined


def shortened(names: Sequence[str]) -> str:
    """Up to three names, and how many more there are."""
    shown = ", ".join(map(repr, names[:3]))
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown


def count_of(items: Sequence[object], noun: str) -> str:
    """How many there are, as in "1 image" or "3 images"."""
    return f"{len(items)} {noun}" + ("s" if len(items) != 1 else "")


def left_out(entries: Sequence[Quarantined], how: str = "left out") -> list[str]:
    """A line for each reason why files are left out, with their number and examples.

    Reasons that differ in numbers alone, such as sizes, share a line.
    """
    groups = defaultdict(list)
    for entry in entries:
        groups[re.sub(r"\d+", "#", entry.reason)].append(entry)
    lines = []
    for same in groups.values():
        files, reasons = [entry.file for entry in same], {entry.reason for entry in same}
        if len(files) == 1:
            lines.append(f"{files[0]!r} is {how}: {same[0].reason}")
            continue
        like = ", or the like" if len(reasons) > 1 else ""
        lines.append(f"{len(files)} files are {how}: {same[0].reason}{like}: {shortened(files)}")
    return lines
