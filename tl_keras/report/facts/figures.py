"""Facts that sections and advice share: the reported split, counts, intervals, epochs."""

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

# Stages of metrics.jsonl whose records are epochs, with their titles. Records of the stage "head"
# are regularisation strengths instead.
STAGES = {
    "finetune": "Fine-tuning",
    "scratch": "Training from scratch",
    "pretrain": "Pre-training",
}
TIMED = 50  # timed runs of an export; latency is their median
WIDE = 0.2  # A score with a wider interval says little.
DECIDABLE = 0.05  # A difference whose interval reaches further may matter, even if it includes 0.


def measured(run: RunFiles, split: str) -> Maybe[Scores]:
    """Returns the scores of a split, "test" or "val"; None if the run did not measure it."""
    return {"test": run.result.test, "val": run.result.val}.get(split)


def scored(run: RunFiles) -> tuple[str, Maybe[Scores]]:
    """Returns the reported split and its scores: test if measured, else val, else ("", None)."""
    for split in ("test", "val"):
        if scores := measured(run, split):
            return split, scores
    return "", None


def predicted(run: RunFiles) -> tuple[str, list[Prediction]]:
    """Returns the reported split and its predictions.

    The list is empty for tasks such as regression, whose answers are not simply right or wrong.
    """
    split = scored(run)[0] or next((p.split for p in run.predictions), "")
    counted = run.predictions if run.counts_right else []
    return split, [p for p in counted if p.split == split]


def intervals(run: RunFiles, split: str) -> dict[str, list[float]]:
    """Returns a dict from the name of each score of a split to its 95% interval.

    The interval of the main metric comes from result.json, the others from bootstrapping.
    """
    examples = [(p.label, p.prediction, p.likelihood) for p in run.predictions if p.split == split]
    scores, drawn = measured(run, split), tasks.of(run.task, "intervals").bootstrap(examples)
    return {**drawn, **({run.main: scores.interval} if scores else {})}


def is_of_folds(run: RunFiles, split: str) -> bool:
    """Returns True if the models of the folds gave the answers on a split, not the final model."""
    return run.holds_out and split == "val"


def split_size(run: RunFiles, split: str) -> int | None:
    """Returns the number of examples in a split; None if it is not known."""
    size = getattr(run.result.data, split) if run.result.data else None
    if size is None and run.data.get("splits"):
        size = len(run.data["splits"].get(split) or [])
    return size


def unread_test(run: RunFiles) -> int:
    """Returns how many test examples a search has set aside unused; 0 for other commands.

    A search must not read its test split, because no decision may depend on it.
    """
    is_unread = run.result.pipeline == "search" and not run.result.test
    return (split_size(run, "test") or 0) if is_unread else 0


def quarantined(run: RunFiles) -> list[dict]:
    """Returns the quarantined files, each with `file` and `reason`."""
    return run.data.get("quarantined") or []


def strengths(run: RunFiles) -> list[dict]:
    """Returns the records of the head in metrics.jsonl: one per regularisation strength tried."""
    return [record for record in run.records if record.get("stage") == "head"]


def epochs(run: RunFiles) -> list[dict]:
    """Returns the records of epochs in metrics.jsonl, in order."""
    return [record for record in run.records if record.get("stage") in STAGES]


def exports(run: RunFiles) -> dict[str, Exported]:
    """Returns a dict from each exported format to the measurements of its file."""
    return run.result.export or {}


def passed(export: Exported) -> bool:
    """Returns True if an exported file passed its comparison with the model."""
    return export.status == "ok"


def to_ship(run: RunFiles) -> tuple[Shipped, Exported] | None:
    """Returns the shipped file and the measurements of its format; None if no file is shipped."""
    shipped = run.result.shipped
    export = exports(run).get(shipped.format) if shipped else None
    return (shipped, export) if export else None


def share_right(run: RunFiles, scores: Measured | Mapping[str, Any] | None) -> Maybe[float]:
    """Returns the share of right answers; None if unknown or for tasks such as regression."""
    share = scores.get(run.main) if scores and run.counts_right else None
    return share if is_number(share) and 0 <= share <= 1 else None


def examples(run: RunFiles, export: Exported) -> int | None:
    """Returns on how many examples the exported file (if unknown: the model) was measured."""
    scores = scored(run)[1]
    return scores.n if export.n is None and scores else export.n


def right(run: RunFiles, export: Exported) -> "Share | None":
    """Returns how many answers of an exported file are right; None if this was not measured."""
    share, n = share_right(run, export), examples(run, export)
    return Share(round(share * n), n) if share is not None and n and n > 0 else None


def paired(won: int, lost: int, n: int) -> list[float] | None:
    """Returns the 95% interval of a difference of the shares of right answers of two models.

    The difference is the first model's share minus the second's. `won` counts the examples that
    only the first model answers correctly, `lost` those that only the second does. Returns None for
    impossible counts, which an edited file may hold.
    """
    return paired_interval(won, lost, n) if min(won, lost) >= 0 < n >= won + lost else None


def median(export: Exported | None) -> float | None:
    """Returns the median latency of an exported file in milliseconds; None if not timed."""
    return export.latency_ms.median if export and export.latency_ms else None


def classes(run: RunFiles) -> dict[str, Any]:
    """Returns a dict from each class name to its scores; empty for tasks such as regression."""
    scores = scored(run)[1]
    return scores["classes"] if scores and run.counts_right else {}


