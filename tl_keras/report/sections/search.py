"""The section on a search: how many layers to freeze, and the trials in charts and a table."""

from collections.abc import Iterable, Sequence

from tl_keras import tasks
from tl_keras.maybe import Maybe
from tl_keras.report.advice.on_search import depth
from tl_keras.report.drawings import coordinates, search_charts
from tl_keras.report.drawings.markup import escape, note, table
from tl_keras.report.drawings.search_charts import Estimate
from tl_keras.report.drawings.words import (
    NOTHING,
    count,
    counted,
    duration,
    is_number,
    isolated,
    listed,
    megabytes,
    number,
)
from tl_keras.report.facts import figures, trials
from tl_keras.report.facts.trials import Search, Trial, shortly
from tl_keras.report.read import RunFiles
from tl_keras.report.sections import results

ROWS = 50  # rows of the table of trials
DRAWN = 200  # trials in a chart at most, the best ones
# If trials have many different shares of frozen blocks, they are grouped by these ranges.
QUARTERS = ((0.0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.0))


def search(run: RunFiles) -> str:
    """Returns which freeze depth is best, how the search ran, and all trials, as HTML."""
    searched = trials.searched(run)
    if not searched:
        return ""
    conclusion = depth(searched) if run.counts_right else ""
    parts = [
        f'<p class="answer">{escape(conclusion)}</p>' if conclusion else "",
        note(summary(searched)),
        _selection_bias(run, searched),
        _charts(searched) if run.counts_right else "",
        _architectures(searched, run),
        _table(searched, run.task),
    ]
    return "".join(filter(None, parts))


def summary(search: Search) -> str:
    """Returns the number of trials, their time, the tuner and the objective, as a sentence."""
    line = counted(search.size, "trial")
    record = search.record
    if is_number(record.seconds):
        line += f" in {duration(record.seconds)}"
    if record.saved and is_number(record.saved):
        line += f", {duration(record.saved)} saved by stored activations"
    return f"{line}; tuner {record.tuner}, objective {record.objective}."


def _selection_bias(run: RunFiles, search: Search) -> str:
    if len(search.done) < 2:
        return ""
    tested = figures.scored(run)[0] == "test"
    trust = " Trust the test score: no trial has seen the test examples." if tested else ""
    return note(
        f"The best of {count(len(search.done))} trials was chosen on the same examples that it is "
        "measured on here. Part of its score is luck, for which the 95% interval does not account; "
        f"the more trials, the more luck.{trust}"
    )


def _charts(search: Search) -> str:
    shown = search.done[:DRAWN]
    drawn = [_depth_curve(search), _by_rate(search), _best_so_far(search, shown)]
    drawn += [_parallel(search), *_pareto(search)]
    drawn = list(filter(None, drawn))
    if not drawn:
        return ""
    pairs = [drawn[i : i + 2] for i in range(0, len(drawn), 2)]
    above = (
        "Each marker or line is one trial, measured on the validation examples; bars are 95% "
        "intervals."
    )
    if len({trial.label for trial in search.done}) > 1:
        above += (
            " The charts by frozen blocks and by learning rate show only the trials of "
            f"{isolated(search.best.label)}, the architecture of the best trial."
        )
    if search.record.tuner == "hyperband":
        above += (
            " The charts by frozen blocks and by learning rate show only trials that were trained "
            "for as many epochs as the best trial."
        )
    if len(search.done) > DRAWN:
        above += f" The charts show only the best {DRAWN} of {count(len(search.done))} trials."
    return note(above) + "".join(f'<div class="charts">{"".join(pair)}</div>' for pair in pairs)


def _estimate(x: float, trial: Trial) -> Estimate:
    return Estimate(x, trial.accuracy, *(trial.interval or (trial.accuracy, trial.accuracy)))


def _depth_curve(search: Search) -> str:
    best = trials.by_depth(search)
    if len(best) < 2:
        return ""
    others = [
        (trial.share, trial.accuracy)
        for trial in trials.comparable(search)[:DRAWN]
        if trial.share is not None and trial is not best[trial.share]
    ]
    estimates = [_estimate(share, trial) for share, trial in best.items()]
    return search_charts.depth_curve(estimates, others, search.best.head)


