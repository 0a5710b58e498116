"""The parts of `result.json` about a search."""

from typing import Any

from pydantic import Field

from tl_keras.maybe import Maybe
from tl_keras.run.result.part import (
    Interval,
    Measures,
    Milliseconds,
    Pair,
    Part,
    Seconds,
    Share,
)


class Depth(Part):
    """The freeze depth of a trial: which part of the backbone is frozen."""

    share: Share = Field(description="Share of the backbone's blocks that are frozen.")
    block: Maybe[str] = Field(
        None, description="Name of the last frozen block; null if none is frozen."
    )
    cut: Maybe[str] = Field(
        None,
        description="Name of the last frozen layer, whose activations may be stored on disk; null "
        "if no layer is frozen.",
    )


class TrialRecord(Measures):
    """One trial of a search, measured on validation.

    Each metric of the task is a further field. For classification, a trial also has `wrong`, the
    positions of the validation examples that its model answers wrongly, so that trials can be
    compared example by example.
    """

    trial: str = Field(description="Name of the trial's folder below search/, such as trial_000.")
    values: dict[str, Any] = Field(
        description="The trial's values of the searched fields, by name of the field, such as "
        "fit.freeze."
    )
    seconds: Seconds = Field(description="Time of the trial.")
    passes: Maybe[Seconds] = Field(
        None,
        description="The part of `seconds` that was spent on computing activations. Later trials "
        "can reuse these activations.",
    )
    elapsed: Maybe[Seconds] = Field(
        None,
        description="Duration of the search up to the end of the trial, over all sessions (starts "
        "of the command).",
    )
    essence: Maybe[str] = Field(
        None,
        description="Identifier of the model that the trial's values lead to. Trials that would "
        "give the same model have equal identifiers, and only the first of them is run.",
    )
    status: str = Field(
        description="`done`, `diverged` (the loss is not a number) or `over the limit` (the "
        "exported file would exceed a limit of search.objective)."
    )
    why: Maybe[str] = Field(None, description="Why the trial diverged.")
    score: float = Field(
        description="Value of the metric of search.objective; higher is better. A metric for which "
        "lower is better, such as log_loss, is multiplied by -1."
    )
    tuned_score: Maybe[float] = Field(
        None,
        description="The `score` that the best fine-tuned weights have, even if the trial's model "
        "is the head-only model.",
    )
    interval: Maybe[Interval] = Field(None, description="95% interval of the main metric.")
    n: Maybe[int] = Field(None, description="Number of validation examples.")
    label: Maybe[str] = Field(
        None,
        description="The architecture in words: the backbone, its weights, and how examples are "
        "prepared for it.",
    )
    depth: Maybe[Depth] = Field(
        None, description="The freeze depth. Only for trials that start from pretrained weights."
    )
    kept: Maybe[str] = Field(
        None,
        description="Which weights became the trial's model, such as `head` or `finetuned`; see "
        "model.kept.",
    )
    head: Maybe[float] = Field(None, description="Main metric of the head-only model.")
    finetuned: Maybe[float] = Field(
        None,
        description="Main metric of the best fine-tuned weights; null if nothing was fine-tuned.",
    )
    left_out: Maybe[bool] = Field(
        None,
        description="Whether fine-tuning was skipped, because the head-only model is so good that "
        "no fine-tuned weights could be chosen instead.",
    )
    saved: Maybe[Seconds] = Field(
        None,
        description="Estimated time that the trial gained by reading stored activations instead of "
        "computing them.",
    )
    bytes: Maybe[float] = Field(
        None,
        description="Size of the exported file of format search.format. Only if the objective has "
        "limits or the search has several architectures.",
        json_schema_extra={"unit": "bytes"},
    )
    latency_ms: Maybe[Milliseconds] = Field(
        None,
        description="Median time for one example with the exported file of format search.format, "
        "on one thread. Only if the field `bytes` is present.",
    )
    behind: Maybe[Interval] = Field(
        None,
        description="95% interval of the difference between the main metrics of the best trial and "
        "this trial (best minus this), paired by example. null for the best trial.",
    )


class SearchRecord(Part):
    """A search and its trials, in the order in which they were run."""

    tuner: str = Field(
        description="The tuner that proposed the trials; see search.tuner in the config."
    )
    objective: str = Field(
        description="The objective by which the best trial was picked; see search.objective in the "
        "config."
    )
    trials: list[TrialRecord] = Field(description="All trials, in order.")
    best: str = Field(
        description="Name of the best trial, whose model became the model of the run."
    )
    curve: list[Pair] = Field(
        description="Progress of the search: pairs of the time since its start, in seconds, and "
        "the best main metric of the trials up to that time."
    )
    level: Maybe[list[str]] = Field(
        None,
        description="Names of the other trials that are not clearly worse than the best trial: the "
        "lower end of the interval in their field `behind` is not above 0.",
    )
    seconds: Maybe[Seconds] = Field(
        None, description="Duration of the search over all sessions (starts of the command)."
    )
    saved: Maybe[Seconds] = Field(
        None,
        description="Estimated time that all trials gained by reading stored activations, minus "
        "the time to compute these activations; at least 0.",
    )
    folder: Maybe[str] = Field(
        None,
        description="Folder with the trials' folders, relative to the run folder. Only if this "
        "folder is not `search`.",
    )
