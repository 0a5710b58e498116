"""JSON schemas as words: types, ranges, units and descriptions of fields."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

Node = Mapping[str, Any]

NULL = "`null`"
SINGULAR = {
    "integer": "whole number",
    "number": "number",
    "boolean": "`true` or `false`",
    "string": "text",
    "null": NULL,
}
PLURAL = {
    "integer": "whole numbers",
    "number": "numbers",
    "boolean": "booleans",
    "string": "texts",
    "array": "lists",
    "object": "entries",
}
VALUE = re.compile(
    r"(?:^|(?<=[.)]) )([a-z\d][\w.]*|\[\]): "
)  # A value and the colon before its meaning.
FRAGMENT = re.compile(r"\[\{.*?\}\]|\{[^}]*\}")  # YAML inside a description.


def resolved(node: Node, root: Node) -> Node:
    """Returns the definition that a node refers to, or the node itself."""
    return root["$defs"][node["$ref"].split("/")[-1]] if "$ref" in node else node


def options(node: Node, root: Node) -> list[Node]:
    """Returns the types that a field accepts, one schema for each."""
    return [resolved(option, root) for option in node.get("anyOf", [node])]


def type_of(node: Node, root: Node, null: bool = True) -> str:
    """Returns the type of a field in words, as in "number or `auto`".

    Args:
      null: whether to mention that the field may be null.
    """
    words = [word for option in options(node, root) for word in _types(option, root)]
    words = _without(words, "whole number", "number")
    return listed(word for word in words if null or word != NULL)


def _without(words: Iterable[str], narrow: str, wide: str) -> list[str]:
    """Returns each word once, without a narrow type whose wide type is there too."""
    found = list(dict.fromkeys(words))
    return [word for word in found if word != narrow or wide not in found]


def _types(node: Node, root: Node) -> list[str]:
    return [f"`{choice}`" for choice in choices_of(node)] or [_type(node, root)]


def _type(node: Node, root: Node) -> str:
    if node["type"] == "array":
        items = node.get("items", {})
        if "minItems" in node and node["minItems"] == node.get("maxItems"):
            return f"{node['minItems']} {_plural(items, root)}"
        return f"list of {_plural(items, root)}" if items else "list"
    if node["type"] == "object":
        values = node.get("additionalProperties")
        if isinstance(values, Mapping) and values:
            return f"{_plural(values, root)} by name"
        return "fields"
    return SINGULAR[node["type"]]


def _plural(node: Node, root: Node) -> str:
    words = []
    for option in options(node, root):
        if choices := choices_of(option):
            words += [f"`{choice}`" for choice in choices]
        elif option.get("minItems") == 2 == option.get("maxItems"):
            words.append(f"pairs of {_plural(option['items'], root)}")
        elif option.get("type") == "array" and option.get("items"):
            words.append(f"lists of {_plural(option['items'], root)}")
        else:
            words.append(PLURAL.get(option.get("type", ""), "entries"))
    return listed(_without(words, PLURAL["integer"], PLURAL["number"]))


def choices_of(node: Node) -> list[Any]:
    """Returns the only values that a schema allows, or nothing if it allows others."""
    return list(node.get("enum") or [node[key] for key in ("const",) if key in node])


def range_of(node: Node, root: Node) -> str:
    """Returns the range of a number in words, as in "0 to 1", or an empty text."""
    for option in [node, *options(node, root)]:
        if words := option.get("range") or _range(option):
            return str(words)
    return ""


def _range(node: Node) -> str:
    low, high = node.get("minimum"), node.get("maximum")
    above, below = node.get("exclusiveMinimum"), node.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f"{number(low)} to {number(high)}"
    words = []
    if low is not None:
        words.append(f"at least {number(low)}")
    if above is not None:
        words.append(f"above {number(above)}")
    if high is not None:
        words.append(f"at most {number(high)}")
    if below is not None:
        words.append(f"below {number(below)}")
    return ", ".join(words)


def unit_of(node: Node, root: Node) -> str:
    """Returns the unit of a number, or an empty text."""
    found = [node, *options(node, root)]
    return next((str(option["unit"]) for option in found if "unit" in option), "")


def number(value: float) -> str:
    """Returns a number in its shortest form that YAML reads back, as in 2e10."""
    text = f"{value:g}".replace("e+0", "e").replace("e+", "e").replace("e-0", "e-")
    return text if float(text) == value else str(value)


def as_yaml(value: Any) -> str:
    """Returns a plain value on one line of YAML."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {as_yaml(own)}' for key, own in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(as_yaml, value))}]"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return number(value)
    return f'"{value}"' if re.fullmatch(r"[\d.e+-]*", value) else value


def listed(words: Iterable[str], last_joint: str = "or") -> str:
    """Returns words as an English list, as in "a, b or c"."""
    *first, last = words
    return f"{', '.join(first)} {last_joint} {last}" if first else last


def anchor(heading: str) -> str:
    """Returns the anchor that Markdown renderers give a heading: `fit.freeze` has `#fitfreeze`."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def described(text: str, links: Mapping[str, str]) -> str:
    """Returns a description as Markdown.

    A description ends with its special values, as in "null: no limit.", which become a list. YAML
    is set as code, and names of fields become links.

    Args:
      text: the description, plain text.
      links: address by name of a field.
    """
    parts = VALUE.split(text)
    first, *rest = [marked(part, links) if i % 2 == 0 else part for i, part in enumerate(parts)]
    items = [
        f"- `{value}`: {meaning}" for value, meaning in zip(rest[::2], rest[1::2], strict=True)
    ]
    return "\n\n".join(filter(None, [first, "\n".join(items)]))


def marked(text: str, links: Mapping[str, str]) -> str:
    """Returns a text with YAML set as code and names of fields as links."""
    names = sorted((name for name in links if "." in name), key=len, reverse=True)
    pattern = FRAGMENT.pattern
    if names:
        pattern += rf"|(?<![\w./])(?:{'|'.join(map(re.escape, names))})(?![\w/]|\.\w)"

    def mark(match: re.Match[str]) -> str:
        found = match.group()
        return f"[`{found}`]({links[found]})" if found in links else f"`{found}`"

    return re.sub(pattern, mark, text)