def _by_rate(search: Search) -> str:
    if not search.best:
        return ""
    # If only the head is trained, the learning rate has no effect.
    rated = [t for t in trials.comparable(search)[:DRAWN] if t.rate and t.share != 1]
    if len({trial.rate for trial in rated}) < 2:
        return ""
    return search_charts.by_rate(list(_groups(rated)), search.best.head)


def _groups(rated: Sequence[Trial]) -> Iterable[tuple[str, list[tuple[float, float]]]]:
    """Yields for each group of trials its name and one pair (learning rate, accuracy) per trial.

    The trials of a group have the same share of frozen blocks, or, if there are many different
    shares, shares in the same range.
    """
    shares = sorted({t.share for t in rated if t.share is not None})
    bounds = [(share, share) for share in shares]
    if len(shares) >= len(search_charts.POINTS):
        bounds = list(QUARTERS)
    for low, high in bounds:
        name = shortly(low) if low == high else f"{low:g} to {high:g}"
        inside = [t for t in rated if t.share is not None and _is_inside(t.share, low, high)]
        if inside:
            yield name, [(t.rate, t.accuracy) for t in inside]
    if unknown := [(t.rate, t.accuracy) for t in rated if t.share is None]:
        yield "unknown" if bounds else "trials", unknown


def _is_inside(share: float, low: float, high: float) -> bool:
    return share == low if low == high else low <= share < high


def _best_so_far(search: Search, shown: Sequence[Trial]) -> str:
    curve = [(s, 100 * best) for s, best in search.record.curve if is_number(s) and is_number(best)]
    if not curve or len(search.done) < 2:
        return ""
    each = [(t.record.elapsed, 100 * t.accuracy) for t in shown if is_number(t.record.elapsed)]
    end = search.record.seconds
    return search_charts.best_so_far(curve, each, end if is_number(end) else curve[-1][0])


def _parallel(search: Search) -> str:
    shown = [*search.done, *search.others][:DRAWN]
    axes = coordinates.axes(search, shown) if search.best else []
    if len(shown) < 2 or not axes:
        return ""
    known = [trial.accuracy for trial in search.done[:DRAWN]]
    low, high = f"{100 * min(known):.1f}", f"{100 * max(known):.1f}"
    ends = [*(axis.ends for axis in axes), (low if low != high else "", high)]
    places = [axis.places for axis in axes]
    places.append(coordinates.scaled([t.accuracy if t.done else None for t in shown]))
    svg = search_charts.parallel(ends, list(zip(*places, strict=True)))
    legend = [f"{chr(ord('A') + i)} {a.name}: {a.key}" for i, a in enumerate(axes)]
    legend += filter(None, [coordinates.left_out(search, shown)])
    dotted = " Dotted lines are trials that produced no model." if search.others else ""
    legend.append(f"The thick line is the best trial.{dotted}")
    lines = "".join(f"<span>{escape(line)}</span>" for line in legend)
    return f"<figure>{svg}<figcaption>{lines}</figcaption></figure>"


COSTS = {"bytes": ("size, MB", 1e6), "latency_ms": ("latency, ms", 1)}


def _cost(trial: Trial, name: str) -> Maybe[float]:
    value = getattr(trial.record, name)
    return value if is_number(value) else None


def _pareto(search: Search) -> list[str]:
    """Returns charts of accuracy by size and by latency; each point has its number in the table."""
    best, drawn = trials.by_architecture(search), []
    for cost, (title, unit) in COSTS.items():
        points = {
            i: _estimate(_cost(trial, cost) / unit, trial)
            for i, trial in enumerate(best.values(), start=1)
            if trial.done and _cost(trial, cost) is not None
        }
        if len(points) > 1:
            drawn.append(search_charts.pareto(title, points))
    return drawn


