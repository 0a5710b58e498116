"""Whether the labels of a table are class names. Imports nothing heavy."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

EXPECTED = "expected one class name an example; if this is one, set data.literal_labels to true"


def unfit(texts: Sequence[str]) -> str | None:
    """Why labels are not class names; None if they are.

    Several labels an example, and regression, look like classification until it fails.

    Args:
      texts: a label an example.
    """
    names = Counter(texts)
    if example := _several(names, len(texts)):
        return f"{example!r} looks like several labels; {EXPECTED}"
    numbers = [name for name in names if _is_number(name)]
    fractions = [name for name in numbers if not float(name).is_integer()]
    many = len(names) > max(20, len(texts) / 2)
    if len(numbers) == len(names) and (fractions or many):
        return f"label {(fractions or numbers)[0]!r} is a number to predict; {EXPECTED}"
    return None


def _several(names: Counter[str], count: int) -> str | None:
    """A label that looks like several, such as `cat|dog`."""
    if lists := [name for name in names if re.fullmatch(r"\[.*\]|\(.*,.*\)|\{.*\}", name)]:
        return lists[0]
    for mark in "+/&":
        joint = [name for name in names if mark in name]
        alone = [name for name in joint if all(p.strip() in names for p in name.split(mark))]
        if alone and 2 * len(alone) >= len(joint):
            return alone[0]
    for mark in "|;,":
        joint = [name for name in names if mark in name]
        # A comma stands in many class names, so that a few rows with one prove nothing.
        enough = sum(names[name] for name in joint) > (count / 2 if mark == "," else 0)
        if enough and _share_parts(names, mark):
            return joint[0]
    return None


def _share_parts(names: Iterable[str], mark: str) -> bool:
    """Whether most names that contain the mark share a part with another: `cat|dog` and `cat`.

    The comma of "tench, Tinca tinca" joins no labels.
    """
    parts = {name: {part.strip() for part in name.split(mark)} for name in names}
    counts = Counter(part for own in parts.values() for part in own)
    joint = [own for own in parts.values() if len(own) > 1]
    return 2 * sum(any(counts[part] > 1 for part in own) for own in joint) > len(joint)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
