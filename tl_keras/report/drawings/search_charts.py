"""Draws charts of searches and comparisons as inline SVG. They contain no text from users."""

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
    STEPS,
    canvas,
    to_svg,
    within_percent,
)
from tl_keras.report.drawings.words import counted

# Markers also differ in shape and fill, for print and for colour-blind readers.
POINTS = (
    {"marker": "o", "color": SERIES},
    {"marker": "s", "color": OTHER, "fillstyle": "none"},
    {"marker": "^", "color": GOOD},
    {"marker": "D", "color": BAD, "fillstyle": "none"},
    {"marker": "X", "color": SOFT},
)
FAINT = {"linestyle": "", "marker": "o", "color": SOFT, "fillstyle": "none", "markersize": 4.5}
SPAN = 10  # An axis is logarithmic if its largest value is more than this many times the smallest.

Pair = tuple[float, float]


class Estimate(NamedTuple):
    """A point of a chart: an accuracy with its 95% interval, all 0..1."""

    x: float  # position on the horizontal axis
    accuracy: float
    low: float  # ends of the interval
    high: float


def depth_curve(best: Sequence[Estimate], others: Sequence[Pair], head: float | None) -> str:
    """Returns an `<svg>`: accuracy by share of frozen blocks.

    Args:
      best: the best trial of each share, in order of rising share; at least one.
      others: (share of frozen blocks, accuracy) of each other trial, both 0..1.
      head: accuracy of the head-only model, 0..1, if known.
    """
    with canvas("Accuracy (%) by share of frozen blocks") as (figure, axes):
        _head(axes, head)
        if others:
            xs, ys = zip(*others, strict=True)
            axes.plot(xs, _percent(ys), label="other trials", **FAINT)
        axes.errorbar(
            [e.x for e in best],
            _percent([e.accuracy for e in best]),
            _errors(best),
            label="best at a depth",
            **DOTS | {"fmt": "o-"},
        )
        axes.set_xlim(-0.04, 1.04)
        axes.set_xlabel("0: all blocks trained … 1: only the head")
        within_percent(axes)
        _legend(figure, axes)
        written = [_written(f"{e.x:.2g} frozen", e) for e in best]
        alone = f"; the head-only model {head:.1%}" if head is not None else ""
        return to_svg(
            figure, f"Validation accuracy by share of frozen blocks: {'; '.join(written)}{alone}."
        )


def by_rate(groups: Sequence[tuple[str, list[Pair]]], head: float | None) -> str:
    """Returns an `<svg>`: accuracy by learning rate.

    Args:
      groups: (legend, trials) of trials with about the same share of frozen blocks; at most
        `len(POINTS)` groups. A trial is (learning rate, accuracy 0..1). A legend must not be text
        from users.
      head: accuracy of the head-only model, 0..1, if known.
    """
    with canvas("Accuracy (%) by learning rate") as (figure, axes):
        _head(axes, head)
        for (name, points), look in zip(groups, POINTS, strict=False):
            xs, ys = zip(*points, strict=True)
            axes.plot(
                xs, _percent(ys), label=name, linestyle="", markersize=6, clip_on=False, **look
            )
        every = [point for _, points in groups for point in points]
        axes.set_xscale("log")
        _ticks(axes.xaxis, [rate for rate, _ in every])
        axes.set_xlabel("learning rate; a marker for each share of frozen blocks")
        within_percent(axes)
        _legend(figure, axes)
        rate, top = max(every, key=lambda point: point[1])
        best = f"the highest accuracy, {top:.1%}, is at learning rate {rate:.2g}"
        alt = f"{counted(len(every), 'trial')}; {best}."
        return to_svg(figure, f"Validation accuracy by learning rate: {alt}")


def best_so_far(
    curve: Sequence[tuple[float, float]], each: Sequence[tuple[float, float]], end: float
) -> str:
    """Returns an `<svg>`: the highest accuracy that a search had reached, by time.

    Args:
      curve: (seconds, highest accuracy so far in percent) of each improvement; at least one.
      each: (seconds, accuracy in percent) of each trial.
      end: seconds that the whole search took.
    """
    title, (over, unit) = "Best accuracy so far (%)", _unit(end)
    with canvas(title) as (figure, axes):
        if each:
            axes.plot([x / over for x, _ in each], [y for _, y in each], label="a trial", **FAINT)
        steps = [*curve, (max(end, curve[-1][0]), curve[-1][1])]
        xs, ys = [x / over for x, _ in steps], [y for _, y in steps]
        axes.step(xs, ys, where="post", color=SERIES, linewidth=1.8, label="best so far")
        axes.plot(xs[:-1], ys[:-1], "o", color=SERIES, markersize=5)
        axes.set_xlim(0, None)
        axes.set_xlabel(f"{unit} of search")
        within_percent(axes)
        _legend(figure, axes)
        alt = f"from {ys[0]:.3g} after {xs[0]:.3g} {unit} to {ys[-1]:.3g} after {xs[-2]:.3g}"
        end_of_search = f"the search took {xs[-1]:.3g} {unit}"
        return to_svg(figure, f"{title} by time: {alt}; {end_of_search}.")


