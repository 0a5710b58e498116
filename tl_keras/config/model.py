"""`model`: the backbone, its weights, the head."""

from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    Field,
    field_validator,
    model_validator,
)

from tl_keras.backbones import model_file
from tl_keras.backbones.applications import Preprocessing
from tl_keras.config.section import OpenShare, Section, Text, absolute, plain

WEIGHTS = ("imagenet", "glyphs", "own", "none")  # Any other value is a path.


class ModelConfig(Section):
    """The backbone, where its weights come from, and the head."""

    backbone: Annotated[Text, BeforeValidator(plain)] = Field(
        "MobileNetV2", description="a Keras Applications model, or a .keras file of one's own"
    )
    options: dict[str, bool | int | float] = {}  # the constructor's own, as in {alpha: 0.35}
    preprocessing: Preprocessing | None = Field(
        None,
        description="'tf', 'torch', 'caffe' or 'included': what a .keras backbone was trained on "
        "(null: pixels in 0..255); null for a Keras Applications model",
    )
    weights: Annotated[Text, BeforeValidator(plain)] = Field(
        "imagenet",
        description="imagenet, glyphs, none, own (those in a .keras backbone), a weights file, or "
        "an earlier run's folder",
    )
    dropout: OpenShare = 0.2
    head_width: Annotated[int, Field(ge=1, le=4096)] | None = None  # of a hidden layer; null: none

    @model_validator(mode="before")
    @classmethod
    def brings_its_weights(cls, value: Any) -> Any:
        """The default of `weights` where the backbone is a file."""
        if isinstance(value, dict) and model_file.is_file(value.get("backbone")):
            return {"weights": "own", **value}
        return value

    @field_validator("backbone")
    @classmethod
    def is_absolute_if_file(cls, value: str) -> str:
        return absolute(value) if model_file.is_file(value) else value

    @field_validator("weights")
    @classmethod
    def is_absolute(cls, value: str) -> str:
        return value if value in WEIGHTS else absolute(value)

    @model_validator(mode="after")
    def fits_its_kind(self) -> "ModelConfig":
        if model_file.is_file(self.backbone):
            self._check_file()
        elif self.weights == "own":
            raise ValueError(
                f"model.weights: own are those in a .keras backbone; {self.backbone} comes without"
            )
        elif self.preprocessing is not None:
            raise ValueError(
                f"model.preprocessing: {self.backbone} brings its own; expected null, received "
                f"{self.preprocessing!r}"
            )
        return self

    def _check_file(self) -> None:
        if self.options:
            raise ValueError(
                f"model.options.{min(self.options)}: a .keras backbone is built already; expected "
                "no options"
            )
        if self.weights in ("imagenet", "glyphs"):
            raise ValueError(
                f"model.weights: {self.weights} are not for a .keras backbone; expected own "
                "(those in the file), none, a weights file, or an earlier run's folder"
            )

    @property
    def is_pretrained(self) -> bool:
        """Whether the backbone begins with weights that somebody trained."""
        return self.weights != "none"

    @property
    def origin(self) -> str:
        """Where the weights come from: a word, or a path."""
        return self.backbone if self.weights == "own" else self.weights
