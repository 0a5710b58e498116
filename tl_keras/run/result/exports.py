"""The parts of a result on exported files."""

from tl_keras.run.result.part import Interval, Maybe, Measures, Part


class Latency(Part):
    """Milliseconds an example, of repeated runs."""

    median: float
    p95: Maybe[float] = None
    least: Maybe[float] = None
    threads: Maybe[int] = None


class FileLoss(Measures):
    """What a file loses against the model on validation."""

    lost: float  # of the main metric
    interval: Interval  # of that
    agreement: float
    moved: float  # how far answers move, 0 to 1
    n: int
    on: str  # which examples, in words


class RepairStep(Part):
    """One try of a repair."""

    kept: int  # operators that stay float
    lost: float
    agreement: float
    moved: float


class Repair(Part):
    """How a quantised file was repaired."""

    kept: list[str]  # layers that stay float, the costliest first
    bytes: int  # by which the file grew
    steps: list[RepairStep]


class Abstaining(Measures):
    """What came of `export.abstain` on test."""

    coverage: float
    interval: Interval  # of the coverage
    answered: float
    n: int


class Exported(Measures):
    """A file of `export/`, as it was measured."""

    path: str
    bytes: int
    status: str  # "ok", or by how much the file misses its tolerance
    interval: Maybe[Interval] = None
    agreement: Maybe[float] = None  # with the model's decisions
    max_abs_diff: Maybe[float] = None  # of any of its answers
    n: Maybe[int] = None
    val: Maybe[FileLoss] = None
    undecided: Maybe[int] = None  # validation examples that are too few to tell
    repair: Maybe[Repair] = None
    abstain: Maybe[Abstaining] = None
    latency_ms: Maybe[Latency] = None  # one thread
    latency_all_ms: Maybe[Latency] = None  # all cores
    arena_bytes: Maybe[int] = None
    operators: Maybe[dict[str, int]] = None
    float_operators: Maybe[dict[str, int]] = None


class OnFiles(Measures):
    """The shipped file on files that were prepared as a device prepares them."""

    interval: Maybe[Interval] = None
    agreement: float
    max_abs_diff: Maybe[float] = None
    n: int
    identical: float  # share of examples that are prepared as in training, bit for bit


class Shipped(Part):
    """The file that is `export/model.tflite`."""

    format: Maybe[str]
    status: str
    path: Maybe[str] = None
    device: Maybe[OnFiles] = None
