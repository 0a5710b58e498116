"""The page of a comparison of approaches: which one to take, and the figures behind it."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from tl_keras import tasks
from tl_keras.report.advice.advice import Advice
from tl_keras.report.drawings.markup import escape, table
from tl_keras.report.drawings.search_charts import Estimate, by_examples, by_name, pareto
from tl_keras.report.drawings.words import (
    NOTHING,
    count,
    duration,
    interval,
    is_number,
    isolated,
    listed,
    megabytes,
    number,
    percent,
    points,
)
from tl_keras.report.read import Run
from tl_keras.report.sections import results

NAMES = {
    "scratch": "from scratch",
    "head": "the head alone",
    "finetune": "fine-tuned at the depth of the rule",
    "search": "fine-tuned at the depth that a search picks",
    "full": "all layers fine-tuned",
    "chain": "fine-tuned from an earlier run",
    "cross_validate": "cross-validated",
    "parallel": "students of a teacher, with unlabelled examples",
}
WORTH = 0.01  # Accuracy; less is not worth labelling as many examples again.


def is_one(run: Run) -> bool:
    """Whether a run is a comparison."""
    return run.result.get("pipeline") == "compare"


def title(run: Run, name: str) -> str:
    """An approach in words."""
    own = _approaches(run).get(name, {})
    if name.startswith("backbone_"):
        return f"{own.get('backbone') or name}, fine-tuned"
    return NAMES.get(name, name)


def _approaches(run: Run) -> dict[str, dict[str, Any]]:
    return run.result.get("approaches") or {}


def headline(run: Run) -> str:
    """What is recommended, and how good it is, as one line."""
    best = (run.result.get("recommended") or {}).get("best")
    if not best:
        return "Nothing can be recommended: the approaches share no validation example"
    own = _approaches(run).get(best, {})
    scores = own.get("test") or own.get("val") or {}
    split = "test" if own.get("test") else "validation"
    name, written = _main(run)
    line = tasks.of(run.task, "words").line
    told = line(written(scores.get(name)), f"{count(scores.get('n'))} {split} examples")
    return f"Take {best}: {told} (95% interval {_between(run, scores.get('interval'))})"


def _main(run: Run) -> tuple[str, Callable[[Any], str]]:
    """The task's main metric, and what writes its values."""
    name = tasks.of(run.task, "names").MAIN
    return name, results.named_scores(run.task)[name][1]


def _between(run: Run, pair: Any) -> str:
    """An interval of the main metric, or of a difference of it."""
    if run.counts_right:
        return interval(pair)
    return " to ".join(map(number, pair or ())) or NOTHING


def _difference(run: Run, value: Any) -> str:
    """A difference of the main metric."""
    return points(value) if run.counts_right else number(value)


def what_to_do(run: Run) -> list[Advice]:
    """The recommendation, what speaks against it, and whether more examples would help."""
    return [*_take(run), *_noise(run), *_test(run), *_chain(run), *_learning(run)]


def _take(run: Run) -> list[Advice]:
    found = run.result.get("recommended") or {}
    best, val = found.get("best"), found.get("val") or {}
    if not best:
        return []
    worse = [n for n, d in (val.get("against") or {}).items() if d["interval"][0] > 0]
    beyond = f"; beyond chance better than {listed(worse)}" if worse else ""
    own = _approaches(run).get(best, {})
    why = (
        f"It {tasks.of(run.task, 'words').BEST} on the {count(val.get('n'))} validation examples "
        f"that all answered{beyond}. It took {duration(own.get('training'))} to train."
    )
    return [Advice(f"Take {best}, {title(run, best)}: {run.name}/{best}.", why)]


def _noise(run: Run) -> list[Advice]:
    found = run.result.get("recommended") or {}
    against = (found.get("val") or {}).get("against") or {}
    level = [name for name, d in against.items() if d["interval"][0] <= 0]
    if not level:
        return []
    own = _approaches(run)
    quick = min(level, key=lambda name: own[name].get("training") or math.inf)
    spent = own[quick].get("training"), own[found["best"]].get("training")
    why = f"On validation the difference to {listed(level)} is within noise"
    if all(map(is_number, spent)) and spent[0] < 0.5 * spent[1]:
        difference = against[quick]
        return [
            Advice(
                f"Or take {quick}, which is quicker, as long as nothing more is known.",
                f"{why}; {quick} takes {duration(spent[0])} to train in place of "
                f"{duration(spent[1])}, for {_difference(run, difference['difference'])} (95% "
                f"interval {_between(run, difference['interval'])}).",
            )
        ]
    return [Advice("Measure on more examples before much depends on it.", f"{why}.")]


