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

    It also has all metrics of the task. For classification it has `wrong` too, which lets trials be
    compared example by example.
    """

    trial: str = Field(description="Name of the trial's folder below search/, such as trial_000.")
    values: dict[str, Any] = Field(
        description="Values of the searched fields, by name, as in fit.freeze."
    )
    seconds: Seconds = Field(description="Time of the trial.")
    passes: Maybe[Seconds] = Field(
        None,
        description="Part of seconds that went into activations, which other trials share.",
    )
    elapsed: Maybe[Seconds] = Field(
        None, description="Time since the search began, over all sessions, when the trial ended."
    )
    essence: Maybe[str] = Field(
        None,
        description="A text that is equal for trials that would come to the same model; of these "
        "only the first is run.",
    )
    status: str = Field(
        description="done, diverged (the loss is not a number) or over the limit (the exported "
        "file would break a limit of search.objective)."
    )
    why: Maybe[str] = Field(None, description="Why the trial diverged.")
    score: float = Field(
        description="The metric of search.objective, with its sign turned where less is better; "
        "higher is better."
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
    kept: Maybe[str] = Field(None, description="Which weights the trial kept, as in model.kept.")
    head: Maybe[float] = Field(None, description="Main metric of the head alone.")
    finetuned: Maybe[float] = Field(
        None,
        description="Main metric of the best fine-tuned weights; null where none were trained.",
    )
    left_out: Maybe[bool] = Field(
        None,
        description="Whether fine-tuning was left out, because the head alone is so good that "
        "nothing could be chosen over it.",
    )
    saved: Maybe[Seconds] = Field(
        None, description="Time that kept activations saved in this trial."
    )
    bytes: Maybe[float] = Field(
        None,
        description="Size of the exported file of format search.format. Only where the objective "
        "has limits or the search has several architectures.",
        json_schema_extra={"unit": "bytes"},
    )
    latency_ms: Maybe[Milliseconds] = Field(
        None, description="Median time for one example with that file, on one thread."
    )
    behind: Maybe[Interval] = Field(
        None,
        description="95% interval of the main metric of the best trial minus that of this one, "
        "paired by example. null for the best trial.",
    )


class SearchRecord(Part):
    """A search and its trials, in the order in which they were run."""

    tuner: str = Field(description="The tuner, as in search.tuner.")
    objective: str = Field(description="The objective, as in search.objective.")
    trials: list[TrialRecord] = Field(description="All trials, in order.")
    best: str = Field(description="Name of the best trial. The run has the model of this trial.")
    curve: list[Pair] = Field(
        description="Pairs of the time in seconds and the best main metric until then."
    )
    level: Maybe[list[str]] = Field(
        None,
        description="Trials that cannot be told from the best: the interval behind includes 0.",
    )
    seconds: Maybe[Seconds] = Field(None, description="Time of the search over all sessions.")
    saved: Maybe[Seconds] = Field(
        None,
        description="Time that kept activations saved, less the time to compute them.",
    )
    folder: Maybe[str] = Field(
        None, description="Folder of the trials below the run folder, if it is not search."
    )
