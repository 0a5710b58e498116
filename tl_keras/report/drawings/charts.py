"""Draws charts as inline SVG. A chart never contains text from users, such as class names."""

import html
import io
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from matplotlib import style, ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tl_keras.report.drawings.words import counted, is_number

# Placeholders that become the page's CSS variables, so that one chart fits light and dark pages.
COLORS = {
    "#aa0001": "var(--ink)",
    "#aa0002": "var(--soft)",
    "#aa0003": "var(--line)",
    "#aa0004": "var(--series)",
    "#aa0005": "var(--other)",
    "#aa0006": "var(--good)",
    "#aa0007": "var(--bad)",
}
INK, SOFT, LINE, SERIES, OTHER, GOOD, BAD = COLORS

STYLE = {
    "svg.fonttype": "none",  # Text stays text and is drawn in the reader's fonts.
    "svg.hashsalt": "tl_keras",  # Equal numbers give equal bytes.
    "text.parse_math": False,
    "font.family": "DejaVu Sans",  # Only measures: wider than most fonts, so texts do not overlap.
    "font.size": 10,
    "text.color": SOFT,
    "axes.edgecolor": LINE,
    "axes.labelcolor": SOFT,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": SOFT,
    "ytick.labelcolor": SOFT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "ytick.major.size": 0,
    "legend.frameon": False,
}

Series = tuple[str, list[float]]  # Legend, and one value per epoch; NaN for a missing value.
# Lines also differ in dashes, for print and for colour-blind readers.
LOOKS = (
    {"color": SERIES},
    {"color": OTHER, "linestyle": "--"},
    {"color": GOOD, "linestyle": "-."},
    {"color": BAD, "linestyle": ":"},
)
# From the fifth line on, colours and dashes repeat with another marker.
MARKERS: tuple[dict[str, str], ...]
MARKERS = ({}, {"marker": "s"}, {"marker": "^"}, {"marker": "D"}, {"marker": "x"})


def learning_curves(epochs: Sequence[dict]) -> list[str]:
    """Returns up to two `<svg>` elements: loss by epoch, and accuracy in percent by epoch.

    Args:
      epochs: the records of epochs in metrics.jsonl, in order. Missing or non-finite values leave a
        gap; a chart without any value is left out.
    """
    drawn = [
        _by_epoch(title, [("validation", epochs, f"val_{key}"), ("training", epochs, key)], scale)
        for title, key, scale in (("Loss", "loss", 1), ("Accuracy, %", "accuracy", 100))
    ]
    return [svg for svg in drawn if svg]


def compared_curves(runs: Sequence[tuple[str, Sequence[dict]]]) -> list[str]:
    """Returns up to two `<svg>` elements: validation loss and accuracy of several runs, by epoch.

    Args:
      runs: (legend, records of its epochs) of each run. A legend must not be text from users.
    """
    drawn = [
        _by_epoch(title, [(name, epochs, key) for name, epochs in runs], scale)
        for title, key, scale in (
            ("Validation loss", "val_loss", 1),
            ("Validation accuracy, %", "val_accuracy", 100),
        )
    ]
    return [svg for svg in drawn if svg]


def _by_epoch(title: str, wanted: list[tuple[str, Sequence[dict], str]], scale: float) -> str:
    series = [(name, _column(epochs, key, scale)) for name, epochs, key in wanted]
    series = [(name, values) for name, values in series if not all(map(math.isnan, values))]
    if not series:
        return ""
    with canvas(title) as (figure, axes):
        for i, (name, values) in enumerate(series):
            turn, look = divmod(i, len(LOOKS))
            marker = MARKERS[turn % len(MARKERS)]
            _line(axes, range(1, len(values) + 1), values, name, LOOKS[look] | marker)
        longest = max(len(values) for _, values in series)
        axes.set_xlabel("epoch")
        axes.set_xlim(0.5, longest + 0.5)
        axes.xaxis.set_major_locator(ticker.MaxNLocator(nbins=8, integer=True))
        if scale == 100:
            within_percent(axes)
        _legend(axes)
        return to_svg(figure, f"{title} over {longest} epochs: {_ends(series)}.")


def _column(records: Sequence[dict], key: str, scale: float = 1) -> list[float]:
    values = [record.get(key) for record in records]
    return [value * scale if is_number(value) else math.nan for value in values]


def _ends(series: list[Series]) -> str:
    parts = []
    for name, values in series:
        known = [value for value in values if not math.isnan(value)]
        parts.append(f"{name} from {known[0]:.3g} to {known[-1]:.3g}")
    return ", ".join(parts)


def regularisation_path(strengths: Sequence[dict]) -> str:
    """Returns an `<svg>`: the validation loss of the head by its regularisation strength.

    Returns "" for fewer than three strengths.

    Args:
      strengths: the records of the head in metrics.jsonl, one per strength.
    """
    known = [
        (record["regularisation"], record["val_loss"])
        for record in strengths
        if is_number(record.get("regularisation")) and is_number(record.get("val_loss"))
    ]
    known = sorted(pair for pair in known if pair[0] > 0)
    if len(known) < 3:
        return ""
    xs, losses = [list(column) for column in zip(*known, strict=True)]
    best = losses.index(min(losses))
    with canvas("Head: validation loss") as (figure, axes):
        _line(axes, xs, losses, "validation", LOOKS[0])
        axes.plot(xs[best], losses[best], "o", markersize=9, color=SERIES, fillstyle="none")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")  # Powers of ten would need mathematical text.
        axes.minorticks_off()
        axes.set_xlabel("regularisation strength; the circle marks the lowest loss")
        alt = (
            f"Validation loss of the head for {len(xs)} regularisation strengths: lowest "
            f"{losses[best]:.3g} at {xs[best]:.3g}."
        )
        return to_svg(figure, alt)


