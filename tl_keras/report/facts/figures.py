"""What the sections and the advice ask of a run: the split it is judged on, counts, stages."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scipy import stats

from tl_keras import tasks
from tl_keras.maybe import Maybe
from tl_keras.report.drawings.words import is_number
from tl_keras.report.read import Prediction, RunFiles
from tl_keras.run.result.exports import Exported, Shipped
from tl_keras.run.result.part import Measured, Scores
from tl_keras.tasks.shares import paired_interval, wilson

# Stages of metrics.jsonl whose records are epochs, in words. Those of the stage "head" are
# strengths of regularisation.
STAGES = {"finetune": "Fine-tuning", "scratch": "Training from scratch"}
BINS = 10
SURE = 0.9  # From this probability on the model counts as sure.
MISTAKES = 12
TIMED = 50  # Runs of an export, of which the median latency is.
WIDE = 0.2  # Width of an interval, over which a score says little.
DECIDABLE = 0.05  # A difference of shares that may be larger is not known to be noise.


def measured(run: RunFiles, split: str) -> Maybe[Scores]:
    """The scores of test or val; None of a split that was not measured."""
    return {"test": run.result.test, "val": run.result.val}.get(split)


def scored(run: RunFiles) -> tuple[str, Maybe[Scores]]:
    """The split that the report is about and its scores: test if there is one."""
    for split in ("test", "val"):
        if scores := measured(run, split):
            return split, scores
    return "", None


def predicted(run: RunFiles) -> tuple[str, list[Prediction]]:
    """The split that the report is about and its predictions; none that are not right or wrong."""
    split = scored(run)[0] or next((p.split for p in run.predictions), "")
    counted = run.predictions if run.counts_right else []
    return split, [p for p in counted if p.split == split]


def intervals(run: RunFiles, split: str) -> dict[str, list[float]]:
    """95% intervals of a split's scores, by name; that of the main metric is the run's own."""
    examples = [(p.label, p.prediction, p.likelihood) for p in run.predictions if p.split == split]
    scores, drawn = measured(run, split), tasks.of(run.task, "intervals").bootstrap(examples)
    return {**drawn, **({run.main: scores.interval} if scores else {})}


def split_size(run: RunFiles, split: str) -> int | None:
    """Examples of a split; None if nobody counted them."""
    size = getattr(run.result.data, split) if run.result.data else None
    if size is None and run.data.get("splits"):
        size = len(run.data["splits"].get(split) or [])
    return size


def unread_test(run: RunFiles) -> int:
    """Examples of a test split that a search left alone, since nothing of it may decide."""
    left_alone = run.result.pipeline == "search" and not run.result.test
    return (split_size(run, "test") or 0) if left_alone else 0


def quarantined(run: RunFiles) -> list[dict]:
    """The files left out, each with `file` and `reason`."""
    return run.data.get("quarantined") or []


def strengths(run: RunFiles) -> list[dict]:
    """The head's records: strengths of regularisation, in the order they were tried."""
    return [record for record in run.records if record.get("stage") == "head"]


def epochs(run: RunFiles) -> list[dict]:
    """The records that are epochs, in order."""
    return [record for record in run.records if record.get("stage") in STAGES]


def exports(run: RunFiles) -> dict[str, Exported]:
    """What was measured of each exported format."""
    return run.result.export or {}


def passed(export: Exported) -> bool:
    """Whether an export held its tolerance."""
    return export.status == "ok"


def to_ship(run: RunFiles) -> tuple[Shipped, Exported] | None:
    """`export/model.tflite`, and the measurements of the format that validation chose for it."""
    shipped = run.result.shipped
    export = exports(run).get(shipped.format) if shipped else None
    return (shipped, export) if export else None


def share_right(run: RunFiles, scores: Measured | Mapping[str, Any] | None) -> Maybe[float]:
    """The share of right answers among scores; None of other tasks, or where nobody knows it."""
    share = scores.get(run.main) if scores and run.counts_right else None
    return share if is_number(share) and 0 <= share <= 1 else None


def examples(run: RunFiles, export: Exported) -> int | None:
    """How many examples an export was measured on: those of the model where it does not say."""
    scores = scored(run)[1]
    return scores.n if export.n is None and scores else export.n


def right(run: RunFiles, export: Exported) -> "Share | None":
    """How many examples an export has right, if that was measured."""
    share, n = share_right(run, export), examples(run, export)
    return Share(round(share * n), n) if share is not None and n and n > 0 else None


def paired(won: int, lost: int, n: int) -> list[float] | None:
    """The 95% interval of a difference of shares, paired by example; None of counts that cannot be,
    as in a file that somebody edited."""
    return paired_interval(won, lost, n) if min(won, lost) >= 0 < n >= won + lost else None


def median(export: Exported | None) -> float | None:
    """Milliseconds an example, of an export that was timed."""
    return export.latency_ms.median if export and export.latency_ms else None


def classes(run: RunFiles) -> dict[str, Any]:
    """The scores of each class; none of a task whose answers are not right or wrong."""
    scores = scored(run)[1]
    return scores["classes"] if scores and run.counts_right else {}


def majority(run: RunFiles) -> Maybe[tuple[str, float]]:
    """The largest class of the split, and its share: what always answering it would get right."""
    sizes = {name: own.n for name, own in classes(run).items()}
    if not sum(sizes.values()):
        return None
    name = max(sizes, key=lambda name: sizes[name])
    return name, sizes[name] / sum(sizes.values())