def majority(run: RunFiles) -> Maybe[tuple[str, float]]:
    """Returns the largest class and its share, which is the accuracy of always answering it."""
    sizes = {name: record.n for name, record in classes(run).items()}
    if not sum(sizes.values()):
        return None
    name = max(sizes, key=lambda name: sizes[name])
    return name, sizes[name] / sum(sizes.values())


@dataclass(frozen=True)
class Constant:
    """The scores, on one split, that always giving the same answer would reach."""

    name: str  # the largest class
    share: float  # accuracy of always answering it
    log_loss: float  # of always giving the shares of the classes, in nats


def constant(run: RunFiles, split: str) -> Constant | None:
    """Returns the scores of always giving the same answer; None if class sizes are unknown."""
    scores = measured(run, split)
    known = scores["classes"] if scores and run.counts_right else {}
    sizes = {name: record.n for name, record in known.items() if record.n > 0}
    total = sum(sizes.values())
    if not total:
        return None
    name = max(sizes, key=lambda name: sizes[name])
    shares = [n / total for n in sizes.values()]
    return Constant(name, sizes[name] / total, -sum(share * math.log(share) for share in shares))


def against_majority(run: RunFiles) -> str:
    """Compares the model with always giving the most frequent answer, which needs no model.

    Returns:
      "better", also if no comparison is possible; "open", if there are too few examples to tell;
      "trade", if the model is not right more often but recognises other classes too; "chance", if
      the model is not shown to be better in any way.
    """
    largest, scores = majority(run), scored(run)[1]
    if not largest or not all(map(is_number, scores.interval)) or scores.interval[0] > largest[1]:
        return "better"
    low, high = scores.interval
    if high - low > WIDE and high > largest[1]:
        return "open"
    return "trade" if _finds_other_classes(run) else "chance"


def _finds_other_classes(run: RunFiles) -> bool:
    """Returns True if the mean recall is clearly above that of always giving the same answer."""
    known = [rate.recall for rate in rates(run) if rate.recall.n]
    # The normal interval with one right and one wrong answer added to each class, because 0 or n
    # of n is not a certainty.
    shares = [(recall.right + 1) / (recall.n + 2) for recall in known]
    spread = [s * (1 - s) / (r.n + 2) for s, r in zip(shares, known, strict=True)]
    return sum(shares) - 1.96 * math.sqrt(sum(spread)) > 1


def counts(run: RunFiles) -> tuple[list[str], Counter]:
    """Returns the class names in order of the run's files, and counts by (label, prediction)."""
    names = list(classes(run) or run.data.get("classes") or [])
    confusion = scored(run)[1]["confusion"] if classes(run) else []
    sizes = [len(row) for row in confusion]
    if confusion and sizes == [len(names)] * len(names) and min(map(min, confusion)) >= 0:
        cells = zip(names, confusion, strict=True)
        return names, Counter(
            {(t, p): n for t, row in cells for p, n in zip(names, row, strict=True) if n}
        )
    counted = Counter((p.label, p.prediction) for p in predicted(run)[1])
    seen = dict.fromkeys(name for pair in sorted(counted) for name in pair)
    return (list(dict.fromkeys([*names, *seen])) if counted else []), counted


def pairs(run: RunFiles) -> list[tuple[str, str, int]]:
    """Returns the mistakes as (label, prediction, number of times), the most frequent first."""
    wrong = [(label, guess, n) for (label, guess), n in counts(run)[1].items() if label != guess]
    return sorted(wrong, key=lambda pair: (-pair[2], pair[0], pair[1]))


@dataclass(frozen=True)
class Share:
    """A number of right answers out of `n`, with its 95% interval."""

    right: int
    n: int

    @property
    def value(self) -> Maybe[float]:
        """The share of right answers; None if `n` is 0."""
        return self.right / self.n if self.n else None

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95% interval of the share."""
        return wilson(self.right, self.n)


@dataclass(frozen=True)
class Rate:
    """Recall and precision of a class."""

    name: str
    recall: Share
    precision: Share


def rates(run: RunFiles) -> list[Rate]:
    """Returns recall and precision of each class."""
    names, cells = counts(run)
    labels: Counter[str] = Counter()
    predictions: Counter[str] = Counter()
    for (label, prediction), n in cells.items():
        labels[label] += n
        predictions[prediction] += n
    return [
        Rate(
            name,
            recall=Share(cells[name, name], labels[name]),
            precision=Share(cells[name, name], predictions[name]),
        )
        for name in names
    ]


def weakest(run: RunFiles) -> Rate | None:
    """Returns the class with the lowest recall; None if this is not below the overall accuracy."""
    known = [rate for rate in rates(run) if rate.recall.n]
    total = sum(rate.recall.n for rate in known)
    if len(known) < 2:
        return None
    lowest = min(known, key=lambda rate: rate.recall.value)
    share = sum(rate.recall.right for rate in known) / total
    return lowest if lowest.recall.value < share else None


def weak(run: RunFiles) -> list[Rate]:
    """Returns the classes with a recall clearly below the accuracy, the lowest recall first."""
    known = [rate for rate in rates(run) if rate.recall.n]
    overall = share_right(run, scored(run)[1])
    if overall is None:
        return []
    # Uses the exact binomial, because Wilson's interval is too narrow for two or three examples and
    # a small tail. The tail is small because every class is tested (Bonferroni).
    tail = 0.025 / max(len(known), 1)
    below = [r for r in known if stats.binom.cdf(r.recall.right, r.recall.n, overall) < tail]
    return sorted(below, key=lambda rate: rate.recall.value)
