"""Recommends one of the approaches that `compare` ran, with reasons, as plain text."""

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
    """Returns one line: the recommended approach, its main metric, and the 95% interval."""
    best = run.result.recommended.best if run.result.recommended else None
    if not best:
        return "No approach can be recommended: the approaches share no validation examples"
    record = approaches_of(run).get(best)
    scores = (record.test or record.val if record else None) or MainScores()
    split = "test" if record and record.test else "validation"
    name, written = main_metric(run)
    line = tasks.of(run.task, "words").line
    score = line(written(scores.get(name)), f"{count(scores.n)} {split} examples")
    return f"Use the approach {best}: {score} (95% interval {between(run, scores.interval)})"


def what_to_do(run: RunFiles) -> list[Advice]:
    """Returns advice: which approach to use, reasons to doubt it, and whether to label more."""
    return [*on_unread(run), *_take(run), *_noise(run), *_test(run), *_chain(run), *_learning(run)]


def _take(run: RunFiles) -> list[Advice]:
    recommended = run.result.recommended or Recommended()
    best, val = recommended.best, recommended.val or NOWHERE
    if not best:
        return []
    worse = [name for name, difference in val.against.items() if difference.interval[0] > 0]
    better = ""
    if worse:
        better = f" The lead of {best} over {listed(worse)} is more than chance explains."
    record = approaches_of(run).get(best)
    why = (
        f"The approach {best} {tasks.of(run.task, 'words').BEST} on the {count(val.n)} validation "
        f"examples that all approaches answered.{better} "
        f"Training took {duration(record.training if record else None)} with the approach {best}."
    )
    do = f"Use the approach {best} ({title(run, best)}), in the folder {run.name}/{best}."
    return [Advice(do, why)]


def _noise(run: RunFiles) -> list[Advice]:
    recommended = run.result.recommended or Recommended()
    against = (recommended.val or NOWHERE).against
    undecided = [name for name, difference in against.items() if difference.interval[0] <= 0]
    if not undecided:
        return []
    seconds = {name: record.training for name, record in approaches_of(run).items()}
    fastest = min(undecided, key=lambda name: seconds.get(name) or math.inf)
    why = (
        f"On the validation examples, the lead of {recommended.best} over {listed(undecided)} may "
        "be chance"
    )
    if seconds.get(fastest, math.inf) < 0.5 * seconds.get(recommended.best, 0):
        behind = against[fastest]
        return [
            Advice(
                f"Or use the approach {fastest}, which trains faster and may be as good.",
                f"{why}. Training took {duration(seconds[fastest])} with the approach {fastest}, "
                f"{duration(seconds[recommended.best])} with {recommended.best}. The validation "
                f"score of {fastest} is {gap(run, behind.difference)} lower (95% interval of the "
                f"difference {between(run, behind.interval)}).",
            )
        ]
    do = "Measure the approaches on more examples before you rely on this recommendation."
    return [Advice(do, f"{why}.")]


def _test(run: RunFiles) -> list[Advice]:
    """Returns a warning if, on the test split, an approach clearly beats the recommended one.

    This can happen because only the validation split decides which approach is recommended.
    """
    recommended = run.result.recommended or Recommended()
    test = recommended.test or NOWHERE
    better = {
        name: difference for name, difference in test.against.items() if difference.interval[1] < 0
    }
    if not better:
        return []
    name = min(better, key=lambda name: better[name].difference)
    return [
        Advice(
            f"Doubt this recommendation: on the test split, the approach {name} is better.",
            f"On {count(test.n)} test examples, {name} scores "
            f"{gap(run, -better[name].difference)} higher than {recommended.best}, which is more "
            "than chance explains. The validation split was too small to show this. If you choose "
            "by the test split now, measure the chosen model on new examples.",
        )
    ]


def _chain(run: RunFiles) -> list[Advice]:
    """Returns advice on whether to start training from the earlier run given in `compare.chain`."""
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
    earlier_run = "the earlier run given in compare.chain"
    do = f"It makes no clear difference whether training starts from {earlier_run}."
    if low > 0:
        do = f"Start training from {earlier_run}: this gives a better model."
    elif high < 0:
        do = f"Do not start training from {earlier_run}: this gives a worse model."
    why = "Score of the approach “chain” minus score of the approach “finetune”: "
    return [Advice(do, f"{why}{' and '.join(gains)}.")]


def _learning(run: RunFiles) -> list[Advice]:
    expected = more(accuracies(run)) if run.counts_right else None
    if not expected:
        return []
    n, gain = expected
    val = figures.split_size(run, "val")
    forecast = (
        "The learning curve predicts that twice as many training examples as now, in total "
        f"{count(n)}, raise the validation score by {points(gain)} if only the head is trained"
    )
    if val is not None and val < FEW:
        do = "Set more validation examples aside before you decide whether to label more."
        if gain >= WORTH:
            do = (
                f"Label more examples: the training set should grow to {count(n)}, and the "
                "validation set should grow as well."
            )
        few = f"{counted(val, 'validation example')} {'is' if val == 1 else 'are'} too few"
        return [Advice(do, f"{forecast}, but {few} to rely on this forecast.")]
    if gain < WORTH:
        do = "Do not label more examples: they would hardly raise the accuracy."
        return [Advice(do, f"{forecast}.")]
    return [Advice(f"Label more examples, until the training set has {count(n)}.", f"{forecast}.")]


def accuracies(run: RunFiles) -> list[tuple[int, float]]:
    """Returns the learning curve as points (number of training examples, main metric).

    For each point, only heads were trained, on random parts of this number of examples each. The
    main metric is the mean of the heads' metrics on validation.
    """
    curve = [point for point in run.result.learning_curve or [] if point.n > 0]
    return [(point.n, point[run.main]) for point in curve if is_number(point.get(run.main))]


def more(curve: Sequence[tuple[int, float]]) -> tuple[int, float] | None:
    """Forecasts the gain in accuracy from twice as many training examples.

    The gain comes from a power law of the errors (arXiv 1712.00409), fitted to the points of the
    curve.

    Args:
      curve: points of the learning curve, see `accuracies`.

    Returns:
      (twice the number of training examples, gain in accuracy, 0..1); None if fewer than three
      points have an accuracy below 1.
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
