"""`fit`: how the head and the layers of the backbone that are not frozen are trained."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from tl_keras import tasks
from tl_keras.config.messages import nearest, shown
from tl_keras.config.section import Auto, Minutes, OpenShare, Section, Share, Text


class FitConfig(Section):
    """How the head and the layers of the backbone that are not frozen are trained.

    First, only the head is trained, on the features of the frozen backbone, until it converges.
    Then the layers that are not frozen are fine-tuned together with the head. The epochs, learning
    rate and schedule of this section apply to this fine-tuning. `auto` is resolved from the number
    of training examples.
    """

    epochs: Annotated[int, Field(ge=0)] | Auto = Field(
        "auto",
        description="Number of epochs of fine-tuning. 0: only the head is trained. auto: "
        "20 * sqrt(500 / number of training examples), at least 5 and at most 30; but if "
        "model.weights is 'none', the number of epochs that gives 3000 training steps, at least 5 "
        "and at most 300. For pretrain.objective masked_language: the number that gives 10,000 "
        "training steps, or 3,000 from trained weights, at least 3 and at most 100.",
    )
    batch_size: Annotated[int, Field(ge=1)] = Field(
        32,
        description="Number of examples in a training step, on all GPUs together.",
    )
    learning_rate: Annotated[float, Field(gt=0)] | Auto = Field(
        "auto",
        description="Peak learning rate. The learning rate rises to this value during warmup and "
        "then falls to 0 along a cosine. auto: 2e-3 if model.weights is 'none', else 3e-4; for "
        "pretrain.objective masked_language 5e-4 and 1e-4.",
    )
    freeze: Share | Text = Field(
        "auto",
        description="Freeze depth: the share of the backbone's blocks that is not trained, "
        "counted from the input, from 0 (all layers are trained) to 1 (only the head is trained); "
        "or the name of the last frozen layer. auto: 0.5 below 500 training examples, 0.25 below "
        "5000, else 0; always 0 if model.weights is 'none'.",
        json_schema_extra={
            "expected": "a number from 0 to 1 (the share of the blocks), 'auto', or a layer's name"
        },
    )
    optimizer: Literal["adam", "adamw", "sgd"] = Field(
        "adamw",
        description="Optimiser: Adam, AdamW, or SGD with Nesterov momentum 0.9.",
    )
    weight_decay: Annotated[float, Field(ge=0)] = Field(
        1e-4,
        description="Decoupled weight decay of adamw: each step multiplies the weights by "
        "1 - learning rate * weight_decay. Other optimisers ignore it.",
    )
    warmup: OpenShare = Field(
        0.1,
        description="Share of all training steps, at the beginning, during which the learning rate "
        "rises to its peak.",
    )
    keep: Literal["average", "best"] | Auto = Field(
        "auto",
        description="Which weights fine-tuning keeps. average: the mean of the weights over the "
        "last half of the epochs (SWA). best: the weights of the epoch with the lowest validation "
        "loss. auto: best if model.weights is 'none', else average.",
        json_schema_extra={
            "expected": "'average' (the mean of the weights over the last half of the epochs), "
            "'best' (the weights of the epoch with the lowest validation loss) or 'auto'"
        },
    )
    patience: Annotated[int, Field(ge=1)] | Auto = Field(
        "auto",
        description="If the best weights are kept (see fit.keep), training ends after this many "
        "epochs without a lower validation loss. auto: the number of epochs that gives 300 "
        "training steps, at least 10.",
        json_schema_extra={"unit": "epochs"},
    )
    label_smoothing: OpenShare = Field(
        0.0,
        description="Label smoothing: share of the target probability that is spread evenly over "
        "all classes.",
    )
    clip_norm: Annotated[float, Field(gt=0)] | None = Field(
        1.0,
        description="Largest norm of the gradient of all weights together; a longer gradient is "
        "scaled down to this norm. null: no limit.",
    )
    ema: OpenShare = Field(
        0.0,
        description="Momentum of an exponential moving average of the weights. The averaged "
        "weights are validated and saved instead of the weights themselves. 0: no average.",
    )
    views: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="Number of different augmented views (rotated, zoomed ... versions) of each "
        "example; epoch e trains on view number e modulo this number. With few views, stored "
        "activations can be reused. null: a new view in each epoch.",
    )
    minutes: Minutes | None = Field(
        None,
        description="Time for fine-tuning: no epoch begins after this time. null: no limit.",
    )
    mixed_precision: bool = Field(
        False,
        description="Whether layers compute in bfloat16, which is faster on most GPUs. The "
        "weights stay float32.",
    )
    checkpoint_minutes: Annotated[float, Field(ge=0)] = Field(
        5.0,
        description="Time between two checkpoints within an epoch. A checkpoint is also written at "
        "the end of each epoch.",
        json_schema_extra={"unit": "minutes"},
    )
    start: Literal["converged", "regularised"] | Auto = Field(
        "auto",
        description="Head from which fine-tuning starts. converged: the head of the head-only "
        "model. regularised: a strongly regularised head, whose loss is still high, so that "
        "fine-tuning changes the features more. auto: regularised for pretrained backbones of "
        "text, else converged.",
    )
    margin: Annotated[float, Field(ge=0)] | Auto = Field(
        "auto",
        description="How much lower the loss of a fine-tuned model, summed over the validation "
        "set, must be than the loss of the head-only model for the fine-tuned model to be kept. "
        "For choose_by log_loss. auto: 0 for transformers of text, 1 for StaticEmbedding, else "
        "3.32, a gain that chance alone rarely gives.",
        json_schema_extra={"unit": "nats"},
    )
    choose_by: Text = Field(
        "log_loss",
        description="Metric of the validation set by which the run chooses between the head-only "
        "model, the fine-tuned model and the model whose weights are the mean of both. For "
        "classification: log_loss or accuracy.",
        json_schema_extra={
            "expected": "a metric of the validation set: for classification 'log_loss' or "
            "'accuracy'"
        },
    )

    @field_validator("choose_by")
    @classmethod
    def _check_choose_by(cls, value: str) -> str:
        known = tasks.every("CHOOSE_BY")
        if value not in known:
            raise ValueError(
                f"fit.choose_by: expected {' or '.join(map(repr, known))}; received "
                f"{shown(value)}{nearest(value, known)}"
            )
        return value

    @property
    def asks_to_freeze(self) -> bool:
        """Whether `freeze` asks for frozen layers. False for `auto`, which depends on the data."""
        return self.freeze not in ("auto", 0)

    @property
    def is_head_alone(self) -> bool:
        """Whether the config trains only the head."""
        return self.epochs == 0 or self.freeze == 1
