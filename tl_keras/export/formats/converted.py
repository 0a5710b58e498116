"""Converts a model to a float32 LiteRT file, and quantises that file to other formats."""

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
    """The float32 LiteRT file of a model, and its calibration if it is to be quantised."""

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
      abstains: computes the output `abstain`; None for no such output.
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
            f"export.formats: {', '.join(quantised)} cannot be made, because calibration must run "
            f"the model and the installed LiteRT cannot run its operators {', '.join(flex)}; "
            "expected only saved_model or float32"
        )
    return Converted(content, quantise.calibrate(content, examples))


def content_of(
    converted: Converted, name: str, kept: Collection[int] = (), ends: bool = True
) -> bytes:
    """Returns the content of a LiteRT file of the format `name`; see `quantise.quantise`."""
    if name == "float32":
        return converted.content
    with quiet():
        return quantise.quantise(converted.calibrated, name, kept, ends)


def shape_of(converted: Converted) -> list[tuple[str, tuple[int, ...]]]:
    """Returns the kind and output shape of each operator.

    A file can be judged by another one only if these are equal.
    """
    model = flatbuffer.read(converted.content)
    graph = model.subgraphs[0]
    return [
        (flatbuffer.kind(model, operator), tuple(graph.tensors[operator.outputs[0]].shape))
        for operator in graph.operators
    ]
