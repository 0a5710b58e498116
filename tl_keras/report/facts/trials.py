"""The trials of a search, ranked, with what a page computes of them."""

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
    """One trial. What lies outside its range, as in a file that somebody edited, is None."""

    record: TrialRecord
    task: str

    @cached_property
    def accuracy(self) -> Maybe[float]:
        """The task's main metric: of classes the share of validation examples that are right."""
        return self._possible(self.record.get(tasks.of(self.task, "names").MAIN))

    @property
    def done(self) -> bool:
        """Whether it came to a model."""
        return self.record.status == DONE and self.accuracy is not None

    @property
    def n(self) -> Maybe[int]:
        """Validation examples that it was measured on."""
        return self.record.n if self.record.n and self.record.n > 0 else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95%, of the main metric."""
        if not self.done or not self.n:
            return None
        return tasks.of(self.task, "metrics").interval_of(self.accuracy, self.n)

    @property
    def rate(self) -> Maybe[float]:
        """Its learning rate; None where none was searched."""
        rate = self.record.values.get(RATE)
        return rate if is_number(rate) and rate > 0 else None

    @property
    def label(self) -> str:
        """Its architecture."""
        return self.record.label or ""

    @property
    def share(self) -> Maybe[float]:
        """The share of blocks that are frozen, 1 where all are."""
        depth = self.record.depth
        return depth.share if depth and 0 <= depth.share <= 1 else None

    @property
    def block(self) -> str:
        """Up to where it is frozen."""
        depth = self.record.depth
        return (depth.block or depth.cut or "") if depth else ""

    @property
    def is_head(self) -> bool:
        """Whether its model is the head alone, on the backbone as it was."""
        return self.record.kept == "head" or self.share == 1

    @property
    def head(self) -> Maybe[float]:
        """The main metric of the head alone."""
        return self._possible(self.record.head)

    @cached_property
    def noted(self) -> dict[str, Any]:
        """What `choice.behind` of the task compares; nothing where it does not fit."""
        return tasks.of(self.task, "choice").checked(self.record, self.n)

    def _possible(self, value: float | None) -> float | None:
        low, high = tasks.of(self.task, "names").RANGE
        return value if is_number(value) and low <= value <= high else None


@dataclass(frozen=True, eq=False)
class Search:
    """A search of which at least one trial is known."""

    record: SearchRecord
    metric: str  # of the task, the one that decided
    done: list[Trial]  # that came to a model, the best first
    others: list[Trial]
    level: list[Trial]  # that cannot be told from the best

    @property
    def best(self) -> Maybe[Trial]:
        """The trial whose model the run's is."""
        return self.done[0] if self.done else None

    @property
    def size(self) -> int:
        """How many trials there were."""
        return len(self.done) + len(self.others)


def searched(run: RunFiles) -> Search | None:
    """What the run searched; None where it did not."""
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
        level=[trial for trial, found in behind_best if found and found.low <= 0],
    )


def _ranked(done: list[Trial], best: str) -> list[Trial]:
    """The best first, of equals the one frozen deeper, as the search itself ranks them."""

    def rank(trial: Trial) -> tuple:
        own = trial.record
        score = own.score if is_number(own.score) else -math.inf
        return own.trial != best, -score, -(trial.share or 0), own.trial

    return sorted(done, key=rank)


@dataclass(frozen=True)
class Behind:
    """How far a trial's main metric lies behind another's, on the same examples: 95%."""

    difference: float
    low: float
    high: float


def behind(best: Trial, other: Trial) -> Maybe[Behind]:
    """How far `other` lies behind `best`; None where nobody noted how each example was answered."""
    if not best.noted or not other.noted:
        return None
    found = tasks.of(best.task, "choice").behind(best.record, other.record)
    return Behind(*found) if found else None


def comparable(search: Search, others: bool = False) -> list[Trial]:
    """The trials of the best one's architecture, the best first: a share of it means one depth.

    Of Hyperband's those of as many epochs as the best, or if that has none, of the most: short
    ones say little of longer ones.

    Args:
      others: those that came to nothing instead.
    """
    best = search.best
    same = [trial for trial in (*search.done, *search.others) if trial.label == best.label]
    if search.record.tuner == "hyperband":
        numbers = [e for t in same if t.share != 1 and is_number(e := t.record.values.get(EPOCHS))]
        epochs = max(numbers, default=None) if best.share == 1 else best.record.values.get(EPOCHS)
        # Where all is frozen none are trained.
        same = [t for t in same if t.share == 1 or t.record.values.get(EPOCHS) == epochs]
    return [trial for trial in same if trial.done != others]


def by_depth(search: Search) -> dict[float, Trial]:
    """The best trial of each depth of the best trial's architecture, by rising share."""
    found: dict[float, Trial] = {}
    for trial in comparable(search) if search.best else ():
        if trial.share is not None:
            found.setdefault(trial.share, trial)
    return dict(sorted(found.items()))


def by_architecture(search: Search) -> dict[str, Trial]:
    """The best trial of each architecture, the best first; last those without a model."""
    found: dict[str, Trial] = {}
    for trial in (*search.done, *search.others):
        found.setdefault(trial.label, trial)
    return found


def fields(search: Search) -> list[str]:
    """The searched fields, in the order of the trials' values."""
    every = (*search.done, *search.others)
    return list(dict.fromkeys(name for trial in every for name in trial.record.values))


def shortly(value: float) -> str:
    """A share or a rate in as many digits as one would write: 0.78, 0.00021, 1."""
    return f"{value:.2g}"
