"""HTML. Every piece of text that a user or a file may have written passes through `escape`."""

import html
from collections.abc import Iterable, Sequence
from typing import Any

from tl_keras.report.words import NOTHING, is_number, percent


def escape(value: Any) -> str:
    """Text, safe between tags and in quoted attributes."""
    return html.escape(str(value))


def section(title: str, body: str) -> str:
    """A titled section; nothing if it would be empty."""
    return f"<section><h2>{title}</h2>{body}</section>" if body else ""


def note(text: str) -> str:
    """A paragraph of plain text, in the quiet colour."""
    return f'<p class="note">{escape(text)}</p>'


def items(lines: Sequence[str], kind: str = "") -> str:
    """A list of plain texts."""
    of_kind = f' class="{kind}"' if kind else ""
    return f"<ul{of_kind}>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def facts(named: Sequence[tuple[str, Any]]) -> str:
    """Names and values, plain text both, side by side."""
    rows = [f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in named]
    return f"<dl>{''.join(rows)}</dl>" if rows else ""


def scrolling(label: str, body: str) -> str:
    """A box that scrolls sideways where the page is narrower than its content."""
    # Focusable, so that the keyboard can scroll it too.
    name = escape(label)
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{name}">{body}</div>'


def table(
    above: str, columns: Sequence[str], rows: list[list[str]], numeric: Iterable[int] = ()
) -> str:
    """Cells are HTML; the note above and the columns' names plain text."""
    numeric = set(numeric)
    kinds = [' class="num"' if i in numeric else "" for i in range(len(columns))]
    heads = zip(kinds, columns, strict=True)
    head = "".join(f'<th scope="col"{kind}>{escape(name)}</th>' for kind, name in heads)
    body = "".join(
        "<tr>" + "".join(f"<td{k}>{c}</td>" for k, c in zip(kinds, row, strict=True)) + "</tr>"
        for row in rows
    )
    content = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return note(above) + scrolling(above, content)


def bar(share: Any) -> str:
    """A share in percent over a bar of that length."""
    if not is_number(share):
        return NOTHING
    width = min(max(share, 0), 1)
    return f'<span class="bar" style="--share:{width:.3f}">{percent(share)}</span>'
