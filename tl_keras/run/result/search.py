"""The parts of a result about a search."""

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
    """The freeze depth of a trial."""

    share: Share = Field(description="Share of the backbone's blocks that are frozen.")
    block: Maybe[str] = Field(
        None, description="Name of the last frozen block; null if none is frozen."
    )
    cut: Maybe[str] = Field(
        None,
        description="Name of the last frozen layer, whose activations are kept; null if no layer "
        "is frozen.",
    )


class TrialRecord(Measures):
    """One trial of a search, measured on validation.

    A trial also has a field for each metric of the task. For classification it has `wrong` too,
    which lets trials be compared example by example.
    """

    trial: str = Field(description="Name of the trial's folder below search/, such as trial_000.")
    values: dict[str, Any] = Field(
        description="Values of the searched fields, by name, such as fit.freeze."
    )
    seconds: Seconds = Field(description="Time of the trial.")
    passes: Maybe[Seconds] = Field(
        None,
        description="Time to compute activations, which other trials share; included in seconds.",
    )
    elapsed: Maybe[Seconds] = Field(
        None,
        description="Time from the start of the search to the end of the trial, over all sessions.",
    )
    essence: Maybe[str] = Field(
        None,
        description="Key of the trial. Trials that would give the same model have equal keys, and "
        "only the first of them is run.",
    )
    status: str = Field(
        description="done, diverged (the loss is not a number) or over the limit (the exported "
        "file would break a limit of search.objective)."
    )
    why: Maybe[str] = Field(None, description="Why the trial diverged.")
    score: float = Field(
        description="The metric of search.objective; higher is better. If less is better for the "
        "metric, the score is its negative."
    )
    tuned_score: Maybe[float] = Field(
        None,
        description="The score of the best fine-tuned weights, whether they were kept or not.",
    )
    interval: Maybe[Interval] = Field(None, description="95% interval of the main metric.")
    n: Maybe[int] = Field(None, description="Number of validation examples.")
    label: Maybe[str] = Field(
        None, description="The architecture in words: backbone, weights and preparation."
    )
    depth: Maybe[Depth] = Field(
        None, description="The freeze depth. Only for trials that start from trained weights."
    )
    kept: Maybe[str] = Field(None, description="Which weights the trial kept; see model.kept.")
    head: Maybe[float] = Field(None, description="Main metric of the head alone.")
    finetuned: Maybe[float] = Field(
        None,
        description="Main metric of the best fine-tuned weights; null if none were trained.",
    )
    left_out: Maybe[bool] = Field(
        None,
        description="Whether fine-tuning was left out, because not even a model without mistakes "
        "could be shown to be better than the head alone on the validation examples.",
    )
    saved: Maybe[Seconds] = Field(
        None, description="Time that stored activations saved in this trial."
    )
    bytes: Maybe[float] = Field(
        None,
        description="Size of the exported file of format search.format. Only if the objective has "
        "limits or the search has several architectures.",
        json_schema_extra={"unit": "bytes"},
    )
    latency_ms: Maybe[Milliseconds] = Field(
        None, description="Median time for one example with the exported file, on one thread."
    )
    behind: Maybe[Interval] = Field(
        None,
        description="95% interval of the best trial's main metric minus this trial's, paired by "
        "example. null for the best trial.",
    )


class SearchRecord(Part):
    """A search and its trials, in the order in which they were run."""

    tuner: str = Field(description="The tuner; see search.tuner in the config.")
    objective: str = Field(description="The objective; see search.objective in the config.")
    trials: list[TrialRecord] = Field(description="All trials, in order.")
    best: str = Field(description="Name of the best trial, whose model the run keeps.")
    curve: list[Pair] = Field(
        description="Pairs of a time in seconds and the best main metric up to that time."
    )
    level: Maybe[list[str]] = Field(
        None,
        description="Trials that are not clearly worse than the best one: their interval behind "
        "includes 0.",
    )
    seconds: Maybe[Seconds] = Field(None, description="Time of the search over all sessions.")
    saved: Maybe[Seconds] = Field(
        None,
        description="Time that stored activations saved, minus the time to compute them.",
    )
    folder: Maybe[str] = Field(
        None,
        description="Folder of the trials, relative to the run folder. Only if it is not search.",
    )
