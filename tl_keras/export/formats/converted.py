"""Converts a model to a float32 LiteRT file, and this file to the quantised LiteRT formats."""

import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from tl_keras.config.export import EXACT, ExportConfig
from tl_keras.export.formats import flatbuffer, litert, quantise, saved_model
from tl_keras.export.formats.saved_model import Abstains
from tl_keras.maybe import Maybe
from tl_keras.run.files import not_a_pattern
from tl_keras.run.quiet import quiet


@dataclass(frozen=True)
class Converted:
    """The float32 LiteRT file of a model, and what its quantisation needs.

    Attributes:
      content: content of the file.
      calibrated: the file and what was measured on calibration examples, such as ranges of
        activations; None if no format of `export.formats` is quantised.
    """

    content: bytes
    calibrated: Maybe[quantise.Calibrated]


def convert(
    model: keras.Model,
    examples: np.ndarray,
    config: ExportConfig,
    abstains: Abstains | None,
    folder: Path | None = None,
) -> Converted:
    """Converts a model to LiteRT, and calibrates it for the quantised formats of `export.formats`.

    Args:
      examples: prepared examples to calibrate on, `(examples, ...)`.
      abstains: computes the output `abstain` (1 if the model abstains) from the answers;
        None to export the model without this output.
      folder: folder for a temporary SavedModel; None for the system's temporary folder.

    Raises:
      ValueError: the model needs operators that LiteRT lacks.
    """
    batch_size = None if config.batch == "dynamic" else 1
    with tempfile.TemporaryDirectory(dir=folder) as temporary, quiet():
        plain = Path(temporary, "plain")
        saved_model.write_plain(model, plain, batch_size, abstains)
        with not_a_pattern(plain) as path:
            content = litert.convert(path, config.allow_flex)
    quantised = sorted(set(config.formats) - set(EXACT))
    if not quantised:
        return Converted(content, None)
    if flex := flatbuffer.flex(content):
        raise ValueError(
            f"export.formats: {', '.join(quantised)} cannot be made: quantisation must run the "
            f"model to calibrate it, but the installed LiteRT cannot run its operators "
            f"{', '.join(flex)}; expected only 'saved_model', 'onnx' or 'float32'"
        )
    return Converted(content, quantise.calibrate(content, examples))


def content_of(
    converted: Converted, name: str, kept: Collection[int] = (), ends: bool = True
) -> bytes:
    """Makes a LiteRT file of the format `name` and returns its content.

    Args:
      name, kept, ends: see `quantise.quantise`; `name` can also be `float32`.
    """
    if name == "float32":
        return converted.content
    with quiet():
        return quantise.quantise(converted.calibrated, name, kept, ends)


def shape_of(converted: Converted) -> list[tuple[str, tuple[int, ...]]]:
    """Returns the kind and the output shape of each operator, in the order of the file.

    If they are equal for two models, the same operators can be quantised in both. Only then can the
    accuracy of one model's quantised files decide whether the other model's files are accepted.
    """
    model = flatbuffer.read(converted.content)
    graph = model.subgraphs[0]
    return [
        (flatbuffer.kind(model, operator), tuple(graph.tensors[operator.outputs[0]].shape))
        for operator in graph.operators
    ]
