"""Error messages about a config, for the person who wrote it."""

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
    """Returns whether the message of an error is written for the user.

    Such an error comes from a `raise` statement of this package. All other errors are faults of the
    package and keep their traceback.
    """
    last = traceback.extract_tb(error.__traceback__)[-1]
    inside = Path(__file__).parents[1] in Path(last.filename).parents
    return inside and (last.line or "").startswith("raise ")


def messages(error: ValidationError, config: type[BaseModel]) -> list[str]:
    """Returns one line for each wrong field: the values it may have, its value, the nearest choice.

    If a field may have one of several types, pydantic reports an error for each of these types.
    These errors become one line.
    """
    root = config.model_json_schema()
    lines: dict[str | tuple[str, str], str] = {}  # A field may fail several checks.
    not_unicode = {
        _node(detail["loc"], root)[0]
        for detail in error.errors()
        if detail["type"] == "string_unicode"
    }
    for detail in error.errors():
        field, node = _node(detail["loc"], root)
        if detail["type"] == "value_error":  # Raised by a validator of the config.
            text = str(detail["ctx"]["error"])
            named = any(text.startswith(f"{section}.") for section in config.model_fields)
            lines[field, text] = text if named else f"{field}: {text}"
        elif detail["type"] in ("extra_forbidden", "invalid_key"):
            field = ".".join(map(str, detail["loc"]))
            lines[field] = f"{field}: no such field; {_hint(str(detail['loc'][-1]), node, config)}"
        else:
            rule, received = _rule(node), detail["input"]
            if isinstance(received, float) and not math.isfinite(received):
                rule = f"{rule}, and finite"
            if field in not_unicode:
                rule = (
                    f"{rule}, in valid UTF-8 (if this is a path: rename the file or folder, or "
                    "enter the path of a link to it)"
                )
            near = nearest(received, rule.split("'")[1::2])
            lines[field] = f"{field}: expected {rule}; received {shown(received)}{near}"
    return list(lines.values())


def _node(location: tuple[str | int, ...], root: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Returns the name and the JSON schema of the field in which pydantic found an error.

    Args:
      location: pydantic's `loc`: the field's name in parts. It may end in parts that are not in the
        config, such as the type that pydantic tried. They are ignored.
      root: the JSON schema of the config.
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
    """Returns which values a JSON schema allows, in words.

    If the schema has an entry `expected`, its text is returned.
    """
    if "expected" in node:
        return str(node["expected"])
    if "anyOf" in node:
        return ", or ".join(map(_rule, node["anyOf"]))
    if choices := node.get("enum") or [node[key] for key in ("const",) if key in node]:
        *first, last = map(repr, choices)
        return f"{', '.join(first)} or {last}" if first else last
    bounds = [f"{sign} {node[key]}" for key, sign in BOUNDS.items() if key in node]
    return f"{KINDS[node['type']]} {' and '.join(bounds)}".rstrip()


def shown(value: Any) -> str:
    """Returns a received value as YAML writes it, in at most 80 characters."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return f"{value!r:.80}"


def _hint(name: str, node: dict[str, Any], config: type[BaseModel]) -> str:
    """Returns the end of a message about an unknown field: what the user may have meant.

    It suggests the first of these that exists: a field of the same section with a similar name;
    another section that has a field of this name; a field of this name outside of all sections.
    Otherwise, it lists all fields of the section.

    Args:
      name: the unknown name.
      node: the JSON schema of the section.
      config: the class of the whole config.
    """
    fields = list(node["properties"])
    if near := difflib.get_close_matches(name, fields, n=1):
        return f"did you mean {near[0]!r}?"
    for section, info in config.model_fields.items():
        field = name.removeprefix(f"{section}.")
        if field in getattr(info.annotation, "model_fields", {}):
            return f"did you mean {field!r} in section {section!r}?"
    if name in config.model_fields:
        return f"did you mean {name!r} at the top of the config, outside of all sections?"
    return f"known: {', '.join(fields)}"


def nearest(received: Any, choices: Sequence[str]) -> str:
    """Returns "; did you mean ...?" with the nearest choice, or an empty text if none is near."""
    near = difflib.get_close_matches(str(received).lower(), choices, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def neighbour(path: str) -> str:
    """Returns "; did you mean ...?" with an existing path in the same folder as a missing path.

    The suggested path has the most similar name. Returns an empty text if no name is similar.

    Args:
      path: the path that does not exist.
    """
    folder, name = os.path.split(path)
    names = []
    with contextlib.suppress(OSError):
        names = os.listdir(folder or ".")
    near = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {os.path.join(folder, near[0])!r}?" if near else ""


def with_article(noun: str) -> str:
    """Returns a noun with its article, as in `an image` or `a row`."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def how_to_install(extra: str) -> str:
    """Returns the command that adds the packages of an extra to the installed tl_keras.

    The command works in every folder, because pip reads the extra from the installed tl_keras.
    """
    return f"pip install 'tl-keras[{extra}]'"
