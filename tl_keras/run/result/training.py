"""The parts of `result.json` about the data and the model."""

from pydantic import Field

from tl_keras.maybe import Maybe
from tl_keras.run.result.part import Bytes, Measures, Part, Seconds


class Counts(Part):
    """The size of the data set: how many classes, examples in each split, and left-out files."""

    classes: Maybe[int] = Field(None, description="Number of classes. Only for classification.")
    train: Maybe[int] = Field(None, description="Number of training examples.")
    val: Maybe[int] = Field(None, description="Number of validation examples.")
    test: Maybe[int] = Field(None, description="Number of test examples.")
    quarantined: Maybe[int] = Field(
        None, description="Number of files that were left out; data.json has the reasons."
    )


class CandidateRecord(Measures):
    """One candidate on validation: the head-only model, the fine-tuned model, or their mean.

    The mean is the mean of their weights. For classification, a candidate has the measures
    `log_loss` and `accuracy`.
    """

    temperature: float = Field(
        description="Temperature by which the candidate's logits are divided to calibrate its "
        "probabilities; 1 changes nothing."
    )
    views: int = Field(
        description="Number of views (augmented versions) of each validation example on which "
        "candidates are compared, including the unaugmented example."
    )
    gain: float = Field(
        description="Loss of the head-only candidate minus loss of this candidate; above 0, this "
        "candidate is better. The loss of each example is averaged over its views, then "
        "summed over all validation examples; for classification in nats."
    )
    won: int = Field(
        description="Number of examples that this candidate answers correctly and the head-only "
        "candidate does not."
    )
    lost: int = Field(
        description="Number of examples that the head-only candidate answers correctly and this "
        "candidate does not."
    )


class ModelRecord(Part):
    """The model of a run, and how it was made."""

    backbone: Maybe[str] = Field(None, description="Name or file of the backbone.")
    weights: Maybe[str] = Field(
        None, description="Where the backbone's weights come from; see model.weights in the config."
    )
    parameters: Maybe[int] = Field(None, description="Number of weights of the whole model.")
    freeze: Maybe[float | str] = Field(
        None,
        description="Freeze depth that was used, also if the config sets it to `auto`: a share of "
        "the backbone's blocks, or the name of a layer.",
    )
    block: Maybe[str] = Field(
        None, description="Name of the last frozen block; null if none is frozen."
    )
    cut: Maybe[str] = Field(
        None, description="Name of the last frozen layer; null if none is frozen."
    )
    kept: Maybe[str] = Field(
        None,
        description="Which weights the model has: `head` (only the head was trained), `finetuned`, "
        "`mix` (the mean of both), `scratch` (trained from random weights). If models of folds or "
        "students were merged: `average`, `ensemble`, a student such as `segment_0`, or `teacher`.",
    )
    classes_kept: Maybe[list[str]] = Field(
        None,
        description="Classes for which the head took over the weights of an earlier run's head. "
        "Only if the run starts from an earlier run that has classes of the same name.",
    )
    candidates: Maybe[dict[str, CandidateRecord]] = Field(
        None,
        description="The candidates that were compared on validation, by name: `head`, "
        "`finetuned`, `mix`.",
    )
    fine_tuning: Maybe[str] = Field(
        None, description="Why fine-tuning was skipped. Only if it was skipped."
    )
    graph_digest: Maybe[str] = Field(
        None,
        description="SHA-256 of the backbone's layers and their connections, without weights.",
    )
    weights_digest: Maybe[str] = Field(
        None, description="SHA-256 of the weights that the backbone started from."
    )


class Pretraining(Part):
    """What a backbone learned without labels."""

    objective: str = Field(description="What it learned; see pretrain.objective in the config.")
    pieces: dict[str, int] = Field(
        description="Number of examples of each split that the model reads. For texts: a text of "
        "more than text.length tokens is divided into several."
    )
    facts: dict[str, int] = Field(
        description="Further numbers. For masked_language: `vocabulary`, the number of tokens."
    )
    epochs: int = Field(
        description="Number of training epochs: the epochs up to the best one if fit.keep is "
        "`best`, otherwise all epochs."
    )
    val: dict[str, float] = Field(
        description="Measures on validation. For masked_language: `loss`, the mean cross-entropy "
        "of a hidden token in nats; `perplexity`, its exponential; `masked_accuracy`, the share of "
        "the hidden tokens that are guessed right; `guesses`, their number."
    )


class Chosen(Part):
    """The settings that were chosen on validation.

    The command `cross_validate` trains its final model with them.
    """

    kept: str = Field(
        description="Which weights were chosen, such as `head` or `finetuned`; see model.kept."
    )
    regularisation: Maybe[float] = Field(
        None,
        description="Strength of regularisation of the head, 1/C of scikit-learn's logistic "
        "regression. null if the head was not fitted in this way.",
    )
    temperature: float = Field(
        description="Temperature by which the model divides its logits to calibrate its "
        "probabilities; 1 changes nothing."
    )
    epochs: int = Field(
        description="Number of training epochs: the epochs up to the best one if fit.keep is "
        "`best`, otherwise all epochs; 0 if only the head was trained."
    )
    correction: Maybe[float] = Field(
        None,
        description="The field `temperature` divided by the geometric mean of the folds' "
        "temperatures. This factor is fitted to the held-out examples; above 1, the models of the "
        "folds were too sure of their answers. Only in results of the command cross_validate, if "
        "cross_validate.final is `refit` and there is no search.",
    )


class Digests(Part):
    """Digests of one backbone in a search, to check that a resumed search has the same backbone."""

    graph_digest: Maybe[str] = Field(
        None,
        description="SHA-256 of the backbone's layers and their connections, without weights.",
    )
    weights_digest: Maybe[str] = Field(
        None, description="SHA-256 of the weights that the backbone started from."
    )


class ActivationsRecord(Part):
    """Whether the activations of one layer are stored on disk for one split, and why."""

    keep: bool = Field(
        description="Whether the activations of this layer for this split are stored on disk. If "
        "not, the frozen layers run again in each training step. The results are the same either "
        "way."
    )
    why: str = Field(description="Why the activations are stored or not, in words.")
    dtype: Maybe[str] = Field(None, description="Data type of the stored activations.")
    cached: Maybe[bool] = Field(
        None,
        description="Whether all activations of this layer for this split were in the cache before "
        "this run.",
    )
    bytes: Maybe[Bytes] = Field(None, description="Size of the activations on disk.")
    seconds: Maybe[Seconds] = Field(
        None, description="Time to compute the activations, or to load them from the cache."
    )
