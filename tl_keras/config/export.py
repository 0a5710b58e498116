"""`export`: which files a run leaves, and how much they may differ from model.keras."""

from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BeforeValidator,
    Field,
    field_validator,
)

from tl_keras.config.section import Section, Share, Text, number_as_text

Format = Literal["saved_model", "float32", "float16", "dynamic", "int8", "int16x8", "onnx"]
FORMATS: tuple[Format, ...] = get_args(Format)[:5]  # Unless a config asks for others.
WHOLE: tuple[Format, ...] = ("saved_model", "onnx")  # Those that are no LiteRT files.


class ExportConfig(Section):
    """Which files a finished run leaves, and how much they may differ from model.keras."""

    formats: tuple[Format, ...] = FORMATS
    calibration_examples: Annotated[int, Field(ge=1)] = 100  # from train, for quantised files
    batch: Literal[1, "dynamic"] = 1  # of LiteRT files; saved_model and onnx take any
    allow_flex: bool = False  # whether LiteRT files may need TensorFlow's own operators
    max_difference: Annotated[float, Field(gt=0)] = 1e-3  # of probability: saved_model, float32
    max_accuracy_drop: Share = 0.01  # the other formats, on validation
    max_bytes: Annotated[float, Field(gt=0)] | None = None  # of model.tflite
    max_latency_ms: Annotated[float, Field(gt=0)] | None = None  # the same: median, one thread
    abstain: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description="above 0 and below 1, as in 0.95: share of examples for which the right class "
        "is to be among those that the model cannot rule out; adds an output that says where these "
        "are not one",
    )
    title: Text | None = None  # in the files' metadata; null: of the backbone and the classes
    author: Text | None = None  # the same
    license: Text | None = None  # the same
    version: Annotated[Text, BeforeValidator(number_as_text)] = "1"  # the same

    @field_validator("formats", mode="before")
    @classmethod
    def accepts_list(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value
