"""`export`: which files a run exports, and how much they may differ from `model.keras`."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from tl_keras.config.section import Section, Share, Text, number_as_text

Format = Literal[
    "saved_model", "float32", "float16", "dynamic", "int8", "int16x8", "onnx", "mediapipe"
]
FORMATS: tuple[Format, ...] = ("saved_model", "float32", "float16", "dynamic", "int8")  # Default.
# Formats that are not LiteRT files from a prepared example to an answer.
NOT_LITERT: tuple[Format, ...] = ("saved_model", "onnx", "mediapipe")
# Formats that compute in float32, as model.keras does. All others round, so they are judged by the
# accuracy that they lose.
EXACT: tuple[Format, ...] = (*NOT_LITERT, "float32")
BYTES_PER_WEIGHT: dict[Format, int] = {
    **dict.fromkeys(EXACT, 4),
    "float16": 2,
    **dict.fromkeys(("dynamic", "int8", "int16x8"), 1),
}


class ExportConfig(Section):
    """Which files a run writes to `export/`, and how much they may differ from `model.keras`.

    Each file is loaded again, and its predictions are compared with those of `model.keras`. These
    fields may change after a run has finished; the run then exports again.
    """

    formats: tuple[Format, ...] = Field(
        FORMATS,
        description="Formats to export. All but saved_model and onnx are LiteRT (TFLite) files. "
        "saved_model: for servers. float32: float32 weights and activations, as in Keras. float16: "
        "weights in half precision. dynamic: int8 weights; activations are quantised during "
        "inference. int8: int8 weights and activations, uint8 input and output. int16x8: int8 "
        "weights and int16 activations, for accelerators that need this format; slow on a CPU. "
        "onnx: for ONNX Runtime; needs the extra 'onnx'. mediapipe: a file for MediaPipe's "
        "TextClassifier, with the tokeniser's vocabulary inside; for texts only, in float32.",
    )
    calibration_examples: Annotated[int, Field(ge=1)] = Field(
        100,
        description="Number of training examples from which the ranges of quantised activations "
        "are measured.",
    )
    batch: Literal[1, "dynamic"] = Field(
        1,
        description="Batch size of LiteRT files; saved_model and onnx files take any batch size. "
        "dynamic: any batch size.",
    )
    allow_flex: bool = Field(
        False,
        description="Whether LiteRT files may contain operators of TensorFlow itself (Flex), which "
        "the LiteRT runtime does not include. The accuracy and latency of files with such "
        "operators cannot be measured.",
    )
    max_difference: Annotated[float, Field(gt=0)] = Field(
        1e-3,
        description="For saved_model, float32, onnx and mediapipe: upper limit for the difference "
        "between the probabilities that the file and model.keras predict for the same class of the "
        "same validation example. A file with a larger difference is rejected.",
    )
    max_accuracy_drop: Share = Field(
        0.01,
        description="For float16, dynamic, int8 and int16x8: how much lower the file's accuracy on "
        "the validation examples may be than that of model.keras; a drop by one example is always "
        "accepted. If the drop is larger, or if the file moves more than 8% of the probability "
        "mass to other classes, the file is repaired: some operators stay float. A repaired file "
        "is rejected if even the lower end of the 95% interval of its drop is above the limit, or "
        "if it still moves more than 8%.",
    )
    max_bytes: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="Upper limit for the size of export/model.tflite, the file to ship. Larger "
        "files are exported, but not chosen to ship. null: no limit.",
        json_schema_extra={"unit": "bytes"},
    )
    max_latency_ms: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="Upper limit for the latency of export/model.tflite (the median time of one "
        "example, on one thread of this machine). null: no limit.",
        json_schema_extra={"unit": "ms"},
    )
    abstain: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description="Adds an output named 'abstain' to the files. The output is 1 if the model "
        "abstains, because no class remains possible or several classes do (conformal "
        "prediction). The value of this field, as in 0.95, is the share of examples for which the "
        "right class is among the classes that remain possible. Choose a value above the model's "
        "accuracy; 0.95 needs at least 19 validation examples. null: no such output.",
        json_schema_extra={"expected": "a number above 0 and below 1, as in 0.95, or null"},
    )
    title: Text | None = Field(
        None,
        description="Title of the model in the metadata of LiteRT files and in export/device/. "
        "null: a title made from the names of the backbone and the classes.",
    )
    author: Text | None = Field(
        None, description="Author of the model in the metadata of the files. null: none."
    )
    license: Text | None = Field(
        None, description="Licence of the model in the metadata of the files. null: none."
    )
    version: Annotated[Text, BeforeValidator(number_as_text)] = Field(
        "1", description="Version of the model in the metadata of the files."
    )

    @field_validator("formats", mode="before")
    @classmethod
    def _accept_list(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value