DOTS = {"fmt": "o", "color": SERIES, "markersize": 5, "linewidth": 1.4, "clip_on": False}
# Mean confidence, accuracy, lower and upper end of the accuracy's 95% interval, number of examples.
Point = tuple[float, float, float, float, int]


def reliability(points: Sequence[Point]) -> str:
    """Returns an `<svg>`: accuracy by confidence and, below it, the number of examples.

    Args:
      points: at least one (confidence, accuracy, lower end of its 95% interval, upper end, number
        of examples), in order of rising confidence; all but the number are shares, 0..1.
    """
    with canvas("Right answers (%) by confidence (%)", rows=(3, 1)) as (figure, axes, below):
        axes.plot([0, 100], [0, 100], color=SOFT, linewidth=1, linestyle="--")
        sure = [100 * point[0] for point in points]
        right = [100 * point[1] for point in points]
        low = [100 * (point[1] - point[2]) for point in points]
        high = [100 * (point[3] - point[1]) for point in points]
        axes.errorbar(sure, right, [low, high], **DOTS)
        axes.set(xlim=(0, 100), ylim=(0, 103))
        sizes = [point[4] for point in points]
        below.bar(sure, sizes, width=3, color=OTHER, clip_on=False)
        for x, size in zip(sure, sizes, strict=True):
            below.annotate(f"{size:,}", (x, size), (0, 2), textcoords="offset points", ha="center")
        below.set(yticks=[], ylim=(0, 1.5 * max(sizes)))
        below.set_xlabel("confidence, %; bars: number of examples")
        rows = zip(sure, right, sizes, strict=True)
        steps = [f"at {x:.0f}% confidence, {y:.0f}% of {counted(n, 'example')}" for x, y, n in rows]
        return to_svg(figure, f"Right answers by confidence: {'; '.join(steps)}.")


@contextmanager
def canvas(title: str, rows: Sequence[int] = (1,)) -> Iterator[tuple]:
    """Yields a tuple: a matplotlib figure in the page's style, and its axes from top to bottom.

    Args:
      title: the title above the top axes.
      rows: the relative height of each axes.
    """
    # Starts from matplotlib's defaults, not from the user's matplotlibrc.
    with style.context(["default", STYLE]):
        figure = Figure(figsize=(4.2, 2.75 if len(rows) == 1 else 4.0), layout="constrained")
        every = figure.subplots(len(rows), sharex=True, height_ratios=rows, squeeze=False)[:, 0]
        every[0].set_title(title, loc="left", fontsize=11, color=INK, fontweight="bold")
        every[0].yaxis.set_major_locator(ticker.MaxNLocator(nbins=5, steps=STEPS))
        every[0].grid(axis="y", color=LINE, linewidth=0.8)
        every[0].set_axisbelow(True)
        yield figure, *every


STEPS = (1, 2, 2.5, 5, 10)  # Round distances between ticks: 98, 98.5, 99 instead of 98.4, 99.2.


def within_percent(axes: Axes, direction: str = "y") -> None:
    """Limits an axis of percentages to 0 to 100; matplotlib's margins would extend it to 105%.

    Args:
      axes: the axes to change.
      direction: "x" or "y", the axis of percentages.
    """
    low, high = {"x": axes.get_xlim, "y": axes.get_ylim}[direction]()
    margin = 0.02 * (high - low)  # so that a marker at the end is drawn whole
    axes.set(**{f"{direction}lim": (max(low, -margin), min(high, 100 + margin))})


def _line(axes: Axes, xs: Sequence[float], values: list[float], name: str, look: dict) -> None:
    few = len(values) <= 40
    look = {"marker": "o" if few else "", "markersize": 5 if "marker" in look else 3} | look
    every = 1 if few else len(values) // 20
    axes.plot(xs, values, label=name, linewidth=1.8, markevery=every, **look)


def _legend(axes: Axes) -> None:
    place: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0)}
    axes.legend(
        **place, borderaxespad=0.2, ncols=4, fontsize=9, handlelength=1.8, columnspacing=1.2
    )


def to_svg(figure: Figure, alt: str) -> str:
    """Returns a figure as an `<svg>` in the page's colours.

    Args:
      figure: the figure to write.
      alt: the text for screen readers. Its letters and digits before the first colon are also the
        prefix of all ids in the `<svg>`, so this part must differ between the charts of a page.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    view = re.findall(r'viewBox="([^"]*)"', text)[0]
    body = text[text.index(">", text.index("<svg")) + 1 :]
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r"font-family: [^;]*; ", "", body)  # The page sets the font.
    # All charts share the ids of the page: drop unused ids, and give the others a prefix.
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    name = re.sub(r"\W", "", alt.split(":")[0])
    body = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{name}-", body)
    for placeholder, variable in COLORS.items():
        body = body.replace(placeholder, variable)
    return f'<svg viewBox="{view}" role="img" aria-label="{html.escape(alt)}">{body.strip()}'
