"""The parts of a result on a search."""

from typing import Any

from tl_keras.run.result.part import Interval, Measures, Pair, Part, Seconds


class Depth(Part):
    """Up to where a trial is frozen."""

    share: float
    block: str | None = None
    cut: str | None = None


class TrialRecord(Measures):
    """A trial of a search, measured on validation."""

    trial: str
    values: dict[str, Any]
    seconds: Seconds
    passes: Seconds | None = None  # of `seconds`, in activations that others share
    elapsed: Seconds | None = None  # since the search began
    essence: str | None = None  # Equal ones need not be run twice.
    status: str
    why: str | None = None
    score: float  # by the objective, the more the better
    tuned_score: float | None = None
    interval: Interval | None = None
    n: int | None = None
    label: str | None = None  # of the architecture
    depth: Depth | None = None
    kept: str | None = None
    head: float | None = None  # main metric of the head alone
    finetuned: float | None = None  # the same of the best fine-tuned weights
    left_out: bool | None = None  # No fine-tuning could be chosen over the head.
    saved: Seconds | None = None  # by kept activations
    bytes: float | None = None  # of the exported file
    latency_ms: float | None = None
    behind: Interval | None = None  # 95% interval of the difference from the best


class SearchRecord(Part):
    """A search, its trials in order."""

    tuner: str
    objective: str
    trials: list[TrialRecord]
    best: str
    curve: list[Pair]  # [seconds, best main metric so far]
    level: list[str] | None = None  # trials that cannot be told from the best
    seconds: Seconds | None = None
    saved: Seconds | None = None
    folder: str | None = None  # of the search, where that is not `search`
