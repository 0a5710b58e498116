"""`model`: the backbone, its weights, the head."""

import os
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator, model_validator

from tl_keras.backbones import model_file, table
from tl_keras.backbones.applications import Preprocessing
from tl_keras.config.section import OpenShare, Section, Text, absolute, plain

WEIGHTS = (*table.TRAINED, "own", "none")  # Any other value is a path.


class ModelConfig(Section):
    """The backbone, the weights that it starts from, and the head."""

    backbone: Annotated[Text, BeforeValidator(plain)] = Field(
        "MobileNetV2",
        description="Name of a backbone, or a path. For images: a Keras Applications model, or a "
        ".keras file, which contains a functional or sequential model that takes one RGB image and "
        "has no classifier. For texts: MiniLM-L6, BERT, StaticEmbedding, a preset of KerasHub "
        "such as bert_base_en (BERT, DistilBERT, RoBERTa and ALBERT; needs the extra 'text'), or a "
        "folder in the form of Hugging Face, KerasHub or Model2Vec.",
        json_schema_extra={
            "expected": "the name of a backbone, the path of a .keras file, or a folder with the "
            "config.json of a text model"
        },
    )
    options: dict[str, bool | int | float | str] = Field(
        {},
        description="Arguments of the backbone's constructor, as in {alpha: 0.35} for MobileNetV2, "
        "or {layers: 4, pooling: mean} for BERT. A .keras file takes none.",
    )
    preprocessing: Preprocessing | None = Field(
        None,
        description="For a .keras backbone: the pixel values that it was trained on. included: "
        "0..255 (normalisation, if any, is inside the file). tf: -1..1. torch: 0..1, normalised by "
        "the mean and standard deviation of ImageNet. caffe: BGR, minus the mean of ImageNet. "
        "null: 0..255 too, with a warning if the file has no layer that normalises. A Keras "
        "Applications model has its own preprocessing and takes only null.",
        json_schema_extra={
            "expected": "'tf', 'torch', 'caffe' or 'included' for a .keras backbone, or null for a "
            "Keras Applications model"
        },
    )
    weights: Annotated[Text, BeforeValidator(plain)] = Field(
        "imagenet",
        description="Where the backbone's weights come from: a weights file (.h5, .weights.h5, "
        ".keras), the folder of an earlier run with the same backbone, a folder in Hugging Face's "
        "form, or one of these words. imagenet: downloaded once by Keras; the default of Keras "
        "Applications models. glyphs: weights that ship with tl_keras, trained on drawn letters "
        "and symbols, for MobileNet with alpha 0.5. published: the weights of MiniLM-L6 and of "
        "KerasHub's presets, downloaded once; their default. minilm: a table that ships with "
        "tl_keras, for StaticEmbedding; its default. own: the weights in the file or folder that "
        "model.backbone names; the default if that is a path. none: random weights, to train from "
        "scratch; the default of BERT.",
        json_schema_extra={
            "expected": "'imagenet', 'glyphs', 'published', 'minilm', 'none', 'own' (the weights "
            "in a backbone's file or folder), a weights file, or the folder of an earlier run"
        },
    )
    dropout: OpenShare = Field(
        0.2,
        description="Share of the features that dropout sets to zero before the last layer of the "
        "head, during training.",
    )
    head_width: Annotated[int, Field(ge=1, le=4096)] | None = Field(
        None,
        description="Number of units of a hidden layer in the head. null: no hidden layer.",
        json_schema_extra={"unit": "units"},
    )

    @model_validator(mode="before")
    @classmethod
    def _default_weights(cls, value: Any) -> Any:
        """Sets the default of `weights`, which depends on the backbone."""
        backbone = value.get("backbone") if isinstance(value, dict) else None
        if isinstance(backbone, str | os.PathLike):
            return {"weights": table.default_weights(os.fspath(backbone)), **value}
        return value

    @field_validator("backbone")
    @classmethod
    def _make_backbone_absolute(cls, value: str) -> str:
        return absolute(value) if model_file.is_file(value) else value

    @field_validator("weights")
    @classmethod
    def _make_weights_absolute(cls, value: str) -> str:
        return value if value in WEIGHTS else absolute(value)

    @model_validator(mode="after")
    def _check_kind(self) -> "ModelConfig":
        if model_file.is_file(self.backbone):
            self._check_file()
        elif self.weights == "own":
            raise ValueError(
                "model.weights: 'own' means the weights in a backbone's file or folder; expected "
                f"another value, since {self.backbone} is neither"
            )
        elif self.preprocessing is not None:
            raise ValueError(
                f"model.preprocessing: {self.backbone} has its own preprocessing; expected null, "
                f"received {self.preprocessing!r}"
            )
        return self

    def _check_file(self) -> None:
        is_folder = model_file.is_folder(self.backbone)
        if self.options and not is_folder:
            raise ValueError(
                f"model.options.{min(self.options)}: a .keras backbone takes no options; "
                "remove them"
            )
        if self.weights in table.TRAINED:
            kind = "folder" if is_folder else ".keras"
            raise ValueError(
                f"model.weights: the weights {self.weights!r} do not fit a {kind} backbone; "
                "expected 'own' (the weights in the backbone's file or folder), 'none', a weights "
                "file, or an earlier run's folder"
            )

    @property
    def is_pretrained(self) -> bool:
        """Whether the backbone starts from trained weights."""
        return self.weights != "none"

    @property
    def origin(self) -> str:
        """Where the backbone's weights come from: a word such as `imagenet`, or a path."""
        return self.backbone if self.weights == "own" else self.weights
