"""The parts of `result.json` about exported files."""

from pydantic import Field

from tl_keras.maybe import Maybe
from tl_keras.run.result.part import Bytes, Interval, Measures, Milliseconds, Part, Share


class Latency(Part):
    """The time for one example with an exported file, measured repeatedly on this machine."""

    median: Milliseconds = Field(description="Median of the measured times.")
    p95: Maybe[Milliseconds] = Field(
        None, description="Time that 95% of the measured times do not exceed."
    )
    least: Maybe[Milliseconds] = Field(None, description="Shortest of the measured times.")
    threads: Maybe[int] = Field(None, description="Number of CPU threads that the file ran on.")
    length: Maybe[int] = Field(
        None,
        description="Length of the measured example, the median length of the validation examples. "
        "Only for examples of different lengths, such as texts, whose length is the number of "
        "their token ids.",
    )


class FileLoss(Measures):
    """How much worse an exported file is than model.keras on the validation examples.

    For classification it also has the measure `accuracy`: the accuracy of the file itself, not a
    difference.
    """

    lost: float = Field(
        description="Main metric of model.keras minus main metric of the file; below 0, the file "
        "is better."
    )
    interval: Interval = Field(description="95% interval of `lost`, paired by example.")
    agreement: Share = Field(
        description="Share of examples for which the file and model.keras give the same answer."
    )
    moved: Share = Field(
        description="How far the answers of the file are from the answers of model.keras. For "
        "classification: the probability mass that moves to other classes, averaged over the "
        "examples."
    )
    n: int = Field(description="Number of measured examples.")
    on: str = Field(description="Which examples were measured, such as `validation`.")
    also: Maybe[int] = Field(
        None,
        description="Number of training examples on which `moved` was measured, too; `moved` is "
        "then the larger of the two values. Only for a repaired file, if the other examples are "
        "few.",
    )


class RepairStep(Part):
    """One attempt to bring a quantised file closer to model.keras by leaving operators in float.

    In the first attempt, all operators are quantised. Each attempt writes a file, which is measured
    on validation.
    """

    kept: int = Field(description="Number of operators that stay in float in this attempt.")
    lost: float = Field(
        description="Main metric of model.keras minus main metric of this attempt's file."
    )
    agreement: Share = Field(
        description="Share of examples for which this attempt's file and model.keras give the same "
        "answer."
    )
    moved: Share = Field(
        description="How far the answers of this attempt's file are from the answers of "
        "model.keras; see `moved` in the field `val` of the exported file."
    )


class Repair(Part):
    """How a quantised file was repaired: the operators most harmful to quantise stay in float.

    A file is repaired if it loses too much of the main metric (`lost` of the first of its `steps`),
    or if its answers are too far from those of model.keras (`moved` of this step).
    """

    kept: list[str] = Field(
        description="Layers whose operators stay in float, the most harmful to quantise first."
    )
    bytes: Bytes = Field(description="Size of the repaired file minus size without the repair.")
    steps: list[RepairStep] = Field(description="The attempts, in order.")


class Abstaining(Measures):
    """How often a model answers instead of abstaining, and how often these answers are right.

    The output `abstain` of an exported file is 0 if the file answers and 1 if it abstains; see
    `export.abstain`. Exported files are measured on test. In `cross_validation`, the models of the
    folds are measured on the examples that their folds hold out. For classification there is also
    the measure `accuracy` on the examples that the model answers; null if there are none.
    """

    coverage: Share = Field(
        description="Measured share of examples whose right class is in the prediction set of "
        "conformal prediction: the classes whose probability is not below a threshold."
    )
    interval: Interval = Field(description="95% interval of the coverage.")
    answered: Share = Field(
        description="Share of examples that the model answers instead of abstaining: its output "
        "`abstain` is 0."
    )
    n: int = Field(description="Number of measured examples.")


