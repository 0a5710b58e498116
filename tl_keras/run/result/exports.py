"""The parts of a result about exported files."""

from pydantic import Field

from tl_keras.maybe import Maybe
from tl_keras.run.result.part import Bytes, Interval, Measures, Milliseconds, Part, Share


class Latency(Part):
    """The time that a file takes for one example, from repeated runs on this machine."""

    median: Milliseconds = Field(description="Median over the runs.")
    p95: Maybe[Milliseconds] = Field(None, description="Time that 95% of the runs do not exceed.")
    least: Maybe[Milliseconds] = Field(None, description="Time of the fastest run.")
    threads: Maybe[int] = Field(None, description="Number of threads that the file ran on.")


class FileLoss(Measures):
    """What a file loses against model.keras on the validation examples.

    For classification it has the measure `accuracy`, that of the file.
    """

    lost: float = Field(
        description="Main metric of model.keras minus that of the file; below 0 the file is better."
    )
    interval: Interval = Field(description="95% interval of lost, paired by example.")
    agreement: Share = Field(
        description="Share of examples for which the file and model.keras give the same answer."
    )
    moved: Share = Field(
        description="How far the answers of the file are from those of model.keras. For "
        "classification: the probability that moves to other classes, mean over the examples."
    )
    n: int = Field(description="Number of examples.")
    on: str = Field(description="Which examples these are, in words.")


class RepairStep(Part):
    """One attempt to repair a quantised file, measured on validation."""

    kept: int = Field(description="Number of operators that stay float in this attempt.")
    lost: float = Field(description="Main metric that the file loses, as in val.lost.")
    agreement: Share = Field(description="Share of equal answers, as in val.agreement.")
    moved: Share = Field(description="How far answers move, as in val.moved.")


class Repair(Part):
    """How a quantised file was repaired: operators that quantisation harms most stay float."""

    kept: list[str] = Field(
        description="Layers whose operators stay float, the most harmful to quantise first."
    )
    bytes: Bytes = Field(description="By how much the file grew.")
    steps: list[RepairStep] = Field(description="The attempts, in order.")


class Abstaining(Measures):
    """What the output `abstain` of a file does on the test examples (`export.abstain`).

    For classification it has the measure `accuracy`, of the examples on which the file decides;
    null if it decides on none.
    """

    coverage: Share = Field(
        description="Share of examples whose right class is among the classes that the model does "
        "not rule out."
    )
    interval: Interval = Field(description="95% interval of the coverage.")
    answered: Share = Field(
        description="Share of examples on which the file decides: abstain is 0."
    )
    n: int = Field(description="Number of test examples.")


class Exported(Measures):
    """One exported file or folder of `export/`, loaded again and measured.

    For classification it has the measure `accuracy`. The measures are of the test split, or of
    validation without a test split.
    """

    path: str = Field(description="Path of the file or folder below the run folder.")
    bytes: Bytes = Field(description="Size of the file, or of all files of the folder.")
    status: str = Field(
        description="ok, or by how much the file misses its tolerance. A file that is not ok has "
        ".rejected in its name."
    )
    interval: Maybe[Interval] = Field(None, description="95% interval of the main metric.")
    agreement: Maybe[Share] = Field(
        None,
        description="Share of examples for which the file and model.keras give the same answer.",
    )
    max_abs_diff: Maybe[float] = Field(
        None,
        description="Largest difference between an answer of the file and that of model.keras; "
        "for classification of a probability.",
    )
    n: Maybe[int] = Field(None, description="Number of examples that the measures are of.")
    val: Maybe[FileLoss] = Field(
        None, description="What the file loses on validation, by which it is judged."
    )
    undecided: Maybe[int] = Field(
        None,
        description="Number of validation examples, where these are too few to tell whether the "
        "file keeps its tolerance.",
    )
    repair: Maybe[Repair] = Field(
        None, description="How the file was repaired. Only for quantised files that needed it."
    )
    abstain: Maybe[Abstaining] = Field(
        None, description="What the output abstain does on test. Only with export.abstain."
    )
    latency_ms: Maybe[Latency] = Field(
        None,
        description="Time for one example on one thread. null for files that are not LiteRT files.",
    )
    latency_all_ms: Maybe[Latency] = Field(
        None, description="Time for one example on all cores. Only for LiteRT files."
    )
    arena_bytes: Maybe[Bytes] = Field(
        None,
        description="Memory for activations while the file runs on LiteRT's own kernels. null "
        "where it cannot be told.",
    )
    operators: Maybe[dict[str, int]] = Field(
        None, description="Number of operators of each kind. Only for LiteRT files."
    )
    float_operators: Maybe[dict[str, int]] = Field(
        None,
        description="Number of operators of each kind that compute with floats. Only for int8 and "
        "int16x8.",
    )


class OnFiles(Measures):
    """The shipped file, run on the original files of test by `export/device/predict.py`.

    For classification it has the measure `accuracy`.
    """

    interval: Maybe[Interval] = Field(None, description="95% interval of the main metric.")
    agreement: Share = Field(
        description="Share of examples for which the answer is the same as on the examples as "
        "training prepares them."
    )
    max_abs_diff: Maybe[float] = Field(
        None, description="Largest difference of an answer between the two preparations."
    )
    n: int = Field(description="Number of examples.")
    identical: Share = Field(
        description="Share of examples whose prepared values are the same in both, bit for bit."
    )


class Shipped(Part):
    """The file to ship, `export/model.tflite`."""

    format: Maybe[str] = Field(
        description="The format that model.tflite is a copy of; null if no file is within the "
        "limits, or none is a LiteRT file."
    )
    status: str = Field(description="ok, or why no file can be shipped.")
    path: Maybe[str] = Field(None, description="Path of the file below the run folder.")
    device: Maybe[OnFiles] = Field(
        None,
        description="The file as a device runs it, from the original files. Only for data that "
        "are files.",
    )

    @property
    def reason(self) -> str:
        """Why no file can be shipped, without what to do about it; "" if the status is ok."""
        return "" if self.status == "ok" else self.status.partition(". ")[0]
