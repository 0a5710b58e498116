"""The parts of a result on data and model."""

from tl_keras.run.result.part import Measures, Part, Seconds


class Counts(Part):
    """How many examples each split has."""

    classes: int | None = None
    train: int | None = None
    val: int | None = None
    test: int | None = None
    quarantined: int | None = None


class CandidateRecord(Measures):
    """How a candidate stands on validation: the head, the fine-tuned weights, or their mean."""

    temperature: float
    views: int  # of each example, itself among them
    gain: float  # by which its losses are less than the head's, all examples together
    won: int  # examples on which it is better than the head
    lost: int


class ModelRecord(Part):
    """The model, and how it was made."""

    backbone: str | None = None
    weights: str | None = None
    parameters: int | None = None
    freeze: float | str | None = None  # share of the blocks, or the layer that was named
    block: str | None = None
    cut: str | None = None
    kept: str | None = None  # head, finetuned or mix; scratch; how folds or students are merged
    classes_kept: list[str] | None = None  # of the head of an earlier run
    candidates: dict[str, CandidateRecord] | None = None
    fine_tuning: str | None = None  # why it was left out
    graph_digest: str | None = None
    weights_digest: str | None = None


class Chosen(Part):
    """What validation chose."""

    kept: str
    regularisation: float | None = None  # of the head, scikit-learn's 1/C
    temperature: float
    epochs: int


class Digests(Part):
    """Digests of a backbone that a search began with."""

    graph_digest: str | None = None
    weights_digest: str | None = None


class ActivationsRecord(Part):
    """Activations of a split at a cut: whether they are kept, and why."""

    keep: bool
    why: str
    dtype: str | None = None
    cached: bool | None = None  # All of them were there before.
    bytes: int | None = None
    seconds: Seconds | None = None