def by_name(estimates: Mapping[str, Estimate], split: str) -> str:
    """Returns an `<svg>`: the accuracies of approaches with intervals, one below the other.

    Returns "" if there are none.

    Args:
      estimates: from the name of each approach to its accuracy; names must not be text from users.
      split: the split on which the approaches were measured, such as "test".
    """
    if not estimates:
        return ""
    names = list(estimates)[::-1]
    with canvas(f"Accuracy on {split}, %") as (figure, axes):
        ordered = [estimates[name] for name in names]
        axes.errorbar(
            _percent([e.accuracy for e in ordered]),
            range(len(ordered)),
            xerr=_errors(ordered),
            **DOTS,
        )
        axes.grid(axis="y", visible=False)
        axes.grid(axis="x", color=LINE, linewidth=0.8)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(-0.6, len(names) - 0.4)
        axes.xaxis.set_major_locator(ticker.MaxNLocator(nbins=5, steps=STEPS))
        within_percent(axes, "x")
        written = [_written(name, estimates[name]) for name in names[::-1]]
        return to_svg(figure, f"Accuracy on {split} by approach: {'; '.join(written)}.")


def by_examples(curve: Sequence[tuple[int, float]]) -> str:
    """Returns an `<svg>`: validation accuracy by number of training examples.

    Returns "" for fewer than two points.

    Args:
      curve: (number of training examples, mean accuracy 0..1 of the heads trained on so many).
    """
    if len(curve) < 2:
        return ""
    xs, ys = zip(*curve, strict=True)
    with canvas("Accuracy (%) by training examples") as (figure, axes):
        axes.plot(xs, _percent(ys), "o-", color=SERIES, linewidth=1.8, markersize=5)
        axes.set_xscale("log")
        _ticks(axes.xaxis, xs)
        axes.set_xlabel("training examples; only the head is trained")
        within_percent(axes)
        written = [f"{y:.1%} with {x}" for x, y in curve]
        start = "Validation accuracy by number of training examples"
        return to_svg(figure, f"{start}: {'; '.join(written)}.")


