"""HTML. Every piece of text that a user or a file may have written passes through `escape`."""

import html
import re
from collections.abc import Iterable, Sequence
from typing import Any

from tl_keras.report.drawings.words import NOTHING, count, interval, is_number, percent


def escape(value: Any) -> str:
    """Text, safe between tags and in quoted attributes."""
    return html.escape(str(value))


def section(title: str, body: str) -> str:
    """A titled section that links can point to; nothing if it would be empty."""
    if not body:
        return ""
    return f'<section id="{anchor(title)}"><h2>{escape(title)}</h2>{body}</section>'


def anchor(title: str) -> str:
    """The id of a section."""
    return re.sub(r"\W+", "-", title.lower())


def contents(titles: Iterable[str]) -> str:
    """Links to sections."""
    links = [f'<a href="#{anchor(title)}">{escape(title)}</a>' for title in titles]
    return f'<nav aria-label="Sections">{" ".join(links)}</nav>'


def note(text: str) -> str:
    """A paragraph of plain text, in the quiet colour."""
    return f'<p class="note">{escape(text)}</p>'


def items(lines: Sequence[str], kind: str = "") -> str:
    """A list of plain texts."""
    of_kind = f' class="{kind}"' if kind else ""
    return f"<ul{of_kind}>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def steps(pairs: Iterable[tuple[str, str]]) -> str:
    """A numbered list: what to do, and why. Plain texts."""
    rows = [f"<li><strong>{escape(do)}</strong> {escape(why)}</li>" for do, why in pairs]
    return f'<ol class="advice">{"".join(rows)}</ol>'


def gallery(figures: Iterable[tuple[Sequence[str], Sequence[str]]], kind: str = "") -> str:
    """Pictures, some at a time, each group over its lines. HTML both."""
    rows = []
    for pictures, lines in figures:
        caption = "".join(f"<span>{line}</span>" for line in lines)
        shown = f'<div class="pictures">{"".join(pictures)}</div>' if pictures else ""
        rows.append(f"<li><figure>{shown}<figcaption>{caption}</figcaption></figure></li>")
    return f'<ul class="gallery {kind}">{"".join(rows)}</ul>'


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


def bar(share: Any, text: str) -> str:
    """Plain text over a bar of a share's length; the text alone where that is no number."""
    if not is_number(share):
        return escape(text)
    style = f"--share:{min(max(share, 0), 1):.3f}"
    return f'<span class="bar" style="{style}">{escape(text)}</span>'


def estimate(share: Any, between: Sequence[float], n: Any) -> str:
    """A share in percent, of how many and its interval, over a bar with the interval on it."""
    if not is_number(share):
        return f'{NOTHING} <span class="soft">of {count(n)}</span>'
    sizes = {"share": share, "low": between[0], "high": between[1]}
    style = ";".join(f"--{name}:{min(max(size, 0), 1):.3f}" for name, size in sizes.items())
    of = f'<span class="soft">of {count(n)}</span>' if is_number(n) else ""
    return (
        f'<span class="bar between" style="{style}">{percent(share)} {of} '
        f"<small>{interval(between)}</small></span>"
    )
