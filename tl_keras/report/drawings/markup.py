"""Builds HTML. All text from a user or a file passes through `escape`."""

import html
import re
from collections.abc import Iterable, Sequence
from typing import Any

from tl_keras.report.drawings.words import NOTHING, count, interval, is_number, percent


def escape(value: Any) -> str:
    """Returns a value as text that is safe between tags and in quoted attributes."""
    return html.escape(str(value))


def section(title: str, body: str) -> str:
    """Returns a titled section that links can point to; "" if the body is empty."""
    if not body:
        return ""
    return f'<section id="{anchor(title)}"><h2>{escape(title)}</h2>{body}</section>'


def anchor(title: str) -> str:
    """Returns the HTML id of the section with this title."""
    return re.sub(r"\W+", "-", title.lower())


def contents(titles: Iterable[str]) -> str:
    """Returns a `<nav>` element with a link to each section, by its title."""
    links = [f'<a href="#{anchor(title)}">{escape(title)}</a>' for title in titles]
    return f'<nav aria-label="Sections">{" ".join(links)}</nav>'


def note(text: str) -> str:
    """Returns plain text as a paragraph in the muted colour."""
    return f'<p class="note">{escape(text)}</p>'


def items(lines: Sequence[str], kind: str = "") -> str:
    """Returns a bulleted list of plain texts.

    Args:
      lines: one text for each bullet.
      kind: the CSS class of the list.
    """
    of_kind = f' class="{kind}"' if kind else ""
    return f"<ul{of_kind}>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def steps(lines: Iterable[tuple[str, ...]]) -> str:
    """Returns a numbered list of advice.

    Args:
      lines: what to do, why, and command lines (or "") for each piece of advice, as plain text.
    """
    rows = []
    for do, why, *commands in lines:
        copied = "".join(_command(command) for command in commands if command)
        rows.append(f"<li><strong>{escape(do)}</strong> {escape(why)}{copied}</li>")
    return f'<ol class="advice">{"".join(rows)}</ol>'


def _command(line: str) -> str:
    # A browser would break a line within `--set` or after it, so each flag is a box of its own.
    flags = " ".join(f"<span>{escape(flag)}</span>" for flag in re.split(" (?=--)", line))
    return f"<code>{flags}</code>"


def gallery(figures: Iterable[tuple[Sequence[str], Sequence[str]]], kind: str = "") -> str:
    """Returns a grid of pictures with captions.

    Args:
      figures: for each figure its pictures and the lines of its caption, both as HTML.
      kind: a CSS class of the list besides "gallery".
    """
    rows = []
    for pictures, lines in figures:
        caption = "".join(f"<span>{line}</span>" for line in lines)
        shown = f'<div class="pictures">{"".join(pictures)}</div>' if pictures else ""
        rows.append(f"<li><figure>{shown}<figcaption>{caption}</figcaption></figure></li>")
    return f'<ul class="gallery {kind}">{"".join(rows)}</ul>'


def facts(named: Sequence[tuple[str, Any]]) -> str:
    """Returns a `<dl>` element with names and their values; "" if there are none.

    Args:
      named: (name, value) pairs, as plain text.
    """
    rows = [f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in named]
    return f"<dl>{''.join(rows)}</dl>" if rows else ""


def scrolling(label: str, body: str) -> str:
    """Returns a box that scrolls sideways if its content is wider than the page."""
    # It takes focus, so that the keyboard can scroll it too.
    name = escape(label)
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{name}">{body}</div>'


def table(
    above: str, columns: Sequence[str], rows: list[list[str]], numeric: Iterable[int] = ()
) -> str:
    """Returns a table with a note above it.

    Args:
      above: the note, as plain text.
      columns: column headers, as plain text.
      rows: cells, as HTML.
      numeric: indices of the columns that are aligned to the right.
    """
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
    """Returns a `<span>` element: a text above a bar whose length is the share.

    Args:
      share: 0..1; if this is NaN or not a number, only the escaped text is returned.
      text: plain text.
    """
    if not is_number(share):
        return escape(text)
    style = f"--share:{min(max(share, 0), 1):.3f}"
    return f'<span class="bar" style="{style}">{escape(text)}</span>'


def estimate(share: Any, between: Sequence[float], n: Any) -> str:
    """Returns a share in percent, its number of examples and its interval, above a bar.

    The bar shows the share and the interval.

    Args:
      share: 0..1; if this is NaN or not a number, a dash is shown instead, without a bar.
      between: ends of the 95% interval, 0..1.
      n: number of examples.
    """
    if not is_number(share):
        return f'{NOTHING} <span class="soft">of {count(n)}</span>'
    sizes = {"share": share, "low": between[0], "high": between[1]}
    style = ";".join(f"--{name}:{min(max(size, 0), 1):.3f}" for name, size in sizes.items())
    of = f'<span class="soft">of {count(n)}</span>' if is_number(n) else ""
    return (
        f'<span class="bar between" style="{style}">{percent(share)} {of} '
        f"<small>{interval(between)}</small></span>"
    )
