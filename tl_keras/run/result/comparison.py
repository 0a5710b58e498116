"""The parts of a result on approaches side by side."""

from tl_keras.run.result.part import Interval, MainScores, Maybe, Measures, Part, Seconds


class Against(Part):
    """The difference of two runs, paired by example."""

    won: int
    lost: int
    difference: float
    interval: Interval
    n: Maybe[int] = None


class Standing(Part):
    """How the best approach stands against the others."""

    n: int
    against: dict[str, Against]


class Recommended(Part):
    """The approach that is best on the validation examples that all answered."""

    best: Maybe[str] = None
    val: Maybe[Standing] = None
    test: Maybe[Standing] = None


class ApproachRecord(Part):
    """An approach of `compare`."""

    command: str
    backbone: str
    parameters: int
    kept: str
    freeze: Maybe[float | str]
    val: Maybe[MainScores] = None
    test: Maybe[MainScores] = None
    seconds: Seconds
    training: Seconds
    to_scratch: Maybe[Seconds]  # of training, until it is as good as the one from scratch gets
    bytes: Maybe[int]
    latency_ms: Maybe[float]


class Ranked(Measures):
    """How well a backbone's features promise to transfer."""

    approach: str
    backbone: str
    parameters: int
    seconds: Seconds


class Learning(Measures):
    """A point of the learning curve: scores of a head on a share of the training examples."""

    share: float
    n: int
