"""Numbers in, inline SVG out. No user text ever enters a chart: names stay in the HTML."""

import html
import io
import math
import re
from collections.abc import Sequence

from matplotlib import style, ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Placeholders that become the page's CSS variables, so that one chart fits light and dark.
COLORS = {
    "#aa0001": "var(--ink)",
    "#aa0002": "var(--soft)",
    "#aa0003": "var(--line)",
    "#aa0004": "var(--series)",
    "#aa0005": "var(--other)",
}
INK, SOFT, LINE, SERIES, OTHER = COLORS

STYLE = {
    "svg.fonttype": "none",  # Text stays text: the reader's fonts, no glyphs to miss.
    "svg.hashsalt": "tl_keras",  # Equal numbers give equal bytes.
    "text.parse_math": False,
    "font.family": "DejaVu Sans",  # Only measures; wider than most, so nothing overlaps.
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

Series = tuple[str, list[float]]  # Legend, a value an epoch; NaN where there is none.


def learning_curves(epochs: Sequence[dict]) -> list[str]:
    """Up to two `<svg>` elements: loss, and accuracy in percent, by epoch.

    Args:
      epochs: the epochs of metrics.jsonl in order. Values that are missing or not finite leave
        a gap, a chart without any is left out.
    """
    loss = [("training", _column(epochs, "loss")), ("validation", _column(epochs, "val_loss"))]
    accuracy = [
        ("training", _column(epochs, "accuracy", 100)),
        ("validation", _column(epochs, "val_accuracy", 100)),
    ]
    drawn = [_lines("Loss", loss), _lines("Accuracy, %", accuracy)]
    return [svg for svg in drawn if svg]


def _column(epochs: Sequence[dict], key: str, scale: float = 1) -> list[float]:
    values = [epoch.get(key) for epoch in epochs]
    usable = [isinstance(value, int | float) and math.isfinite(value) for value in values]
    return [value * scale if use else math.nan for value, use in zip(values, usable, strict=True)]


def _lines(title: str, series: list[Series]) -> str:
    series = [(name, values) for name, values in series if not all(map(math.isnan, values))]
    if not series:
        return ""
    # From the defaults, not from the user's matplotlibrc.
    with style.context(["default", STYLE]):
        figure = Figure(figsize=(4.6, 2.9), layout="constrained")
        axes = figure.add_subplot()
        for name, values in series:
            _line(axes, name, values)
        _dress(axes, title, len(series[0][1]))
        return _svg(figure, _alt(title, series))


def _line(axes: Axes, name: str, values: list[float]) -> None:
    epochs = range(1, len(values) + 1)
    marker = "o" if len(values) <= 40 else ""
    # Dashes too, for print and for those who see the two colours as one.
    look = {"color": SERIES} if name == "validation" else {"color": OTHER, "linestyle": "--"}
    axes.plot(epochs, values, label=name, linewidth=1.8, marker=marker, markersize=3, **look)


def _dress(axes: Axes, title: str, epochs: int) -> None:
    axes.set_title(title, loc="left", fontsize=11, color=INK, fontweight="bold")
    axes.set_xlabel("epoch")
    axes.set_xlim(0.5, epochs + 0.5)
    axes.xaxis.set_major_locator(ticker.MaxNLocator(nbins=8, integer=True))
    axes.yaxis.set_major_locator(ticker.MaxNLocator(nbins=5))
    axes.grid(axis="y", color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    place = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0), "borderaxespad": 0.2}
    axes.legend(**place, ncols=2, fontsize=9, handlelength=1.8, columnspacing=1.2)


def _alt(title: str, series: list[Series]) -> str:
    parts = []
    for name, values in series:
        known = [value for value in values if not math.isnan(value)]
        parts.append(f"{name} from {known[0]:.3g} to {known[-1]:.3g}")
    return f"{title} over {len(series[0][1])} epochs: {', '.join(parts)}."


def _svg(figure: Figure, alt: str) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    view = re.search(r'viewBox="([^"]*)"', text)[1]
    body = text[text.index(">", text.index("<svg")) + 1 :]
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r"font-family: [^;]*; ", "", body)  # The page's own.
    # Ids are the page's too: keep those that are referred to, and apart from other charts'.
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    name = re.sub(r"\W", "", alt.split(" over ")[0])
    body = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{name}-", body)
    for placeholder, variable in COLORS.items():
        body = body.replace(placeholder, variable)
    return f'<svg viewBox="{view}" role="img" aria-label="{html.escape(alt)}">{body.strip()}'
