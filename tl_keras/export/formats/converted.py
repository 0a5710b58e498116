"""The float32 LiteRT file of a model, and files of other formats made of it."""

import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from tl_keras.config.export import WHOLE, ExportConfig
from tl_keras.export.formats import flatbuffer, litert, quantise, saved_model
from tl_keras.export.formats.saved_model import Abstains
from tl_keras.maybe import Maybe
from tl_keras.run.files import not_a_pattern
from tl_keras.run.quiet import quiet


@dataclass(frozen=True)
class Converted:
    """The float32 LiteRT file of a model, and what it takes to quantise it."""

    content: bytes
    calibrated: Maybe[quantise.Calibrated]


def convert(
    model: keras.Model,
    examples: np.ndarray,
    config: ExportConfig,
    abstains: Abstains | None,
    folder: Path | None = None,
) -> Converted:
    """What files of `export.formats` are made of.

    Args:
      examples: to calibrate on, `(examples, size, size, 3) uint8`.
      abstains: what gives the output `abstain`, where there is one.
      folder: where there is room for a SavedModel on the way.

    Raises:
      ValueError: the model needs operators that LiteRT lacks.
    """
    batch_size = None if config.batch == "dynamic" else 1
    with tempfile.TemporaryDirectory(dir=folder) as temporary, quiet():
        plain = Path(temporary, "plain")
        saved_model.write_plain(model, plain, batch_size, abstains)
        with not_a_pattern(plain) as path:
            made = litert.convert(path, config.allow_flex)
    quantised = sorted(set(config.formats) - {*WHOLE, "float32"})
    if not quantised:
        return Converted(made, None)
    if flex := flatbuffer.flex(made):
        raise ValueError(
            f"export.formats: {', '.join(quantised)} cannot be made of a model with operators that "
            f"no LiteRT here runs ({', '.join(flex)}); expected saved_model or float32 alone"
        )
    return Converted(made, quantise.calibrate(made, examples))


def content_of(own: Converted, name: str, kept: Collection[int] = (), ends: bool = True) -> bytes:
    """Of a LiteRT file, see `quantise.quantise`."""
    if name == "float32":
        return own.content
    with quiet():
        return quantise.quantise(own.calibrated, name, kept, ends)


def shape_of(converted: Converted) -> list[tuple[str, tuple[int, ...]]]:
    """What operators of two files must have in common for one to be judged by the other."""
    model = flatbuffer.read(converted.content)
    graph = model.subgraphs[0]
    return [
        (flatbuffer.kind(model, operator), tuple(graph.tensors[operator.outputs[0]].shape))
        for operator in graph.operators
    ]
