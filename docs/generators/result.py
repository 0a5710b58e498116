"""The reference of `result.json`, from the models in `tl_keras/run/result/`."""

import inspect
from collections.abc import Iterator

from generators import config, schema
from tl_keras import tasks
from tl_keras.run.result import whole
from tl_keras.run.result.part import LISTS, SINGLE

PAGE = "reference/result.md"
INTRO = """
# result.json

Each finished run writes `result.json` to its folder. Its presence means that the run is finished.
In Python, `run.result` has the same fields: `run.result.test.accuracy` or
`run.result["test"]["accuracy"]`.

`tl-keras schema --of=result` prints the JSON schema of this file. Versions add keys, so readers
should ignore keys that they do not know.

- Keys that are present *sometimes* depend on the command, the config or the data.
- An interval is two numbers, the low and the high end.
- The *main metric* is the first one of the task: accuracy for classification.
- NAME stands for a key that depends on the data or the config, such as a class or a format.
"""


def text() -> str:
    """Returns the page."""
    root = whole.of(tasks.DEFAULT).model_json_schema(by_alias=True)
    paths: dict[str, list[str]] = {}
    _find(root, "", root, paths)
    links = _links(root, paths)
    lines = [INTRO.strip(), "", "## Top level", "", *_table(root, root, paths, links), ""]
    for definition, (first, *others) in paths.items():
        node = root["$defs"][definition]
        lines += [f"## `{first}`", "", inspect.cleandoc(node["description"]), ""]
        if others:
            same = ", ".join(f"`{name}`" for name in others)
            lines += [f"The same fields: {same}.", ""]
        lines += [*_table(node, root, paths, links), ""]
    return "\n".join([*lines, *_measures()]) + "\n"


def _find(node: schema.Node, above: str, root: schema.Node, paths: dict[str, list[str]]) -> None:
    """Adds the paths of each model below a node, by the model's name."""
    for name, own in node["properties"].items():
        for definition, step in _models(own):
            path = f"{above}.{name}{step}".removeprefix(".")
            paths.setdefault(definition, []).append(path)
            if len(paths[definition]) == 1:
                _find(root["$defs"][definition], path, root, paths)


def _links(root: schema.Node, paths: dict[str, list[str]]) -> dict[str, str]:
    """Returns the address of each key and of each field of the config, by name."""
    keys = {
        f"{first}.{key}": f"#{schema.anchor(first)}"
        for definition, (first, *_) in paths.items()
        for key in root["$defs"][definition]["properties"]
    }
    return {**keys, **config.addresses("config.md")}  # A name that both have means the config.


def _models(node: schema.Node, step: str = "") -> Iterator[tuple[str, str]]:
    """The models in a field, and what stands between the field's name and their own fields."""
    if "$ref" in node:
        yield node["$ref"].split("/")[-1], step
    for option in node.get("anyOf", ()):
        yield from _models(option, step)
    if isinstance(node.get("items"), dict):
        yield from _models(node["items"], f"{step}[]")
    if isinstance(node.get("additionalProperties"), dict):
        yield from _models(node["additionalProperties"], f"{step}.NAME")


def _table(
    model: schema.Node, root: schema.Node, paths: dict[str, list[str]], links: dict[str, str]
) -> list[str]:
    rows = ["| key | type | present | meaning |", "| --- | --- | --- | --- |"]
    required = model.get("required", ())
    for name, node in model["properties"].items():
        present = "always" if name in required else "sometimes"
        kind = _type(node, root, paths, name in required)
        about = schema.marked(_description(node, root), links)
        rows.append(f"| `{name}` | {kind} | {present} | {about} |")
    return rows


def _description(node: schema.Node, root: schema.Node) -> str:
    return node.get("description") or schema.resolved(node, root)["description"]


def _type(
    node: schema.Node, root: schema.Node, paths: dict[str, list[str]], is_required: bool
) -> str:
    models = list(_models(node))
    if models:
        definition, step = models[0]
        link = f"[fields](#{schema.anchor(paths[definition][0])})"
        kind = {"": link, "[]": f"list of {link}", ".NAME": f"{link} by name"}[step]
    else:
        kind = schema.type_of(node, root, null=is_required)
    facts = [schema.range_of(node, root), schema.unit_of(node, root)]
    return ", ".join(filter(None, [kind, *facts]))


def _measures() -> Iterator[str]:
    """The measures that parts have beside their own fields."""
    yield "## Measures of a task"
    yield ""
    yield "Parts that are said to have measures have some of these keys."
    for task in tasks.TASKS:
        names, fields = tasks.of(task, "names"), tasks.of(task, "record").Scores.model_fields
        known = [name for table in (*SINGLE, *LISTS) for name in getattr(names, table)]
        yield from ["", f"For the task `{task}`:", "", "| key | meaning |", "| --- | --- |"]
        for name in dict.fromkeys(known):
            about = names.MEANINGS.get(name) or fields[name].description
            yield f"| `{name}` | {about} |"
