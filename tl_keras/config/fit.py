"""`fit`: how head and suffix are trained."""

from typing import Annotated, Literal

from pydantic import (
    Field,
    field_validator,
)

from tl_keras import tasks
from tl_keras.config.messages import nearest, shown
from tl_keras.config.section import Auto, OpenShare, Section, Share, Text


class FitConfig(Section):
    """How the head and the layers above the freeze depth are trained."""

    epochs: Annotated[int, Field(ge=0)] | Auto = "auto"  # of the suffix; 0: the head alone
    batch_size: Annotated[int, Field(ge=1)] = 32
    learning_rate: Annotated[float, Field(gt=0)] | Auto = "auto"  # the peak
    freeze: Share | Text = Field(
        "auto", description="a share of the blocks from 0 to 1, 'auto', or a layer's name"
    )
    optimizer: Literal["adam", "adamw", "sgd"] = "adamw"
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4  # adamw alone
    warmup: OpenShare = 0.1  # share of the steps
    keep: Literal["average", "best"] | Auto = Field(
        "auto",
        description="'average' of the weights over the last half of the epochs, 'best' epoch by "
        "validation loss, or 'auto'",
    )
    patience: Annotated[int, Field(ge=1)] | Auto = "auto"  # epochs without a better one, for best
    label_smoothing: OpenShare = 0.0
    clip_norm: Annotated[float, Field(gt=0)] | None = 1.0  # of all gradients together
    ema: OpenShare = 0.0  # momentum of the weights' moving average; 0: none
    views: Annotated[int, Field(ge=1)] | None = None  # augmented views an image; null: one an epoch
    minutes: Annotated[float, Field(gt=0)] | None = None  # of epochs, after which no other begins
    mixed_precision: bool = False
    checkpoint_minutes: Annotated[float, Field(ge=0)] = 5.0  # of a long epoch; at its end always
    choose_by: Text = Field(
        "log_loss",
        description="by what a candidate is chosen on validation: for classes 'log_loss' or "
        "'accuracy'",
    )

    @field_validator("choose_by")
    @classmethod
    def is_known_to_a_task(cls, value: str) -> str:
        known = tasks.every("CHOOSE_BY")
        if value not in known:
            raise ValueError(
                f"fit.choose_by: expected {' or '.join(map(repr, known))}; received "
                f"{shown(value)}{nearest(value, known)}"
            )
        return value

    @property
    def asks_to_freeze(self) -> bool:
        """Whether layers are to be frozen, whatever the data are like."""
        return self.freeze not in ("auto", 0)

    @property
    def is_head_alone(self) -> bool:
        """Whether the config says that nothing but the head is trained."""
        return self.epochs == 0 or self.freeze == 1