def parallel(ends: Sequence[tuple[str, str]], lines: Sequence[Sequence[float]]) -> str:
    """Returns an `<svg>`: parallel coordinates, in which each trial is a line across all axes.

    There is an axis for each searched field, and the last axis is for the accuracy.

    Args:
      ends: labels of the lower and the upper end of each axis: numbers or "".
      lines: the positions of each trial on the axes, 0..1, the best trial first; NaN where a trial
        has no value, such as the accuracy of a trial that diverged.
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
        without = sum(math.isnan(places[-1]) for places in lines)
        across = f"Trials as lines across {counted(len(ends) - 1, 'field')} and the accuracy"
        alt = f"{counted(len(lines), 'trial')}, {without} of which produced no model"
        return to_svg(figure, f"{across}: {alt}; the thick line is the best trial.")


def pareto(title: str, points: Mapping[int, Estimate], split: str = "Validation") -> str:
    """Returns an `<svg>`: accuracy by cost, with the number of the model at each point.

    Args:
      title: the cost with its unit, such as "size, MB"; must not be text from users.
      points: from the number of each model on the page to its cost and accuracy; at least one.
      split: the split on which the models were measured.
    """
    best = front(points)
    with canvas(f"Accuracy (%) by {title}") as (figure, axes):
        xs, ys = zip(*((points[i].x, 100 * points[i].accuracy) for i in best), strict=True)
        axes.step(xs, ys, where="post", color=SERIES, linewidth=1.4, linestyle="--")
        for i, e in points.items():
            filled = "full" if i in best else "none"
            axes.errorbar([e.x], [100 * e.accuracy], _errors([e]), fillstyle=filled, **DOTS)
        costs = [e.x for e in points.values()]
        if 0 < SPAN * min(costs) < max(costs):
            axes.set_xscale("log")
            _ticks(axes.xaxis, costs)
        else:  # From 0 on, so that noise in the last digit does not look like a difference.
            axes.set_xlim(0, 1.05 * max(costs) or 1)
            axes.xaxis.set_major_locator(ticker.MaxNLocator(nbins=4, steps=STEPS))
        axes.set_xlabel(f"{title}; filled: best trade-offs")
        within_percent(axes)
        _number(axes, points, best)
        written = [_written(f"model {i} at {e.x:.3g}", e) for i, e in points.items()]
        return to_svg(figure, f"{split} accuracy by {title}: {'; '.join(written)}.")


def _number(axes: Axes, points: Mapping[int, Estimate], best: Sequence[int]) -> None:
    """Writes the number of each point beside it; points too close for two labels share one."""
    groups: list[tuple[Pair, list[int]]] = []
    for i, e in points.items():
        x, y = axes.transLimits.transform(axes.transScale.transform((e.x, 100 * e.accuracy)))
        near = [n for (u, v), n in groups if abs(x - u) < NEAR[0] and abs(y - v) < NEAR[1]]
        if near:
            near[0].append(i)
        else:
            groups.append(((x, y), [i]))
    for (x, _), numbers in groups:
        e, above = points[numbers[0]], any(i in best for i in numbers)
        offset = (6 if x < 0.5 else -6, 5 if above else -12)
        axes.annotate(
            ", ".join(map(str, numbers)),
            (e.x, 100 * e.accuracy),
            offset,
            textcoords="offset points",
            ha="left" if x < 0.5 else "right",
            color=INK,
        )


NEAR = (0.05, 0.08)  # of the axes' width and height


def front(points: Mapping[Any, Estimate]) -> list[Any]:
    """Returns the keys of the points on the Pareto front, in order of rising cost `x`.

    A point is on the front unless another point is at least as good in both cost and accuracy, and
    better in one of them. Of points with equal cost and accuracy, only the first is on the front.
    """
    unbeaten: list[Any] = []
    for key in sorted(points, key=lambda key: (points[key].x, -points[key].accuracy)):
        if not unbeaten or points[key].accuracy > points[unbeaten[-1]].accuracy:
            unbeaten.append(key)
    return unbeaten


def _head(axes: Axes, head: float | None) -> None:
    if head is not None:
        axes.axhline(100 * head, color=SOFT, linewidth=1.2, linestyle="--", label="head only")


def _percent(shares: Sequence[float]) -> list[float]:
    return [100 * share for share in shares]


def _errors(estimates: Sequence[Estimate]) -> list[list[float]]:
    # A rounded accuracy may lie slightly outside its interval, but errors must not be negative.
    low = [max(0.0, 100 * (e.accuracy - e.low)) for e in estimates]
    return [low, [max(0.0, 100 * (e.high - e.accuracy)) for e in estimates]]


def _written(where: str, e: Estimate) -> str:
    return f"{where}, {e.accuracy:.1%} ({100 * e.low:.1f} to {100 * e.high:.1f})"


def _unit(seconds: float) -> tuple[int, str]:
    """Returns (seconds per unit, name) of the unit of time that suits a search of `seconds`."""
    return next((n, unit) for n, unit in UNITS if seconds > 3 * n or n == 1)


UNITS = ((3600, "hours"), (60, "minutes"), (1, "seconds"))


def _ticks(axis: Axis, values: Sequence[float]) -> None:
    """Sets the ticks of a logarithmic axis to powers of ten.

    If the range contains fewer than two powers of ten, the ticks are the lowest and the highest
    value or, if their labels would overlap, only the highest.
    """
    low, high = min(values), max(values)
    if math.floor(math.log10(high)) <= math.ceil(math.log10(low)):
        ends = {low, high} if high > CLOSE * low else {high}
        axis.set_major_locator(ticker.FixedLocator(sorted(ends)))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:.3g}"))
    axis.set_minor_locator(ticker.NullLocator())


CLOSE = 1.2  # Ratio of two ticks, below which their labels would overlap.
WIDE = 52  # Characters that fit into one row of a legend, including its markers.


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    fits = len("".join(labels)) + 4 * len(labels) <= WIDE
    columns = max(len(labels), 1) if fits else 3
    # Matplotlib fills column by column; a reader goes row by row.
    order = [i for column in range(columns) for i in range(column, len(labels), columns)]
    figure.legend(
        [handles[i] for i in order],
        [labels[i] for i in order],
        loc="outside lower center",
        ncols=columns,
        fontsize=9,
        handlelength=1.6,
        columnspacing=1.1,
        handletextpad=0.4,
    )