def against_majority(run: RunFiles) -> str:
    """How it stands against always giving the most frequent answer, which needs no model.

    "better", also where nobody can compare; "open", too few examples to tell; "trade", not right
    more often, but other classes are found too; "chance".
    """
    largest, scores = majority(run), scored(run)[1]
    if not largest or not all(map(is_number, scores.interval)) or scores.interval[0] > largest[1]:
        return "better"
    low, high = scores.interval
    if high - low > WIDE and high > largest[1]:
        return "open"
    return "trade" if _finds_other_classes(run) else "chance"


def _finds_other_classes(run: RunFiles) -> bool:
    """Whether the mean recall is shown to lie over that of one answer to all."""
    known = [rate.recall for rate in rates(run) if rate.recall.n]
    # The normal interval after a right and a wrong answer more of each class: 0 and n of n are
    # no certainty.
    shares = [(recall.right + 1) / (recall.n + 2) for recall in known]
    spread = [s * (1 - s) / (r.n + 2) for s, r in zip(shares, known, strict=True)]
    return sum(shares) - 1.96 * math.sqrt(sum(spread)) > 1


def counts(run: RunFiles) -> tuple[list[str], Counter]:
    """The class names in their order and how often (true, predicted) occurred."""
    names = list(classes(run) or run.data.get("classes") or [])
    confusion = scored(run)[1]["confusion"] if classes(run) else []
    sizes = [len(row) for row in confusion]
    if confusion and sizes == [len(names)] * len(names) and min(map(min, confusion)) >= 0:
        cells = zip(names, confusion, strict=True)
        return names, Counter(
            {(t, p): n for t, row in cells for p, n in zip(names, row, strict=True) if n}
        )
    found = Counter((p.label, p.prediction) for p in predicted(run)[1])
    seen = dict.fromkeys(name for pair in sorted(found) for name in pair)
    return (list(dict.fromkeys([*names, *seen])) if found else []), found


def pairs(run: RunFiles) -> list[tuple[str, str, int]]:
    """(true, taken for, times) of the mistakes, the most frequent first."""
    wrong = [(true, taken, n) for (true, taken), n in counts(run)[1].items() if true != taken]
    return sorted(wrong, key=lambda pair: (-pair[2], pair[0], pair[1]))


@dataclass(frozen=True)
class Share:
    """So many of `n`, with its 95% interval."""

    right: int
    n: int

    @property
    def value(self) -> Maybe[float]:
        """The share; None of nothing."""
        return self.right / self.n if self.n else None

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's."""
        return wilson(self.right, self.n)


@dataclass(frozen=True)
class Rate:
    """How a class does: how much of it is found, how many of its predictions are right."""

    name: str
    recall: Share
    precision: Share


def rates(run: RunFiles) -> list[Rate]:
    """Recall and precision of each class, counted."""
    names, found = counts(run)
    true: Counter[str] = Counter()
    taken: Counter[str] = Counter()
    for (label, prediction), n in found.items():
        true[label] += n
        taken[prediction] += n
    return [Rate(n, Share(found[n, n], true[n]), Share(found[n, n], taken[n])) for n in names]


def weakest(run: RunFiles) -> Rate | None:
    """The class with the lowest recall, if it lies below that of all examples together."""
    known = [rate for rate in rates(run) if rate.recall.n]
    total = sum(rate.recall.n for rate in known)
    if len(known) < 2:
        return None
    lowest = min(known, key=lambda rate: rate.recall.value)
    share = sum(rate.recall.right for rate in known) / total
    return lowest if lowest.recall.value < share else None


def weak(run: RunFiles) -> list[Rate]:
    """The classes that are shown to be found less often than all together, the weakest first."""
    known = [rate for rate in rates(run) if rate.recall.n]
    overall = share_right(run, scored(run)[1])
    if overall is None:
        return []
    # By the binomial itself: Wilson's interval is too narrow for two or three examples and a small
    # tail. Small, since all classes are looked at to pick these (Bonferroni).
    tail = 0.025 / max(len(known), 1)
    below = [r for r in known if stats.binom.cdf(r.recall.right, r.recall.n, overall) < tail]
    return sorted(below, key=lambda rate: rate.recall.value)


@dataclass(frozen=True)
class Bin:
    """Predictions of about one confidence: how many of them are right."""

    confidence: float  # mean
    right: Share


def bins(run: RunFiles) -> list[Bin]:
    """Predictions by confidence, in `BINS` steps of equal width; those without any left out."""
    grouped: dict[int, list[Prediction]] = {}
    for prediction in predicted(run)[1]:
        if is_number(prediction.probability):
            # Open below and closed above, as in the calibration error.
            step = math.ceil(prediction.probability * BINS) - 1
            grouped.setdefault(min(max(step, 0), BINS - 1), []).append(prediction)
    return [
        Bin(
            sum(p.probability for p in members) / len(members),
            Share(sum(p.label == p.prediction for p in members), len(members)),
        )
        for _, members in sorted(grouped.items())
    ]


def sure(run: RunFiles) -> Share:
    """Of the predictions that the model is sure of, how many are right."""
    some = [p for p in predicted(run)[1] if p.probability >= SURE]
    return Share(sum(p.label == p.prediction for p in some), len(some))


def worst(run: RunFiles) -> list[Prediction]:
    """The most confident mistakes, as many as are shown."""
    return wrong(run)[:MISTAKES]


def wrong(run: RunFiles) -> list[Prediction]:
    """The mistakes, the most confident first."""
    return sorted((p for p in predicted(run)[1] if p.prediction != p.label), key=_doubt)


def _doubt(prediction: Prediction) -> float:
    return -prediction.probability if is_number(prediction.probability) else 1.0
