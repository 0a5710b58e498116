"""The parts of a result about the data and the model."""

from pydantic import Field

from tl_keras.maybe import Maybe
from tl_keras.run.result.part import Bytes, Measures, Part, Seconds


class Counts(Part):
    """The size of the data set."""

    classes: Maybe[int] = Field(None, description="Number of classes. Only for classification.")
    train: Maybe[int] = Field(None, description="Number of training examples.")
    val: Maybe[int] = Field(None, description="Number of validation examples.")
    test: Maybe[int] = Field(None, description="Number of test examples.")
    quarantined: Maybe[int] = Field(
        None, description="Number of files that were left out; data.json has the reasons."
    )


class CandidateRecord(Measures):
    """One candidate on validation: the head alone, the fine-tuned weights, or the mean of both.

    For classification it has the measures `log_loss` and `accuracy`.
    """

    temperature: float = Field(
        description="Temperature by which the candidate's logits are divided to calibrate its "
        "probabilities; 1 changes nothing."
    )
    views: int = Field(
        description="Number of views of each validation example on which candidates are compared, "
        "including the unaugmented example."
    )
    gain: float = Field(
        description="Loss of the head minus loss of this candidate, summed over all validation "
        "examples and averaged over the views; for classification in nats."
    )
    won: int = Field(description="Number of examples that only this candidate answers correctly.")
    lost: int = Field(description="Number of examples that only the head answers correctly.")


class ModelRecord(Part):
    """The model of a run, and how it was made."""

    backbone: Maybe[str] = Field(None, description="Name or file of the backbone.")
    weights: Maybe[str] = Field(
        None, description="Where the backbone's weights come from; see model.weights in the config."
    )
    parameters: Maybe[int] = Field(None, description="Number of weights of the whole model.")
    freeze: Maybe[float | str] = Field(
        None,
        description="Freeze depth, with auto resolved: a share of the blocks, or the name of a "
        "layer.",
    )
    block: Maybe[str] = Field(
        None, description="Name of the last frozen block; null if none is frozen."
    )
    cut: Maybe[str] = Field(
        None, description="Name of the last frozen layer; null if none is frozen."
    )
    kept: Maybe[str] = Field(
        None,
        description="Which weights the model has: head (only the head was trained), finetuned, mix "
        "(the mean of both), scratch; or how the models of folds or students were combined.",
    )
    classes_kept: Maybe[list[str]] = Field(
        None,
        description="Classes whose weights in the head come from an earlier run. Only if the run "
        "starts from a run that has classes of the same name.",
    )
    candidates: Maybe[dict[str, CandidateRecord]] = Field(
        None,
        description="The candidates that were compared on validation, by name: head, finetuned, "
        "mix.",
    )
    fine_tuning: Maybe[str] = Field(
        None, description="Why fine-tuning was left out. Only if it was left out."
    )
    graph_digest: Maybe[str] = Field(
        None, description="SHA-256 of the layers and their connections, without weights."
    )
    weights_digest: Maybe[str] = Field(
        None, description="SHA-256 of the weights that the backbone started from."
    )


class Chosen(Part):
    """The settings that validation chose. Cross-validation trains its final model with them."""

    kept: str = Field(description="Which weights were kept; see model.kept.")
    regularisation: Maybe[float] = Field(
        None,
        description="Strength of regularisation of the head, 1/C of scikit-learn's logistic "
        "regression. null if the head was not fitted in this way.",
    )
    temperature: float = Field(
        description="Temperature by which the logits are divided, inside the model."
    )
    epochs: int = Field(description="Number of epochs of the kept weights; 0 if the head is kept.")
    correction: Maybe[float] = Field(
        None,
        description="Factor between the mean temperature of the folds and temperature, fitted to "
        "the held-out examples. Above 1 the models of the folds were too sure of their answers. "
        "Only for cross_validate with cross_validate.final refit and without a search.",
    )


class Digests(Part):
    """Digests of a backbone of a search, to check that a resumed search has the same backbone."""

    graph_digest: Maybe[str] = Field(
        None, description="SHA-256 of the layers and their connections, without weights."
    )
    weights_digest: Maybe[str] = Field(None, description="SHA-256 of the weights.")


class ActivationsRecord(Part):
    """Whether the activations of one split at one cut are stored on disk, and why."""

    keep: bool = Field(
        description="Whether the activations are stored on disk. If not, the frozen layers run "
        "again in each training step. The results are the same either way."
    )
    why: str = Field(description="The measured reason, in words.")
    dtype: Maybe[str] = Field(None, description="Data type of the stored activations.")
    cached: Maybe[bool] = Field(
        None, description="Whether the cache had all of these activations before this run."
    )
    bytes: Maybe[Bytes] = Field(None, description="Size of the activations on disk.")
    seconds: Maybe[Seconds] = Field(None, description="Time to compute or load them.")
