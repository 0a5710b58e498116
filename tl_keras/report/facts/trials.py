"""Ranks the trials of a search, and computes facts from them."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tl_keras import tasks
from tl_keras.maybe import Maybe
from tl_keras.report.drawings.words import is_number
from tl_keras.report.read import RunFiles
from tl_keras.run.result.search import SearchRecord, TrialRecord
from tl_keras.run.run import DONE

EPOCHS = "fit.epochs"
RATE = "fit.learning_rate"


@dataclass(frozen=True, eq=False)
class Trial:
    """One trial of a search. A value outside its range, as in an edited file, is None."""

    record: TrialRecord
    task: str

    @cached_property
    def accuracy(self) -> Maybe[float]:
        """The task's main metric on validation; for classification the share of right answers."""
        return self._possible(self.record.get(tasks.of(self.task, "names").MAIN))

    @property
    def done(self) -> bool:
        """Whether the trial produced a model."""
        return self.record.status == DONE and self.accuracy is not None

    @property
    def n(self) -> Maybe[int]:
        """The number of validation examples."""
        return self.record.n if self.record.n and self.record.n > 0 else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95% interval of the main metric."""
        if not self.done or not self.n:
            return None
        return tasks.of(self.task, "metrics").interval_of(self.accuracy, self.n)

    @property
    def rate(self) -> Maybe[float]:
        """The learning rate; None if it was not searched."""
        rate = self.record.values.get(RATE)
        return rate if is_number(rate) and rate > 0 else None

    @property
    def label(self) -> str:
        """The name of the trial's architecture."""
        return self.record.label or ""

    @property
    def share(self) -> Maybe[float]:
        """The share of frozen blocks, 0..1."""
        depth = self.record.depth
        return depth.share if depth and 0 <= depth.share <= 1 else None

    @property
    def block(self) -> str:
        """The name of the last frozen block; if unknown, of the last frozen layer; else ""."""
        depth = self.record.depth
        return (depth.block or depth.cut or "") if depth else ""

    @property
    def is_head(self) -> bool:
        """Whether only the head of the model was trained, on the pretrained backbone."""
        return self.record.kept == "head" or self.share == 1

    @property
    def head(self) -> Maybe[float]:
        """The main metric of the head-only model on validation."""
        return self._possible(self.record.head)

    @cached_property
    def answers(self) -> dict[str, Any]:
        """The record of which answers are wrong, for paired comparisons; empty if invalid.

        The task's `choice.noted` made it.
        """
        return tasks.of(self.task, "choice").checked(self.record, self.n)

    def _possible(self, value: float | None) -> float | None:
        low, high = tasks.of(self.task, "names").RANGE
        return value if is_number(value) and low <= value <= high else None


@dataclass(frozen=True, eq=False)
class Search:
    """A search with at least one trial."""

    record: SearchRecord
    metric: str  # the task's metric that ranked the trials
    done: list[Trial]  # trials that produced a model, the best first
    others: list[Trial]  # trials without a model
    level: list[Trial]  # trials that are not shown to be worse than the best

    @property
    def best(self) -> Maybe[Trial]:
        """The trial whose model the run kept."""
        return self.done[0] if self.done else None

    @property
    def size(self) -> int:
        """The number of trials."""
        return len(self.done) + len(self.others)


def searched(run: RunFiles) -> Search | None:
    """Returns the run's search; None if there was none."""
    record, known = run.result.search, tasks.of(run.task, "names").METRICS
    every = [Trial(trial, run.task) for trial in record.trials] if record else []
    if not every:
        return None
    metric = record.objective.partition(" subject to ")[0].strip()
    done = _ranked([trial for trial in every if trial.done], record.best)
    behind_best = [(trial, behind(done[0], trial)) for trial in done[1:]]
    return Search(
        record=record,
        metric=metric if metric in known else known[0],
        done=done,
        others=[trial for trial in every if not trial.done],
        level=[trial for trial, distance in behind_best if distance and distance.low <= 0],
    )


def _ranked(done: list[Trial], best: str) -> list[Trial]:
    """Returns the trials as the search ranks them, the best first.

    Of trials with equal scores, those with more frozen blocks come first.
    """

    def rank(trial: Trial) -> tuple:
        record = trial.record
        score = record.score if is_number(record.score) else -math.inf
        return record.trial != best, -score, -(trial.share or 0), record.trial

    return sorted(done, key=rank)


@dataclass(frozen=True)
class Behind:
    """How much worse a trial is than another, on the same examples."""

    difference: float  # main metric of the other trial minus main metric of this trial
    low: float  # lower end of the paired 95% interval of the difference
    high: float  # upper end


def behind(best: Trial, other: Trial) -> Maybe[Behind]:
    """Returns how much worse `other` is than `best`; None if their answers were not recorded."""
    if not best.answers or not other.answers:
        return None
    distance = tasks.of(best.task, "choice").behind(best.record, other.record)
    return Behind(*distance) if distance else None


def comparable(search: Search, others: bool = False) -> list[Trial]:
    """Returns the trials with the same architecture as the best trial, the best trial first.

    Shares of frozen blocks are only comparable within an architecture. Of a Hyperband search, the
    function returns only trials with as many epochs as the best trial, or with the most epochs if
    the best trial trained none, because short trials say little about longer ones.

    Args:
      search: the search.
      others: True for the trials that produced no model, False for those that did.
    """
    best = search.best
    same = [trial for trial in (*search.done, *search.others) if trial.label == best.label]
    if search.record.tuner == "hyperband":
        numbers = [e for t in same if t.share != 1 and is_number(e := t.record.values.get(EPOCHS))]
        epochs = max(numbers, default=None) if best.share == 1 else best.record.values.get(EPOCHS)
        # If everything is frozen, no epoch is trained.
        same = [t for t in same if t.share == 1 or t.record.values.get(EPOCHS) == epochs]
    return [trial for trial in same if trial.done != others]


def by_depth(search: Search) -> dict[float, Trial]:
    """Returns the best of the `comparable` trials for each share of frozen blocks.

    The keys are the shares, 0..1, in rising order.
    """
    best: dict[float, Trial] = {}
    for trial in comparable(search) if search.best else ():
        if trial.share is not None:
            best.setdefault(trial.share, trial)
    return dict(sorted(best.items()))


def by_architecture(search: Search) -> dict[str, Trial]:
    """Returns a dict from the name of each architecture to its best trial.

    The architecture of the best trial comes first; those that produced no model come last.
    """
    best: dict[str, Trial] = {}
    for trial in (*search.done, *search.others):
        best.setdefault(trial.label, trial)
    return best


def fields(search: Search) -> list[str]:
    """Returns the names of the searched config fields, in the order in which trials list them."""
    every = (*search.done, *search.others)
    return list(dict.fromkeys(name for trial in every for name in trial.record.values))


def shortly(value: float) -> str:
    """Returns a share or a learning rate with two significant digits: 0.78, 0.00021, 1."""
    return f"{value:.2g}"
