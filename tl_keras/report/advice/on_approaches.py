"""Recommends one of the compared approaches, with reasons, as plain text."""

import math
from collections.abc import Sequence

from tl_keras import tasks
from tl_keras.report.advice.advice import Advice
from tl_keras.report.advice.on_files import on_unread
from tl_keras.report.drawings.words import (
    count,
    counted,
    duration,
    is_number,
    listed,
    points,
)
from tl_keras.report.facts import figures
from tl_keras.report.facts.compared import approaches_of, between, gap, main_metric, title
from tl_keras.report.read import RunFiles
from tl_keras.run.result.comparison import Recommended, Standing
from tl_keras.run.result.part import MainScores

NOWHERE = Standing(n=0, against={})  # No approach was compared.
WORTH = 0.01  # accuracy; a smaller gain is not worth labelling twice as many examples
FEW = 100  # validation examples; with fewer, the learning curve cannot show so small a gain


def headline(run: RunFiles) -> str:
    """Returns the recommended approach and its score as one line."""
    best = run.result.recommended.best if run.result.recommended else None
    if not best:
        return "No approach can be recommended: they have no validation examples in common"
    record = approaches_of(run).get(best)
    scores = (record.test or record.val if record else None) or MainScores()
    split = "test" if record and record.test else "validation"
    name, written = main_metric(run)
    line = tasks.of(run.task, "words").line
    score = line(written(scores.get(name)), f"{count(scores.n)} {split} examples")
    return f"Use {best}: {score} (95% interval {between(run, scores.interval)})"


def what_to_do(run: RunFiles) -> list[Advice]:
    """Returns the recommendation, reasons to doubt it, and whether more labels would help."""
    return [*on_unread(run), *_take(run), *_noise(run), *_test(run), *_chain(run), *_learning(run)]


def _take(run: RunFiles) -> list[Advice]:
    recommended = run.result.recommended or Recommended()
    best, val = recommended.best, recommended.val or NOWHERE
    if not best:
        return []
    worse = [name for name, difference in val.against.items() if difference.interval[0] > 0]
    beyond = f", and better than {listed(worse)} beyond chance" if worse else ""
    record = approaches_of(run).get(best)
    why = (
        f"It {tasks.of(run.task, 'words').BEST} on the {count(val.n)} validation examples that all "
        f"approaches answered{beyond}. "
        f"Training took {duration(record.training if record else None)}."
    )
    do = f"Use the approach {best} ({title(run, best)}), in the folder {run.name}/{best}."
    return [Advice(do, why)]


def _noise(run: RunFiles) -> list[Advice]:
    recommended = run.result.recommended or Recommended()
    against = (recommended.val or NOWHERE).against
    level = [name for name, difference in against.items() if difference.interval[0] <= 0]
    if not level:
        return []
    spent = {name: record.training for name, record in approaches_of(run).items()}
    quick = min(level, key=lambda name: spent.get(name) or math.inf)
    why = f"On the validation examples, the difference from {listed(level)} may be chance"
    if spent.get(quick, math.inf) < 0.5 * spent.get(recommended.best, 0):
        behind = against[quick]
        return [
            Advice(
                f"Or use {quick}, which trains faster and may be as good.",
                f"{why}. Training {quick} takes {duration(spent[quick])} instead of "
                f"{duration(spent[recommended.best])}; its score is "
                f"{gap(run, behind.difference)} lower (95% interval "
                f"{between(run, behind.interval)}).",
            )
        ]
    do = "Measure on more examples before you rely on this recommendation."
    return [Advice(do, f"{why}.")]


def _test(run: RunFiles) -> list[Advice]:
    """Returns a warning if the test split, which chose nothing, shows another approach ahead."""
    test = (run.result.recommended or Recommended()).test or NOWHERE
    better = {
        name: difference for name, difference in test.against.items() if difference.interval[1] < 0
    }
    if not better:
        return []
    name = min(better, key=lambda name: better[name].difference)
    return [
        Advice(
            f"Doubt this recommendation: on the test split {name} is better.",
            f"{name} is ahead by {gap(run, -better[name].difference)} on {count(test.n)} test "
            "examples, which is beyond chance. The validation split was too small to show it. If "
            "you choose by the test split now, measure the chosen model on new examples.",
        )
    ]


def _chain(run: RunFiles) -> list[Advice]:
    """Returns whether it helps to start from the earlier run, `compare.chain`."""
    chain = run.result.chain or {}
    gains = [
        f"{gap(run, chain[split].difference)} on {count(chain[split].n)} {word} "
        f"examples (95% interval {between(run, chain[split].interval)})"
        for split, word in (("val", "validation"), ("test", "test"))
        if split in chain
    ]
    if not gains:
        return []
    low, high = chain["val" if "val" in chain else "test"].interval
    do = "It makes no clear difference whether you start from the earlier run (compare.chain)."
    if low > 0:
        do = "Start from the earlier run (compare.chain): the chain is better."
    elif high < 0:
        do = "Do not start from the earlier run (compare.chain): the chain is worse."
    return [Advice(do, f"chain against finetune: {' and '.join(gains)}.")]


def _learning(run: RunFiles) -> list[Advice]:
    expected = more(accuracies(run)) if run.counts_right else None
    if not expected:
        return []
    n, gain = expected
    val = figures.split_size(run, "val")
    forecast = (
        f"The learning curve of the head predicts {points(gain)} more on validation from twice as "
        f"many training examples ({count(n)})"
    )
    if val is not None and val < FEW:
        do = "Set more validation examples aside before you decide whether to label more."
        if gain >= WORTH:
            do = f"Label more: up to {count(n)} training examples, and more validation examples."
        few = f"{counted(val, 'validation example')} {'is' if val == 1 else 'are'} too few"
        return [Advice(do, f"{forecast}, but {few} to rely on that.")]
    if gain < WORTH:
        return [Advice("Do not label more for the sake of accuracy.", f"{forecast}.")]
    return [Advice(f"Label more: up to {count(n)} training examples.", f"{forecast}.")]


def accuracies(run: RunFiles) -> list[tuple[int, float]]:
    """Returns the learning curve: numbers of training examples, and a head's main metric."""
    curve = [point for point in run.result.learning_curve or [] if point.n > 0]
    return [(point.n, point[run.main]) for point in curve if is_number(point.get(run.main))]


def more(curve: Sequence[tuple[int, float]]) -> tuple[int, float] | None:
    """Returns twice the number of training examples, and the accuracy that they would add.

    The gain comes from a power law of the errors (arXiv 1712.00409), fitted to the points of the
    curve. Returns None if fewer than three points have errors.
    """
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
