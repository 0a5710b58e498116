"""The trials of a search, checked: what is missing or odd is None or empty, and costs no report."""

import math
from dataclasses import dataclass, field
from typing import Any

from tl_keras import tasks
from tl_keras.report.drawings.words import is_number
from tl_keras.report.read import RunFiles
from tl_keras.run.run import DONE

EPOCHS = "fit.epochs"
RATE = "fit.learning_rate"


@dataclass(frozen=True)
class Trial:
    """One trial. Scores are those of validation; a share is of blocks, 1 where all are frozen."""

    name: str
    values: dict[str, Any]  # by field
    status: str
    why: str  # it came to nothing
    label: str  # its architecture
    share: float | None
    block: str
    kept: str  # which weights
    scores: dict[str, float]  # by metric of the task
    score: float | None  # the higher, the better
    n: int | None
    noted: dict[str, Any]  # what `choice.behind` of the task compares
    head: float | None  # main metric of the head alone
    tuned: float | None  # main metric of the fine-tuned weights, kept or not
    left_out: bool  # fine-tuning: it could not have been chosen over the head
    seconds: float | None
    elapsed: float | None
    bytes: float | None
    latency: float | None  # ms
    task: str

    @property
    def accuracy(self) -> float | None:
        """The task's main metric: of classes the share of validation examples that are right."""
        return self.scores.get(tasks.of(self.task, "names").MAIN)

    @property
    def done(self) -> bool:
        """Whether it came to a model."""
        return self.status == DONE and self.accuracy is not None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95%, of the main metric."""
        if not self.done or not self.n:
            return None
        return tasks.of(self.task, "metrics").interval_of(self.accuracy, self.n)

    @property
    def rate(self) -> float | None:
        """Its learning rate; None where none was searched."""
        rate = self.values.get(RATE)
        return rate if is_number(rate) and rate > 0 else None

    @property
    def is_head(self) -> bool:
        """Whether its model is the head alone, on the backbone as it was."""
        return self.kept == "head" or self.share == 1


@dataclass(frozen=True)
class Search:
    """A search of which at least one trial is known."""

    tuner: str
    objective: str
    metric: str  # of the task, the one that decided
    done: list[Trial]  # that came to a model, the best first
    others: list[Trial]
    curve: list[tuple[float, float]]  # seconds, highest accuracy so far
    seconds: float | None
    saved: float | None  # seconds, by kept activations
    level: list[Trial] = field(default_factory=list)  # that cannot be told from the best

    @property
    def best(self) -> Trial | None:
        """The trial whose model the run's is."""
        return self.done[0] if self.done else None

    @property
    def size(self) -> int:
        """How many trials there were."""
        return len(self.done) + len(self.others)


def searched(run: RunFiles) -> Search | None:
    """What the run searched; None where it did not."""
    told, known = _mapping(run.result.get("search")), tasks.of(run.task, "names").METRICS
    records = [record for record in _list(told.get("trials")) if isinstance(record, dict)]
    every = [_trial(record, run.task) for record in records]
    if not every:
        return None
    objective = _text(told.get("objective"))
    metric = objective.partition(" subject to ")[0].strip()
    metric = metric if metric in known else known[0]
    done = _ranked([trial for trial in every if trial.done], told.get("best"), metric)
    behind_best = [(trial, behind(done[0], trial)) for trial in done[1:]]
    return Search(
        tuner=_text(told.get("tuner")),
        objective=objective,
        metric=metric,
        done=done,
        others=[trial for trial in every if not trial.done],
        curve=[tuple(p) for p in _list(told.get("curve")) if _is_pair(p)],
        seconds=_number(told, "seconds"),
        saved=_number(told, "saved"),
        level=[trial for trial, found in behind_best if found and found.low <= 0],
    )


def _trial(record: dict, task: str) -> Trial:
    names, depth = tasks.of(task, "names"), _mapping(record.get("depth"))
    main = record.get(names.MAIN) if is_possible(record.get(names.MAIN), task) else None
    scores = {**{k: _number(record, k) for k in names.METRICS}, names.MAIN: main}
    n = record.get("n") if type(record.get("n")) is int and record["n"] > 0 else None
    status = DONE if main is not None else "unknown"
    return Trial(
        name=_text(record.get("trial")),
        values=_mapping(record.get("values")),
        status=_text(record.get("status")) or status,
        why=_text(record.get("why")),
        label=_text(record.get("label")),
        share=depth["share"] if _is_share(depth.get("share")) else None,
        block=_text(depth.get("block") or depth.get("cut")),
        kept=_text(record.get("kept")),
        scores={name: value for name, value in scores.items() if value is not None},
        score=_number(record, "score"),
        n=n,
        noted=tasks.of(task, "choice").checked(record, n),
        head=record["head"] if is_possible(record.get("head"), task) else None,
        tuned=record["finetuned"] if is_possible(record.get("finetuned"), task) else None,
        left_out=record.get("left_out") is True,
        seconds=_number(record, "seconds"),
        elapsed=_number(record, "elapsed"),
        bytes=_number(record, "bytes"),
        latency=_number(record, "latency_ms"),
        task=task,
    )


def _ranked(done: list[Trial], best: Any, metric: str) -> list[Trial]:
    """The best first, of equals the one frozen deeper, as the search itself ranks them."""

    def rank(trial: Trial) -> tuple:
        score = trial.score
        if score is None:
            known = metric in trial.scores
            turned = tasks.of(trial.task, "metrics").score
            score = turned(trial.scores, metric) if known else -math.inf
        return trial.name != best, -score, -(trial.share or 0), trial.name

    return sorted(done, key=rank)


@dataclass(frozen=True)
class Behind:
    """How far a trial's main metric lies behind another's, on the same examples: 95%."""

    difference: float
    low: float
    high: float


def behind(best: Trial, other: Trial) -> Behind | None:
    """How far `other` lies behind `best`; None where nobody noted how each example was answered."""
    found = tasks.of(best.task, "choice").behind(best.noted, other.noted)
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
    if search.tuner == "hyperband":
        numbers = [e for t in same if t.share != 1 and is_number(e := t.values.get(EPOCHS))]
        epochs = max(numbers, default=None) if best.share == 1 else best.values.get(EPOCHS)
        # Where all is frozen none are trained.
        same = [t for t in same if t.share == 1 or t.values.get(EPOCHS) == epochs]
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
    return list(dict.fromkeys(name for trial in every for name in trial.values))


def shortly(value: float) -> str:
    """A share or a rate in as many digits as one would write: 0.78, 0.00021, 1."""
    return f"{value:.2g}"


def _mapping(value: Any) -> dict:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _number(record: dict, key: str) -> float | None:
    return record[key] if is_number(record.get(key)) else None


def is_possible(value: Any, task: str) -> bool:
    """Whether a value may be one of a task's main metric."""
    low, high = tasks.of(task, "names").RANGE
    return is_number(value) and low <= value <= high


def _is_share(value: Any) -> bool:
    return is_number(value) and 0 <= value <= 1


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(is_number, value))
