"""The section on the config fields and the examples that differ between several runs, as HTML."""

from collections.abc import Iterable
from typing import Any

from tl_keras.report.drawings.markup import escape, note, table
from tl_keras.report.drawings.words import NOTHING, count, counted, listed
from tl_keras.report.facts.paired import Named, headings
from tl_keras.report.read import RunFiles


def table_of(named: Named) -> str:
    """Returns a table of config fields that differ between runs, and a note if examples differ."""
    flat = [dict(_flat(run.tree)) for _, run in named]
    names = list(dict.fromkeys(name for fields in flat for name in fields))
    differing = [
        name for name in names if any(fields.get(name) != flat[0].get(name) for fields in flat)
    ]
    data = note(text) if (text := _different_examples(named)) else ""
    if not differing:
        return note("The configs are equal.") + data
    rows = [
        [escape(n), *(escape(str(fields.get(n, NOTHING))) for fields in flat)] for n in differing
    ]
    above = f"{counted(len(differing), 'config field')} with different values."
    return table(above, ["Field", *headings(named)], rows) + data


def _different_examples(named: Named) -> str:
    """Returns how many examples each run has, and how many examples all runs share, as sentences.

    Returns "" if all runs have the same examples, or if the examples of a run are unknown.
    """
    contents = {letter: _content(run) for letter, run in named}
    if not all(contents.values()) or len(set(contents.values())) == 1:
        return ""
    sizes = listed([f"{letter} has {counted(len(c), 'example')}" for letter, c in contents.items()])
    shared = count(len(frozenset.intersection(*contents.values())))
    return (
        f"The runs have different examples: {sizes}, not counting identical copies. {shared} "
        "examples are in all runs."
    )


def _content(run: RunFiles) -> frozenset[str]:
    digests = (run.data.get("digests") or {}).values()
    return frozenset(d for of_split in digests for d in of_split or () if isinstance(d, str))


def _flat(tree: dict, above: str = "") -> Iterable[tuple[str, Any]]:
    """Yields the dotted name, such as `data.val`, and the value of each field that is not null."""
    for name, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{above}{name}.")
        elif value is not None:
            yield f"{above}{name}", value
