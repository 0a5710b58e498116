"""The parts of a result on a search."""

from typing import Any

from tl_keras.run.result.part import Interval, Maybe, Measures, Pair, Part, Seconds


class Depth(Part):
    """Up to where a trial is frozen."""

    share: float
    block: Maybe[str] = None
    cut: Maybe[str] = None


class TrialRecord(Measures):
    """A trial of a search, measured on validation."""

    trial: str
    values: dict[str, Any]
    seconds: Seconds
    passes: Maybe[Seconds] = None  # of `seconds`, in activations that others share
    elapsed: Maybe[Seconds] = None  # since the search began
    essence: Maybe[str] = None  # Equal ones need not be run twice.
    status: str
    why: Maybe[str] = None
    score: float  # by the objective, the more the better
    tuned_score: Maybe[float] = None
    interval: Maybe[Interval] = None
    n: Maybe[int] = None
    label: Maybe[str] = None  # of the architecture
    depth: Maybe[Depth] = None
    kept: Maybe[str] = None
    head: Maybe[float] = None  # main metric of the head alone
    finetuned: Maybe[float] = None  # the same of the best fine-tuned weights
    left_out: Maybe[bool] = None  # No fine-tuning could be chosen over the head.
    saved: Maybe[Seconds] = None  # by kept activations
    bytes: Maybe[float] = None  # of the exported file
    latency_ms: Maybe[float] = None
    behind: Maybe[Interval] = None  # 95% interval of the difference from the best


class SearchRecord(Part):
    """A search, its trials in order."""

    tuner: str
    objective: str
    trials: list[TrialRecord]
    best: str
    curve: list[Pair]  # [seconds, best main metric so far]
    level: Maybe[list[str]] = None  # trials that cannot be told from the best
    seconds: Maybe[Seconds] = None
    saved: Maybe[Seconds] = None
    folder: Maybe[str] = None  # of the search, where that is not `search`
