"""A search's numbers in, inline SVG out. As in charts.py, no user text enters a chart."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure

from tl_keras.report.drawings.charts import (
    BAD,
    DOTS,
    GOOD,
    INK,
    LINE,
    OTHER,
    SERIES,
    SOFT,
    canvas,
    to_svg,
)

# Shape and fill too, for print and for those who see two colours as one.
POINTS = (
    {"marker": "o", "color": SERIES},
    {"marker": "s", "color": OTHER, "fillstyle": "none"},
    {"marker": "^", "color": GOOD},
    {"marker": "D", "color": BAD, "fillstyle": "none"},
    {"marker": "X", "color": SOFT},
)
FAINT = {"linestyle": "", "marker": "o", "color": SOFT, "fillstyle": "none", "markersize": 4.5}
SPAN = 10  # Largest over smallest, above which an axis is logarithmic.


Pair = tuple[float, float]


class Estimate(NamedTuple):
    """An accuracy with its 95% interval, shares all, at a place on the horizontal axis."""

    x: float
    accuracy: float
    low: float
    high: float


def depth_curve(best: Sequence[Estimate], others: Sequence[Pair], head: float | None) -> str:
    """An `<svg>`: accuracy by share of blocks frozen.

    Args:
      best: of each depth the best trial, by rising share; at least one.
      others: share and accuracy of the other trials.
      head: accuracy of the head alone, if it is known.
    """
    with canvas("Accuracy, % by share of blocks frozen") as (figure, axes):
        _head(axes, head)
        if others:
            xs, ys = zip(*others, strict=True)
            axes.plot(xs, _percent(ys), label="other trials", **FAINT)
        axes.errorbar(
            [e.x for e in best],
            _percent([e.accuracy for e in best]),
            _errors(best),
            label="best of a depth",
            **DOTS | {"fmt": "o-"},
        )
        axes.set_xlim(-0.04, 1.04)
        axes.set_xlabel("0 all blocks trained … 1 none, the head alone")
        _legend(figure, axes)
        told = [_told(f"{e.x:.2g} frozen", e) for e in best]
        alone = f"; the head alone {head:.1%}" if head is not None else ""
        return to_svg(
            figure, f"Validation accuracy by share of blocks frozen: {'; '.join(told)}{alone}."
        )


def by_rate(groups: Sequence[tuple[str, list[Pair]]], head: float | None) -> str:
    """An `<svg>`: accuracy by learning rate.

    Args:
      groups: by depth, which is no user text, rate and accuracy of trials; as many as `POINTS`
        at most.
      head: accuracy of the head alone, if it is known.
    """
    with canvas("Accuracy, % by learning rate") as (figure, axes):
        _head(axes, head)
        for (name, points), look in zip(groups, POINTS, strict=False):
            xs, ys = zip(*points, strict=True)
            axes.plot(
                xs, _percent(ys), label=name, linestyle="", markersize=6, clip_on=False, **look
            )
        every = [point for _, points in groups for point in points]
        axes.set_xscale("log")
        _ticks(axes.xaxis, [rate for rate, _ in every])
        axes.set_xlabel("learning rate; signs are shares of blocks frozen")
        _legend(figure, axes)
        rate, top = max(every, key=lambda point: point[1])
        alt = f"{len(every)} trials; the highest, {top:.1%}, at {rate:.2g}."
        return to_svg(figure, f"Validation accuracy by learning rate: {alt}")


def best_so_far(
    curve: Sequence[tuple[float, float]], each: Sequence[tuple[float, float]], end: float
) -> str:
    """An `<svg>`: the highest accuracy so far, in percent, against time.

    Args:
      curve: seconds and the highest from then on, at least one.
      each: the same of each trial.
      end: seconds, of the whole search.
    """
    title, (over, unit) = "Accuracy, %", _unit(end)
    with canvas(f"{title}, best so far") as (figure, axes):
        if each:
            axes.plot([x / over for x, _ in each], [y for _, y in each], label="a trial", **FAINT)
        steps = [*curve, (max(end, curve[-1][0]), curve[-1][1])]
        xs, ys = [x / over for x, _ in steps], [y for _, y in steps]
        axes.step(xs, ys, where="post", color=SERIES, linewidth=1.8, label="best so far")
        axes.plot(xs[:-1], ys[:-1], "o", color=SERIES, markersize=5)
        axes.set_xlim(0, None)
        axes.set_xlabel(f"{unit} of search")
        _legend(figure, axes)
        alt = f"from {ys[0]:.3g} after {xs[0]:.3g} {unit} to {ys[-1]:.3g} after {xs[-2]:.3g}"
        return to_svg(figure, f"{title}, best so far by time: {alt}, of {xs[-1]:.3g} in all.")


def by_name(estimates: Mapping[str, Estimate], split: str) -> str:
    """An `<svg>`: accuracies with their intervals, one below the other.

    Args:
      estimates: by name, which is no user text.
      split: on which, in words.
    """
    if not estimates:
        return ""
    names = list(estimates)[::-1]
    with canvas(f"Accuracy on {split}, %") as (figure, axes):
        found = [estimates[name] for name in names]
        axes.errorbar(
            _percent([e.accuracy for e in found]),
            range(len(found)),
            xerr=_errors(found),
            **DOTS,
        )
        axes.grid(axis="y", visible=False)
        axes.grid(axis="x", color=LINE, linewidth=0.8)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(-0.6, len(names) - 0.4)
        told = [_told(name, estimates[name]) for name in names[::-1]]
        return to_svg(figure, f"Accuracy on {split} by approach: {'; '.join(told)}.")


def by_examples(curve: Sequence[tuple[int, float]]) -> str:
    """An `<svg>`: validation accuracy of heads by number of training examples; "" of fewer than
    two points."""
    if len(curve) < 2:
        return ""
    xs, ys = zip(*curve, strict=True)
    with canvas("Accuracy, % by training examples") as (figure, axes):
        axes.plot(xs, _percent(ys), "o-", color=SERIES, linewidth=1.8, markersize=5)
        axes.set_xscale("log")
        _ticks(axes.xaxis, xs)
        axes.set_xlabel("training examples of a head alone")
        told = [f"{y:.1%} with {x}" for x, y in curve]
        return to_svg(figure, f"Validation accuracy by training examples: {'; '.join(told)}.")


def parallel(ends: Sequence[tuple[str, str]], lines: Sequence[Sequence[float]]) -> str:
    """An `<svg>`: parallel coordinates, an axis a field, the last one the accuracy.

    Args:
      ends: what stands at the lower and the upper end of each axis: numbers or nothing.
      lines: of each trial its places on the axes, 0..1, the best trial first; NaN where it has
        none, as one without accuracy.
    """
    with canvas("Trials, field by field") as (figure, axes):
        for x, (low, high) in enumerate(ends):
            last = x == len(ends) - 1
            axes.plot([x, x], [0, 1], color=LINE, linewidth=1)
            axes.annotate(low, (x, -0.04), ha="center", va="top")
            axes.annotate(high, (x, 1.04), ha="center", va="bottom")
            name = "accuracy, %" if last else chr(ord("A") + x)
            axes.annotate(name, (x, -0.17), ha="center", va="top", color=INK)
        for places in reversed(lines[1:]):
            lost = math.isnan(places[-1])
            look = {"color": BAD, "linestyle": ":"} if lost else {"color": SOFT, "alpha": 0.55}
            axes.plot(places, linewidth=1.2, marker="x" if lost else "", markersize=4, **look)
        axes.plot(lines[0], color=SERIES, linewidth=2.4, marker="o", markersize=5)
        axes.set(xlim=(-0.35, len(ends) - 0.6), ylim=(-0.32, 1.16), xticks=[], yticks=[])
        axes.spines["bottom"].set_visible(False)
        count = sum(math.isnan(places[-1]) for places in lines)
        alt = f"{len(lines)} trials, {count} of them without accuracy; the best is drawn thick"
        return to_svg(figure, f"Trials over {len(ends) - 1} fields and their accuracy: {alt}.")


def pareto(title: str, points: Mapping[int, Estimate]) -> str:
    """An `<svg>`: accuracy against what it costs, each point with its number.

    Args:
      title: what is on the horizontal axis, with its unit, which is no user text.
      points: an architecture each, by number.
    """
    best = front(points)
    with canvas(f"Accuracy, % by {title}") as (figure, axes):
        xs, ys = zip(*((points[i].x, 100 * points[i].accuracy) for i in best), strict=True)
        axes.step(xs, ys, where="post", color=SERIES, linewidth=1.4, linestyle="--")
        for i, e in points.items():
            full, place = ("full", (6, 5)) if i in best else ("none", (6, -12))
            spot = (e.x, 100 * e.accuracy)
            axes.errorbar([spot[0]], [spot[1]], _errors([e]), fillstyle=full, **DOTS)
            axes.annotate(str(i), spot, place, textcoords="offset points", color=INK)
        costs = [e.x for e in points.values()]
        if 0 < SPAN * min(costs) < max(costs):
            axes.set_xscale("log")
            _ticks(axes.xaxis, costs)
        axes.set_xlabel(f"{title}; full points: none is better in both")
        told = [_told(f"{i} at {e.x:.3g}", e) for i, e in points.items()]
        return to_svg(figure, f"Validation accuracy by {title}: {'; '.join(told)}.")


def front(points: Mapping[Any, Estimate]) -> list[Any]:
    """The points that none beats, being at most as dear and as accurate; by rising cost."""
    found: list[Any] = []
    for key in sorted(points, key=lambda key: (points[key].x, -points[key].accuracy)):
        if not found or points[key].accuracy > points[found[-1]].accuracy:
            found.append(key)
    return found


def _head(axes: Axes, head: float | None) -> None:
    if head is not None:
        axes.axhline(100 * head, color=SOFT, linewidth=1.2, linestyle="--", label="head alone")


def _percent(shares: Sequence[float]) -> list[float]:
    return [100 * share for share in shares]


def _errors(estimates: Sequence[Estimate]) -> list[list[float]]:
    # Of an accuracy that was rounded, the interval may begin a hair above it.
    low = [max(0.0, 100 * (e.accuracy - e.low)) for e in estimates]
    return [low, [max(0.0, 100 * (e.high - e.accuracy)) for e in estimates]]


def _told(where: str, e: Estimate) -> str:
    return f"{where}, {e.accuracy:.1%} ({100 * e.low:.1f} to {100 * e.high:.1f})"


def _unit(seconds: float) -> tuple[int, str]:
    """Seconds in a unit of time in which a search of that length reads well, and its name."""
    return next((n, unit) for n, unit in UNITS if seconds > 3 * n or n == 1)


UNITS = ((3600, "hours"), (60, "minutes"), (1, "seconds"))


def _ticks(axis: Axis, values: Sequence[float]) -> None:
    """Marks of a logarithmic axis: powers of ten; the ends where there would not be two."""
    low, high = min(values), max(values)
    if math.floor(math.log10(high)) <= math.ceil(math.log10(low)):
        axis.set_major_locator(ticker.FixedLocator(sorted({low, high})))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:.3g}"))
    axis.set_minor_locator(ticker.NullLocator())


WIDE = 52  # Characters of a legend in one row, its signs included.


def _legend(figure: Figure, axes: Axes) -> None:
    _, labels = axes.get_legend_handles_labels()
    fits = len("".join(labels)) + 4 * len(labels) <= WIDE
    place: dict[str, Any] = {"loc": "outside lower center", "ncols": len(labels) if fits else 3}
    figure.legend(**place, fontsize=9, handlelength=1.6, columnspacing=1.1, handletextpad=0.4)
