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
    """How much worse a file is than model.keras on the validation examples.

    For classification it has the measure `accuracy`, the accuracy of the file.
    """

    lost: float = Field(
        description="Main metric of model.keras minus main metric of the file; below 0, the file "
        "is better."
    )
    interval: Interval = Field(description="95% interval of the field lost, paired by example.")
    agreement: Share = Field(
        description="Share of examples for which the file and model.keras give the same answer."
    )
    moved: Share = Field(
        description="How far the answers of the file are from the answers of model.keras. For "
        "classification: the probability mass that moves to other classes, averaged over the "
        "examples."
    )
    n: int = Field(description="Number of examples.")
    on: str = Field(description="Which examples were measured, in words.")


class RepairStep(Part):
    """One attempt to repair a quantised file, measured on validation."""

    kept: int = Field(description="Number of operators that stay float in this attempt.")
    lost: float = Field(description="Loss of the main metric; see val.lost.")
    agreement: Share = Field(description="Share of equal answers; see val.agreement.")
    moved: Share = Field(description="How far the answers move; see val.moved.")


class Repair(Part):
    """How a quantised file was repaired: operators that quantisation harms most stay float."""

    kept: list[str] = Field(
        description="Layers whose operators stay float, the most harmful to quantise first."
    )
    bytes: Bytes = Field(description="How much larger the repair makes the file.")
    steps: list[RepairStep] = Field(description="The attempts, in order.")


class Abstaining(Measures):
    """How often and how well a file with the output `abstain` decides on test or held-out examples.

    For classification it has the measure `accuracy`, measured on the examples on which the file
    decides; null if the file decides on none. See `export.abstain`.
    """

    coverage: Share = Field(
        description="Share of examples whose right class is among the classes that remain possible "
        "(conformal prediction)."
    )
    interval: Interval = Field(description="95% interval of the coverage.")
    answered: Share = Field(
        description="Share of examples on which the file decides, which means that abstain is 0."
    )
    n: int = Field(description="Number of these examples.")


class Exported(Measures):
    """One exported file or folder of `export/`, loaded again and measured.

    For classification it has the measure `accuracy`. Everything is measured on the test split, or
    on validation if there is no test split.
    """

    path: str = Field(description="Path of the file or folder, relative to the run folder.")
    bytes: Bytes = Field(description="Size of the file, or of all files in the folder.")
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
        description="Largest difference between an answer of the file and the same answer of "
        "model.keras; for classification, between their probabilities.",
    )
    n: Maybe[int] = Field(None, description="Number of examples that were measured.")
    val: Maybe[FileLoss] = Field(
        None, description="Loss of the file on validation, which is compared with its tolerance."
    )
    undecided: Maybe[int] = Field(
        None,
        description="Number of validation examples. Only if they are too few to tell whether the "
        "file keeps its tolerance.",
    )
    repair: Maybe[Repair] = Field(
        None, description="How the file was repaired. Only for quantised files that needed it."
    )
    abstain: Maybe[Abstaining] = Field(
        None,
        description="How often and how well the file decides on test. Only with export.abstain.",
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
        description="Memory for activations while the file runs on LiteRT's own kernels. null if "
        "it cannot be computed.",
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
        description="Share of examples for which the answer is the same whether predict.py or the "
        "training code prepares the example."
    )
    max_abs_diff: Maybe[float] = Field(
        None, description="Largest difference between the answers after the two preparations."
    )
    n: int = Field(description="Number of examples.")
    identical: Share = Field(
        description="Share of examples that both preparations turn into exactly the same values."
    )


class Shipped(Part):
    """The file to ship, `export/model.tflite`."""

    format: Maybe[str] = Field(
        description="Format of the file that was copied to model.tflite; null if no file is within "
        "the limits, or none is a LiteRT file."
    )
    status: str = Field(description="ok, or why no file can be shipped.")
    path: Maybe[str] = Field(None, description="Path of the file, relative to the run folder.")
    device: Maybe[OnFiles] = Field(
        None,
        description="Measurements of the file on the original files, read as on a device. Only if "
        "the data are files.",
    )

    @property
    def reason(self) -> str:
        """Why no file can be shipped, without what to do about it; "" if the status is ok."""
        return "" if self.status == "ok" else self.status.partition(". ")[0]