def _test(run: Run) -> list[Advice]:
    """Where test, which chose nothing, says otherwise."""
    found = run.result.get("recommended") or {}
    test = found.get("test") or {}
    better = {n: d for n, d in (test.get("against") or {}).items() if d["interval"][1] < 0}
    if not better:
        return []
    name = min(better, key=lambda n: better[n]["difference"])
    return [
        Advice(
            f"Doubt it: on test {name} is better.",
            f"By {_difference(run, -better[name]['difference'])} on {count(test.get('n'))} "
            "examples, beyond chance. Validation was too small to see it; who goes by test now "
            "needs new examples to measure on.",
        )
    ]


def _chain(run: Run) -> list[Advice]:
    """What the chain brought over its last step alone."""
    found = run.result.get("chain") or {}
    told = [
        f"{_difference(run, found[split]['difference'])} on {count(found[split]['n'])} {word} "
        f"examples (95% interval {_between(run, found[split]['interval'])})"
        for split, word in (("val", "validation"), ("test", "test"))
        if split in found
    ]
    if not told:
        return []
    low, high = found["val" if "val" in found else "test"]["interval"]
    do = "The chain brings nothing that can be told from chance."
    if low > 0:
        do = "Start from the earlier run: the chain is better."
    elif high < 0:
        do = "Do not start from the earlier run: the chain is worse."
    return [Advice(do, f"Over its last step alone: {' and '.join(told)}.")]


def _learning(run: Run) -> list[Advice]:
    expected = more(run.result.get("learning_curve") or [])
    if not expected or not run.counts_right:
        return []
    n, gain = expected
    if gain < WORTH:
        return [
            Advice(
                "Do not label more for the sake of accuracy.",
                f"As the learning curve of heads goes, twice as many, {count(n)}, would bring "
                f"{points(gain)} on validation.",
            )
        ]
    return [
        Advice(
            f"Label more: up to {count(n)} training examples.",
            f"As the learning curve of heads goes, twice as many would bring {points(gain)} on "
            "validation.",
        )
    ]


def more(curve: Sequence[dict[str, Any]]) -> tuple[int, float] | None:
    """Twice the number of training examples, and what they would bring: by a power law of the
    errors (arXiv 1712.00409), fitted to the curve's points; None of a curve that says nothing."""
    known = [
        (math.log(p["n"]), math.log(1 - p["accuracy"]))
        for p in curve
        if is_number(p.get("accuracy")) and p["accuracy"] < 1
    ]
    if len(known) < 3:
        return None
    x, y = ([pair[i] for pair in known] for i in (0, 1))
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((a - mean_x) ** 2 for a in x)
    slope = sum((a - mean_x) * (b - mean_y) for a, b in known) / spread if spread else 0.0
    last = curve[-1]
    error = 1 - last["accuracy"]
    return 2 * last["n"], max(0.0, error - error * 2 ** min(slope, 0.0))


def approaches(run: Run) -> str:
    """A line for each approach, and charts."""
    own = _approaches(run)
    if not own:
        return ""
    return f"{_charts(run) if run.counts_right else ''}{_table(run)}{_left_out(run)}"


def _charts(run: Run) -> str:
    own = _approaches(run)
    measured = {
        split: {n: _estimate(i, a[split]) for i, (n, a) in enumerate(own.items()) if a.get(split)}
        for split in ("test", "val")
    }
    split = "test" if measured["test"] else "val"
    numbered = dict(enumerate(own.items(), start=1))
    timed = {
        i: _estimate(a["training"], a[split])
        for i, (_, a) in numbered.items()
        if a.get(split) and (a.get("training") or 0) > 0
    }
    drawn = [by_name(measured[split], "validation" if split == "val" else split)]
    drawn.append(pareto("seconds of training", timed) if timed else "")
    if sized := {
        i: _estimate(a["latency_ms"], a[split])
        for i, (_, a) in numbered.items()
        if a.get(split) and is_number(a.get("latency_ms"))
    }:
        drawn.append(pareto("int8 latency, ms", sized))
    drawn.append(by_examples(run.result.get("learning_curve") or []))
    drawn = [svg for svg in drawn if svg]
    pairs = [drawn[i : i + 2] for i in range(0, len(drawn), 2)]
    return "".join(f'<div class="charts">{"".join(pair)}</div>' for pair in pairs)


def _estimate(x: float, scores: dict[str, Any]) -> Estimate:
    return Estimate(x, scores["accuracy"], *scores["interval"])


