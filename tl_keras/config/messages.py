"""What is wrong with a config, in words for the person who wrote it."""

import contextlib
import difflib
import math
import os
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError


def is_for_user(error: Exception) -> bool:
    """Errors that we raise name a field or file; all others are faults and keep their traceback."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    inside = Path(__file__).parents[1] in Path(last.filename).parents
    return inside and (last.line or "").startswith("raise ")


def messages(error: ValidationError, config: type[BaseModel]) -> list[str]:
    """One line a field: the rule, what was received, the nearest valid choice.

    A field that takes one thing or another fails with a detail for each; one line says it all.
    """
    root = config.model_json_schema()
    lines: dict[str | tuple[str, str], str] = {}  # A field may fail several checks of ours.
    not_unicode = {
        _node(detail["loc"], root)[0]
        for detail in error.errors()
        if detail["type"] == "string_unicode"
    }
    for detail in error.errors():
        field, node = _node(detail["loc"], root)
        if detail["type"] == "value_error":  # Raised by a check of ours.
            text = str(detail["ctx"]["error"])
            named = any(text.startswith(f"{section}.") for section in config.model_fields)
            lines[field, text] = text if named else f"{field}: {text}"
        elif detail["type"] in ("extra_forbidden", "invalid_key"):
            field = ".".join(map(str, detail["loc"]))
            lines[field] = f"{field}: no such field; {_known(str(detail['loc'][-1]), node, config)}"
        else:
            rule, received = _rule(node), detail["input"]
            if isinstance(received, float) and not math.isfinite(received):
                rule = f"{rule}, and finite"
            if field in not_unicode:
                rule = f"{rule}, whose name is valid UTF-8: rename it, or link to it"
            near = nearest(received, rule.split("'")[1::2])
            lines[field] = f"{field}: expected {rule}; received {shown(received)}{near}"
    return list(lines.values())


def _node(location: tuple[str | int, ...], root: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Field and JSON schema at a location, or above it where the schema does not reach.

    A location may end in what no user wrote: which of several types was tried.
    """
    node, field = root, []
    for part in location:
        inner = node.get("properties", {}).get(part) or node.get("additionalProperties")
        inner = node.get("items") if isinstance(part, int) else inner
        if not inner:
            break
        field.append(str(part))
        references = [option for option in inner.get("anyOf", [inner]) if "$ref" in option]
        node = root["$defs"][references[0]["$ref"].split("/")[-1]] if references else inner
    return ".".join(field), node


KINDS = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "string": "text that is not empty",
    "null": "null",
    "array": "a list, as in [a, b]",
    "object": "fields, as in {name: value}",
}
BOUNDS = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}


def _rule(node: dict[str, Any]) -> str:
    """What a JSON schema allows, in words; its own where it has some."""
    if "anyOf" in node:
        return str(node.get("description") or ", or ".join(map(_rule, node["anyOf"])))
    if choices := node.get("enum") or [node[key] for key in ("const",) if key in node]:
        *first, last = map(repr, choices)
        return f"{', '.join(first)} or {last}" if first else last
    if node["type"] == "object":  # Its description is that of the section.
        return KINDS["object"]
    bounds = [f"{sign} {node[key]}" for key, sign in BOUNDS.items() if key in node]
    kind = f"{KINDS[node['type']]} {' and '.join(bounds)}".rstrip()
    return str(node.get("description", kind))


def shown(value: Any) -> str:
    """A received value as the user may have written it, at most 80 characters."""
    # As YAML has it, not as Python has it.
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return f"{value!r:.80}"


def _known(name: str, node: dict[str, Any], config: type[BaseModel]) -> str:
    """The nearest of the fields where `name` was written, else its section, else all fields."""
    fields = list(node["properties"])
    if near := difflib.get_close_matches(name, fields, n=1):
        return f"did you mean {near[0]!r}?"
    for section, info in config.model_fields.items():
        field = name.removeprefix(f"{section}.")
        if field in getattr(info.annotation, "model_fields", {}):
            return f"did you mean {field!r} in section {section!r}?"
    if name in config.model_fields:
        return f"did you mean {name!r} outside of the sections?"
    return f"known: {', '.join(fields)}"


def nearest(received: Any, choices: Sequence[str]) -> str:
    """A hint at the choice that is nearest; empty where none is near."""
    near = difflib.get_close_matches(str(received).lower(), choices, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def neighbour(path: str) -> str:
    """A hint at the path in the same folder whose name is nearest."""
    folder, name = os.path.split(path)
    names = []
    with contextlib.suppress(OSError):
        names = os.listdir(folder or ".")
    near = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {os.path.join(folder, near[0])!r}?" if near else ""


def with_article(noun: str) -> str:
    """`an image`, `a row`."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
