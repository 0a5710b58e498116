"""Which approach to take, and why: plain text."""

import math
from collections.abc import Sequence
from typing import Any

from tl_keras import tasks
from tl_keras.report.advice.piece import Advice
from tl_keras.report.drawings.words import (
    count,
    duration,
    is_number,
    listed,
    points,
)
from tl_keras.report.facts.compared import approaches_of, between, gap, main_metric, title
from tl_keras.report.read import RunFiles

WORTH = 0.01  # Accuracy; less is not worth labelling as many examples again.


def headline(run: RunFiles) -> str:
    """What is recommended, and how good it is, as one line."""
    best = (run.result.get("recommended") or {}).get("best")
    if not best:
        return "Nothing can be recommended: the approaches share no validation example"
    own = approaches_of(run).get(best, {})
    scores = own.get("test") or own.get("val") or {}
    split = "test" if own.get("test") else "validation"
    name, written = main_metric(run)
    line = tasks.of(run.task, "words").line
    told = line(written(scores.get(name)), f"{count(scores.get('n'))} {split} examples")
    return f"Take {best}: {told} (95% interval {between(run, scores.get('interval'))})"


def what_to_do(run: RunFiles) -> list[Advice]:
    """The recommendation, what speaks against it, and whether more examples would help."""
    return [*_take(run), *_noise(run), *_test(run), *_chain(run), *_learning(run)]


def _take(run: RunFiles) -> list[Advice]:
    found = run.result.get("recommended") or {}
    best, val = found.get("best"), found.get("val") or {}
    if not best:
        return []
    worse = [n for n, d in (val.get("against") or {}).items() if d["interval"][0] > 0]
    beyond = f"; beyond chance better than {listed(worse)}" if worse else ""
    own = approaches_of(run).get(best, {})
    why = (
        f"It {tasks.of(run.task, 'words').BEST} on the {count(val.get('n'))} validation examples "
        f"that all answered{beyond}. It took {duration(own.get('training'))} to train."
    )
    return [Advice(f"Take {best}, {title(run, best)}: {run.name}/{best}.", why)]


def _noise(run: RunFiles) -> list[Advice]:
    found = run.result.get("recommended") or {}
    against = (found.get("val") or {}).get("against") or {}
    level = [name for name, d in against.items() if d["interval"][0] <= 0]
    if not level:
        return []
    own = approaches_of(run)
    quick = min(level, key=lambda name: own[name].get("training") or math.inf)
    spent = own[quick].get("training"), own[found["best"]].get("training")
    why = f"On validation the difference to {listed(level)} is within noise"
    if all(map(is_number, spent)) and spent[0] < 0.5 * spent[1]:
        difference = against[quick]
        return [
            Advice(
                f"Or take {quick}, which is quicker, as long as nothing more is known.",
                f"{why}; {quick} takes {duration(spent[0])} to train in place of "
                f"{duration(spent[1])}, for {gap(run, difference['difference'])} (95% "
                f"interval {between(run, difference['interval'])}).",
            )
        ]
    return [Advice("Measure on more examples before much depends on it.", f"{why}.")]


def _test(run: RunFiles) -> list[Advice]:
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
            f"By {gap(run, -better[name]['difference'])} on {count(test.get('n'))} "
            "examples, beyond chance. Validation was too small to see it; who goes by test now "
            "needs new examples to measure on.",
        )
    ]


def _chain(run: RunFiles) -> list[Advice]:
    """What the chain brought over its last step alone."""
    found = run.result.get("chain") or {}
    told = [
        f"{gap(run, found[split]['difference'])} on {count(found[split]['n'])} {word} "
        f"examples (95% interval {between(run, found[split]['interval'])})"
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


def _learning(run: RunFiles) -> list[Advice]:
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
