"""The reference of the Python API, from the docstrings of the package and of `Run`."""

import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import tl_keras
from generators import schema
from tl_keras.run.run import Run

PAGE = "reference/python.md"
INTRO = """
# Python

The functions of the package do what the [commands](commands.md) of the same name do. The guide
[From Python and notebooks](../guides/python.md) shows them at work.

In the signatures, a *Config* is nested dicts with the fields that differ from their defaults, the
path of a YAML file, or a `RunConfig`. A *Picture* is the path of an image file or folder, an array
`(height, width, 3) uint8` in RGB, or a PIL image.
"""
# What users read of a run. Its other attributes are for the package itself.
OF_A_RUN = ("workdir", "config", "pipeline", "result", "findings", "report")
HEADINGS = ("Args", "Attributes", "Raises", "Returns")


def text() -> str:
    """Returns the page."""
    functions = [name for name in tl_keras.__all__ if inspect.isfunction(getattr(tl_keras, name))]
    rows = [
        f"| [`{name}`](#{schema.anchor(f'tl_keras.{name}')}) | {_first(getattr(tl_keras, name))} |"
        for name in functions
    ]
    lines = [INTRO.strip(), "", "| function | what it does |", "| --- | --- |", *rows, ""]
    for name in functions:
        lines += [*_function(name, getattr(tl_keras, name)), ""]
    lines += [
        "## `tl_keras.__version__`",
        "",
        "The version of the package, such as `0.1.0`.",
        "",
    ]
    return "\n".join([*lines, *_run()]) + "\n"


def _first(function: Callable[..., Any]) -> str:
    return " ".join(inspect.cleandoc(function.__doc__ or "").partition("\n\n")[0].split())


def _function(name: str, function: Callable[..., Any]) -> Iterator[str]:
    # Annotations are texts; defaults keep their quotes.
    signature = re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(inspect.signature(function)))
    yield from [f"## `tl_keras.{name}`", "", "```python", f"{name}{signature}", "```", ""]
    yield from _docstring(inspect.cleandoc(function.__doc__ or ""))


def _docstring(text: str) -> Iterator[str]:
    """A docstring as Markdown: each of its `Args:` and `Raises:` becomes a list."""
    # The text, then a heading and its lines, and so on.
    parts = re.split(rf"^({'|'.join(HEADINGS)}):\n", text, flags=re.MULTILINE)
    yield parts[0].strip()
    for heading, body in zip(parts[1::2], parts[2::2], strict=True):
        yield from ["", f"{heading}:", ""]
        for name, meaning in _entries(body):
            yield f"- `{name}`: {meaning}"


def _entries(body: str) -> Iterator[tuple[str, str]]:
    for entry in re.split(r"\n(?=\S)", textwrap.dedent(body).strip()):
        name, _, meaning = entry.partition(": ")
        yield name, " ".join(meaning.split())


def _run() -> Iterator[str]:
    """The attributes of a run that users read."""
    yield from ["## `Run`", "", _first(Run), ""]
    yield from ["| attribute | meaning |", "| --- | --- |"]
    fields = dict(_entries(re.split(r"Attributes:\n", inspect.getdoc(Run) or "")[1]))
    for name in OF_A_RUN:
        about = fields.get(name) or _first(getattr(Run, name))
        yield f"| `{name}` | {about[0].upper()}{about[1:].rstrip('.')}. |"
    yield from ["", "`run.result` has the keys of [result.json](result.md) as attributes."]
