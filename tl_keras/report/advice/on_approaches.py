"""Which approach to take, and why: plain text."""

import math
from collections.abc import Sequence

from tl_keras import tasks
from tl_keras.report.advice.advice import Advice
from tl_keras.report.advice.on_files import on_unread
from tl_keras.report.drawings.words import (
    count,
    duration,
    is_number,
    listed,
    points,
)
from tl_keras.report.facts.compared import approaches_of, between, gap, main_metric, title
from tl_keras.report.read import RunFiles
from tl_keras.run.result.comparison import Recommended, Standing
from tl_keras.run.result.part import MainScores

NOWHERE = Standing(n=0, against={})  # Nobody was compared.
WORTH = 0.01  # Accuracy; less is not worth labelling as many examples again.


def headline(run: RunFiles) -> str:
    """What is recommended, and how good it is, as one line."""
    best = run.result.recommended.best if run.result.recommended else None
    if not best:
        return "Nothing can be recommended: the approaches share no validation example"
    own = approaches_of(run).get(best)
    scores = (own.test or own.val if own else None) or MainScores()
    split = "test" if own and own.test else "validation"
    name, written = main_metric(run)
    line = tasks.of(run.task, "words").line
    told = line(written(scores.get(name)), f"{count(scores.n)} {split} examples")
    return f"Take {best}: {told} (95% interval {between(run, scores.interval)})"


def what_to_do(run: RunFiles) -> list[Advice]:
    """The recommendation, what speaks against it, and whether more examples would help."""
    return [*on_unread(run), *_take(run), *_noise(run), *_test(run), *_chain(run), *_learning(run)]


def _take(run: RunFiles) -> list[Advice]:
    found = run.result.recommended or Recommended()
    best, val = found.best, found.val or NOWHERE
    if not best:
        return []
    worse = [name for name, own in val.against.items() if own.interval[0] > 0]
    beyond = f"; beyond chance better than {listed(worse)}" if worse else ""
    own = approaches_of(run).get(best)
    why = (
        f"It {tasks.of(run.task, 'words').BEST} on the {count(val.n)} validation examples "
        f"that all answered{beyond}. It took {duration(own.training if own else None)} to train."
    )
    return [Advice(f"Take {best}, {title(run, best)}: {run.name}/{best}.", why)]


def _noise(run: RunFiles) -> list[Advice]:
    found = run.result.recommended or Recommended()
    against = (found.val or NOWHERE).against
    level = [name for name, own in against.items() if own.interval[0] <= 0]
    if not level:
        return []
    spent = {name: own.training for name, own in approaches_of(run).items()}
    quick = min(level, key=lambda name: spent.get(name) or math.inf)
    why = f"On validation the difference to {listed(level)} is within noise"
    if spent.get(quick, math.inf) < 0.5 * spent.get(found.best, 0):
        other = against[quick]
        return [
            Advice(
                f"Or take {quick}, which is quicker, as long as nothing more is known.",
                f"{why}; {quick} takes {duration(spent[quick])} to train in place of "
                f"{duration(spent[found.best])}, for {gap(run, other.difference)} (95% "
                f"interval {between(run, other.interval)}).",
            )
        ]
    return [Advice("Measure on more examples before much depends on it.", f"{why}.")]


def _test(run: RunFiles) -> list[Advice]:
    """Where test, which chose nothing, says otherwise."""
    test = (run.result.recommended or Recommended()).test or NOWHERE
    better = {name: own for name, own in test.against.items() if own.interval[1] < 0}
    if not better:
        return []
    name = min(better, key=lambda name: better[name].difference)
    return [
        Advice(
            f"Doubt it: on test {name} is better.",
            f"By {gap(run, -better[name].difference)} on {count(test.n)} examples, beyond chance. "
            "Validation was too small to see it; who goes by test now needs new examples to "
            "measure on.",
        )
    ]


def _chain(run: RunFiles) -> list[Advice]:
    """What the chain brought over its last step alone."""
    found = run.result.chain or {}
    told = [
        f"{gap(run, found[split].difference)} on {count(found[split].n)} {word} "
        f"examples (95% interval {between(run, found[split].interval)})"
        for split, word in (("val", "validation"), ("test", "test"))
        if split in found
    ]
    if not told:
        return []
    low, high = found["val" if "val" in found else "test"].interval
    do = "The chain brings nothing that can be told from chance."
    if low > 0:
        do = "Start from the earlier run: the chain is better."
    elif high < 0:
        do = "Do not start from the earlier run: the chain is worse."
    return [Advice(do, f"Over its last step alone: {' and '.join(told)}.")]


def _learning(run: RunFiles) -> list[Advice]:
    expected = more(accuracies(run)) if run.counts_right else None
    if not expected:
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


def accuracies(run: RunFiles) -> list[tuple[int, float]]:
    """The learning curve: training examples, and the main metric of a head on them."""
    curve = [point for point in run.result.learning_curve or [] if point.n > 0]
    return [(point.n, point[run.main]) for point in curve if is_number(point.get(run.main))]


def more(curve: Sequence[tuple[int, float]]) -> tuple[int, float] | None:
    """Twice the number of training examples, and what they would bring: by a power law of the
    errors (arXiv 1712.00409), fitted to the curve's points; None of a curve that says nothing."""
    known = [(math.log(n), math.log(1 - accuracy)) for n, accuracy in curve if accuracy < 1]
    if len(known) < 3:
        return None
    x, y = ([pair[i] for pair in known] for i in (0, 1))
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((a - mean_x) ** 2 for a in x)
    slope = sum((a - mean_x) * (b - mean_y) for a, b in known) / spread if spread else 0.0
    last, accuracy = curve[-1]
    error = 1 - accuracy
    return 2 * last, max(0.0, error - error * 2 ** min(slope, 0.0))