class Exported(Measures):
    """One exported file or folder in `export/`, measured after it was loaded again.

    For classification this record has the measure `accuracy`. All scores are from the test split,
    or from validation if there is no test split; only the field `val` is always from validation.
    """

    path: str = Field(
        description="Path of the exported file or folder, relative to the run folder."
    )
    bytes: Bytes = Field(
        description="Size of the exported file, or of all files in the exported folder."
    )
    status: str = Field(
        description="`ok`, or the tolerance that the file exceeds and by how much, or why the file "
        "was not measured. A file whose status is not `ok` has `.rejected` in its name."
    )
    interval: Maybe[Interval] = Field(
        None, description="95% interval of the main metric of the file."
    )
    agreement: Maybe[Share] = Field(
        None,
        description="Share of examples for which the file and model.keras give the same answer.",
    )
    max_abs_diff: Maybe[float] = Field(
        None,
        description="Largest absolute difference between an output of the file and the same output "
        "of model.keras; for classification, between two probabilities.",
    )
    n: Maybe[int] = Field(None, description="Number of measured examples.")
    val: Maybe[FileLoss] = Field(
        None,
        description="How much worse the file is than model.keras on validation. Whether the file "
        "is within its tolerance is decided on validation.",
    )
    undecided: Maybe[int] = Field(
        None,
        description="Number of validation examples; present only if they are too few to tell "
        "whether the file loses more of the main metric than export.max_accuracy_drop allows.",
    )
    longest: Maybe[int] = Field(
        None,
        description="Length of the longest example that the file takes. The file answers a longer "
        "example by its start alone. Only for the format mediapipe.",
    )
    cut: Maybe[Share] = Field(
        None,
        description="Share of the measured examples that are longer than `longest`. Only for the "
        "format mediapipe.",
    )
    repair: Maybe[Repair] = Field(
        None,
        description="How the file was repaired. Only for quantised files that needed a repair.",
    )
    abstain: Maybe[Abstaining] = Field(
        None,
        description="How often the file answers test examples instead of abstaining, and how often "
        "these answers are right. Only with export.abstain and a test split.",
    )
    latency_ms: Maybe[Latency] = Field(
        None,
        description="Time for one example on one thread. null if the file is not a LiteRT file, or "
        "was not measured.",
    )
    latency_all_ms: Maybe[Latency] = Field(
        None, description="Time for one example on all cores. Only for LiteRT files."
    )
    arena_bytes: Maybe[Bytes] = Field(
        None,
        description="Memory for activations while the file runs on LiteRT's own kernels. null if "
        "the size of a tensor is known only when the file runs.",
    )
    operators: Maybe[dict[str, int]] = Field(
        None, description="Number of operators of each kind. Only for LiteRT files."
    )
    float_operators: Maybe[dict[str, int]] = Field(
        None,
        description="Number of operators of each kind that compute in float. Only for the formats "
        "int8 and int16x8.",
    )


class OnFiles(Measures):
    """The shipped file, run by `export/device/predict.py` on the original files of test.

    Without a test split, the files of validation are used. predict.py prepares the examples with
    its own code, as on a device. For classification it has the measure `accuracy`.
    """

    interval: Maybe[Interval] = Field(None, description="95% interval of the main metric.")
    agreement: Share = Field(
        description="Share of examples for which the answer is the same whether predict.py or the "
        "training code prepares the example."
    )
    max_abs_diff: Maybe[float] = Field(
        None,
        description="Largest absolute difference between two values of the same output: one for an "
        "example prepared by predict.py, one for the same example prepared by the training code.",
    )
    n: int = Field(description="Number of measured examples.")
    identical: Share = Field(
        description="Share of examples that predict.py and the training code turn into exactly the "
        "same input values."
    )


class Shipped(Part):
    """The file to ship, `export/model.tflite`."""

    format: Maybe[str] = Field(
        description="Format of the file that was copied to export/model.tflite; null if no LiteRT "
        "file is within its tolerance, export.max_bytes and export.max_latency_ms."
    )
    status: str = Field(description="`ok`, or why no file can be shipped.")
    path: Maybe[str] = Field(
        None, description="Path of the file to ship, relative to the run folder."
    )
    device: Maybe[OnFiles] = Field(
        None,
        description="Measurements of the file to ship, taken when predict.py runs it on the "
        "original files of test, or of validation if there is no test split. predict.py reads and "
        "prepares these files as a device does. Only if the examples are files.",
    )

    @property
    def reason(self) -> str:
        """Why no file can be shipped: the first sentence of `status`; "" if the status is `ok`."""
        return "" if self.status == "ok" else self.status.partition(". ")[0]