def _table(run: Run) -> str:
    best, (main, _) = (run.result.get("recommended") or {}).get("best"), _main(run)
    rows = []
    for i, (name, own) in enumerate(_approaches(run).items(), start=1):
        val, test = own.get("val") or {}, own.get("test") or {}
        mark = ' <span class="ok">best</span>' if name == best else ""
        rows.append(
            [
                str(i),
                f"{escape(name)}{mark} <small>{escape(isolated(title(run, name)))}</small>",
                results.main(run.task, val.get(main), val.get("n")),
                results.main(run.task, test.get(main), test.get("n")),
                duration(own.get("training")),
                duration(own.get("to_scratch")),
                count(own.get("parameters")),
                megabytes(own.get("bytes")),
                number(own.get("latency_ms")),
            ]
        )
    above = (
        "Accuracies with 95% intervals. Validation chose depth, epochs and weights of these models "
        "and flatters them; of cross_validate it is of what folds held out, on training examples "
        "too. To scratch: seconds until it was as good on validation as from scratch ever. Size "
        "and latency are of the int8 file. The report of each is in its folder."
    )
    columns = ["No.", "Approach", "Validation", "Test", "Training", "To scratch"]
    columns += ["Parameters", "Size", "Latency, ms"]
    return table(above, columns, rows, numeric=(0, 4, 5, 6, 7, 8))


def _left_out(run: Run) -> str:
    left_out = run.result.get("left_out") or {}
    rows = [[escape(name), escape(why)] for name, why in left_out.items()]
    return table("Not run.", ["Approach", "Why"], rows) if rows else ""


def differences(run: Run) -> str:
    """How the others stand against the one that is recommended, example by example."""
    found = run.result.get("recommended") or {}
    best, parts = found.get("best"), []
    for split, word in (("val", "validation"), ("test", "test")):
        compared = found.get(split) or {}
        rows = [
            [
                f"{escape(best)} against {escape(name)}",
                f"{_difference(run, d['difference'])} "
                f"<small>{_between(run, d['interval'])}</small>",
                f"{count(d['won'])} to {count(d['lost'])}",
                "noise" if d["interval"][0] <= 0 <= d["interval"][1] else "beyond chance",
            ]
            for name, d in (compared.get("against") or {}).items()
        ]
        if rows:
            chose = "chose" if split == "val" else "decided nothing"
            above = f"On the same {count(compared['n'])} {word} examples, which {chose}."
            name = results.named_scores(run.task)[_main(run)[0]][0].lower()
            alone = "Right alone" if run.counts_right else "Better alone"
            columns = ["Approaches", f"Difference in {name}", alone, "Verdict"]
            parts.append(f"<h3>{word.capitalize()}</h3>{table(above, columns, rows)}")
    return "".join(parts)


def ranking(run: Run) -> str:
    """Backbones by what their features say of the labels, before anything was trained."""
    ranked = run.result.get("ranking") or []
    rows = []
    for row in ranked:
        tuned = (_approaches(run).get(str(row.get("approach"))) or {}).get("val") or {}
        rows.append(
            [
                escape(row.get("backbone") or NOTHING),
                number(row.get("logme")),
                percent(row.get("left_out_accuracy")),
                results.main(run.task, tuned.get(_main(run)[0]), tuned.get("n")),
                count(row.get("parameters")),
                duration(row.get("seconds")),
            ]
        )
    if not rows:
        return ""
    above = (
        "Of the features of the training examples, before anything was trained. LogME (arXiv "
        "2102.11005), the higher the better; accuracy of a logistic regression on examples that "
        "it was not fitted on. Beside them what the backbone came to, fine-tuned, on validation."
    )
    columns = ["Backbone", "LogME", "Left out", "Fine-tuned", "Parameters", "Time"]
    return table(above, columns, rows, numeric=(1, 2, 4, 5))


def curve(run: Run) -> str:
    """The learning curve in numbers."""
    points_of = run.result.get("learning_curve") or []
    shown = [
        (key, *told)
        for key, told in results.named_scores(run.task).items()
        if any(key in p for p in points_of)
    ]
    rows = [
        [percent(p.get("share")), count(p.get("n"))]
        + [written(p.get(key)) for key, _, written in shown]
        for p in points_of
    ]
    if not rows:
        return ""
    expected = more(run.result["learning_curve"]) if run.counts_right else None
    said = ""
    if expected:
        said = f" Twice as many, {count(expected[0])}, would bring {points(expected[1])}."
    above = f"Of a head on parts of the training examples, mean of several draws.{said}"
    titles = [name for _, name, _ in shown]
    titles[:1] = [f"Validation {title.lower()}" for title in titles[:1]]
    return table(above, ["Share", "Examples", *titles], rows, range(2 + len(shown)))


SECTIONS = {
    "Approaches": approaches,
    "Differences": differences,
    "Backbones": ranking,
    "Learning curve": curve,
}
