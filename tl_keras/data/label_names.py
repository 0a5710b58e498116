"""Finds class names that are nearly equal or look equal, and labels that mean a missing label."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

# Texts that pandas writes for a missing label. No answer has such a name.
MISSING = {"nan", "<na>", "nat", "#n/a"}
# Texts that other programs write, but that may also be answers, such as "none" for no defect.
MAY_BE_MISSING = {"na", "n/a", "none", "null", "nil", "-", "?"}


# Joiners, fillers and variation selectors, which do not have the Unicode category "format".
INVISIBLE = {*map(chr, (0x034F, 0x115F, 0x1160, 0x2800, 0x3164, 0xFFA0, *range(0xFE00, 0xFE10)))}


def is_missing(label: str) -> bool:
    """Returns whether the text of a cell in a table, such as "" or "nan", means a missing value."""
    return not label or label.lower() in MISSING


def nearly_equal_groups(names: Iterable[str]) -> list[tuple[list[str], str]]:
    """Returns groups of nearly equal names, each with a text that says how the names differ."""
    groups = defaultdict(list)
    for name in sorted(names):
        groups[_key(name)].append(name)
    return [(group, _difference(group)) for group in groups.values() if len(group) > 1]


def partners(names: Iterable[str]) -> dict[str, str]:
    """Returns a dict from each name that has a nearly equal one in `names` to that other name."""
    groups = [group for group, _ in nearly_equal_groups(names)]
    return {name: group[group[0] == name] for group in groups for name in group}


def nearly_equal(names: Iterable[str], others: Iterable[str]) -> dict[str, str]:
    """Returns a dict from each of `names` to a nearly equal one of `others`.

    Names without a nearly equal one are left out.
    """
    keys = {_key(other): other for other in others}
    return {name: keys[_key(name)] for name in names if _key(name) in keys}


def quoted(name: str) -> str:
    """Returns a name in quotes, with invisible characters escaped."""
    plain = name if name == _printed(name) and name.isprintable() else _escaped(name)
    return f"'{plain}'"


def as_label_lines(names: Sequence[str]) -> list[str]:
    """Returns each name as one line of a label file.

    Names that look like another name on a screen, or have no visible character, are escaped as in
    Python strings, so no two lines look the same.
    """
    lines = [" ".join(name.split()) for name in names]
    counts: defaultdict[str, int] = defaultdict(int)
    for line in lines:
        counts[_printed(line)] += 1
    return [
        line if _printed(line) and counts[_printed(line)] == 1 else _escaped(name)
        for line, name in zip(lines, names, strict=True)
    ]


def _escaped(name: str) -> str:
    text = name.encode("unicode_escape").decode("ascii")
    return text if text.strip() else text.replace(" ", r"\x20")


def _visible(name: str) -> str:
    return "".join(
        c for c in name if c not in INVISIBLE and unicodedata.category(c) not in ("Cf", "Cc")
    )


def _printed(name: str) -> str:
    """Returns how a name looks on a screen: the same text for names that look the same."""
    return " ".join(_visible(unicodedata.normalize("NFC", name)).split())


def _spaced(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip()


def _without_zeros(name: str) -> str:
    return re.sub(r"(?<![\d.])0+(?=\d)", "", re.sub(r"(?<=\d)\.0+(?![\d.])", "", name))


def _without_copy(name: str) -> str:
    """Returns a name without what file managers add to copies, such as " (1)" or "Copy of "."""
    name = re.sub(r"^copy of ", "", name, flags=re.IGNORECASE)
    return re.sub(r"[\s_-]+copy$|\s*\((\d+|copy)\)$", "", name, flags=re.IGNORECASE) or name


# Kinds of differences, each with a function that removes it.
DIFFERENCES: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("Unicode form", lambda name: unicodedata.normalize("NFKC", name)),
    ("invisible characters", _visible),
    ("white space", _spaced),
    ("case", str.casefold),
    ("zeros", _without_zeros),
    ("an addition such as '(1)' or 'copy'", _without_copy),
)


def _key(name: str) -> str:
    for _, simplify in DIFFERENCES:
        name = simplify(name)
    return name


def _difference(group: Sequence[str]) -> str:
    for what, simplify in DIFFERENCES:
        if len({simplify(name) for name in group}) == 1:
            return f"differ only in {what}"
    return "differ only in details such as case and white space"
