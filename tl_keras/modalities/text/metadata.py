"""Metadata that describe the input of a LiteRT file: token ids."""

from flatbuffers import Builder

from tl_keras.export.formats.metadata import table
from tl_keras.modalities.text.config import INPUT, TextConfig


def inputs(builder: Builder, settings: TextConfig) -> list[int]:
    """Writes the FlatBuffers table `TensorMetadata` for each input of a LiteRT file.

    Returns:
      the offsets of the tables in the builder.
    """
    text = builder.CreateString
    limit = "" if settings.longest is None else f", at most {settings.longest}"
    about = f"Token ids of a text{limit}; 0 is padding, at the end."
    return [table(builder, 7, offset={0: text(INPUT), 1: text(about)})]