def _architectures(search: Search, run: RunFiles) -> str:
    best = trials.by_architecture(search)
    if len(best) < 2 or all(_cost(t, cost) is None for t in best.values() for cost in COSTS):
        return ""
    on_front = {cost: _front(best, cost) for cost in COSTS}
    rows = []
    for i, (label, trial) in enumerate(best.items(), start=1):
        words = [COSTS[cost][0].partition(",")[0] for cost in COSTS if label in on_front[cost]]
        rows.append(
            [
                count(i),
                escape(label or NOTHING),
                _score(trial) if trial.done else escape(trial.record.status),
                megabytes(trial.record.bytes),
                number(trial.record.latency_ms),
                listed(words) or NOTHING,
            ]
        )
    above = (
        "The best trial of each architecture, with the size and the latency of its exported file. "
        "Best trade-off by size: no smaller architecture is at least as accurate. By latency: no "
        "faster architecture is at least as accurate."
    )
    score = results.named_scores(run.task)[run.main][0]
    heads = ["No.", "Architecture", score, "Size", "Latency, ms", "Best trade-off by"]
    return f"<h3>Architectures</h3>{table(above, heads, rows, numeric=(0, 3, 4))}"


def _front(best: dict[str, Trial], cost: str) -> set[str]:
    known = [t for t in best.values() if t.done and _cost(t, cost) is not None]
    points = {trial.label: _estimate(_cost(trial, cost), trial) for trial in known}
    return set(search_charts.front(points))


def _score(trial: Trial) -> str:
    return results.main(trial.task, trial.accuracy, trial.n)


def _table(search: Search, task: str) -> str:
    every = [*search.done, *search.others]
    scores, names = results.named_scores(task), tasks.of(task, "names")
    named = trials.fields(search)
    above = f"{counted(len(every), 'trial')}, the best first"
    above += f"; {ROWS} are shown, all are in result.json." if len(every) > ROWS else "."
    main = scores[names.MAIN][0].lower()
    above += (
        " Frozen up to: the last frozen block. The number below it is the share of blocks that "
        "are frozen; it may differ from fit.freeze, which is rounded to whole blocks. Fine-tuned: "
        f"the {main} of the fine-tuned model. Kept: the weights that the trial chose: head-only "
        "(only the head was trained, on the pretrained backbone), fine-tuned, or mean (the mean of "
        "the weights before and after fine-tuning). "
        f"{scores[names.MAIN][0]}: measured with the kept weights."
    )
    if search.level:
        above += (
            " Tied: the trial may be as good as the best trial, because the paired 95% interval "
            f"of their difference in {main} does not show that the trial is worse."
        )
    columns = ["Trial", *named, "Frozen up to", "Fine-tuned", "Kept"]
    shown = dict.fromkeys((names.MAIN, names.OBJECTIVE))  # one column if they are the same
    columns += [*(scores[name][0] for name in shown), "Time", "Status"]
    rows = [_row(search, trial, named) for trial in every[:ROWS]]
    last = len(columns) - 1
    return f"<h3>Trials</h3>{table(above, columns, rows, numeric=(last - 2, last - 1))}"


def _row(search: Search, trial: Trial, named: Sequence[str]) -> list[str]:
    names, scores = tasks.of(trial.task, "names"), results.named_scores(trial.task)
    record = trial.record
    main, other = scores[names.MAIN][1], []
    if names.OBJECTIVE != names.MAIN:
        other.append(scores[names.OBJECTIVE][1](record.get(names.OBJECTIVE)))
    values = [
        escape(coordinates.written(record.values[name])) if name in record.values else NOTHING
        for name in named
    ]
    return [
        escape(record.trial),
        *values,
        _frozen(trial),
        main(record.finetuned),
        escape(KEPT.get(record.kept, record.kept or NOTHING)),
        _score(trial),
        *other,
        duration(record.seconds),
        _status(search, trial),
    ]


# Which weights a trial kept, for a table; explained above it.
KEPT = {"head": "head-only", "mix": "mean", "finetuned": "fine-tuned", "scratch": "from scratch"}


def _frozen(trial: Trial) -> str:
    if trial.share is None:
        return NOTHING
    where = trial.block if trial.share else "nothing"
    return f"{escape(where or NOTHING)} <small>{shortly(trial.share)}</small>"


def _status(search: Search, trial: Trial) -> str:
    if trial is search.best:
        return '<span class="ok">best</span>'
    if trial.done:
        return "tied" if trial in search.level else "done"
    why = f"<small>{escape(trial.record.why)}</small>" if trial.record.why else ""
    return f'<span class="missed">{escape(trial.record.status)}</span>{why}'
