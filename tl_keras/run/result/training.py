"""The parts of a result on data and model."""

from tl_keras.run.result.part import Maybe, Measures, Part, Seconds


class Counts(Part):
    """How many examples each split has."""

    classes: Maybe[int] = None
    train: Maybe[int] = None
    val: Maybe[int] = None
    test: Maybe[int] = None
    quarantined: Maybe[int] = None


class CandidateRecord(Measures):
    """How a candidate stands on validation: the head, the fine-tuned weights, or their mean."""

    temperature: float
    views: int  # of each example, itself among them
    gain: float  # by which its losses are less than the head's, all examples together
    won: int  # examples on which it is better than the head
    lost: int


class ModelRecord(Part):
    """The model, and how it was made."""

    backbone: Maybe[str] = None
    weights: Maybe[str] = None
    parameters: Maybe[int] = None
    freeze: Maybe[float | str] = None  # share of the blocks, or the layer that was named
    block: Maybe[str] = None
    cut: Maybe[str] = None
    kept: Maybe[str] = None  # head, finetuned or mix; scratch; how folds or students are merged
    classes_kept: Maybe[list[str]] = None  # of the head of an earlier run
    candidates: Maybe[dict[str, CandidateRecord]] = None
    fine_tuning: Maybe[str] = None  # why it was left out
    graph_digest: Maybe[str] = None
    weights_digest: Maybe[str] = None


class Chosen(Part):
    """What validation chose."""

    kept: str
    regularisation: Maybe[float] = None  # of the head, scikit-learn's 1/C
    temperature: float
    epochs: int


class Digests(Part):
    """Digests of a backbone that a search began with."""

    graph_digest: Maybe[str] = None
    weights_digest: Maybe[str] = None


class ActivationsRecord(Part):
    """Activations of a split at a cut: whether they are kept, and why."""

    keep: bool
    why: str
    dtype: Maybe[str] = None
    cached: Maybe[bool] = None  # All of them were there before.
    bytes: Maybe[int] = None
    seconds: Maybe[Seconds] = None
