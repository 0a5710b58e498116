"""Metadata of a LiteRT file that describe its input: an image, and the range of its values."""

from flatbuffers import Builder

from tl_keras.export.formats.metadata import floats, table
from tl_keras.modalities.image.config import INPUT, ImageConfig

IMAGE_PROPERTIES = 2  # index in the union ContentProperties
RGB = 1


def inputs(builder: Builder, settings: ImageConfig) -> list[int]:
    """Writes the FlatBuffers table `TensorMetadata` for each input of a LiteRT file.

    Returns:
      the offsets of the tables in the builder.
    """
    text, side = builder.CreateString, settings.size
    size = table(builder, 2, uint32={0: side, 1: side})
    image = table(builder, 2, int8={0: RGB}, offset={1: size})
    content = table(builder, 3, int8={0: IMAGE_PROPERTIES}, offset={1: image})
    stats = table(builder, 2, offset={0: floats(builder, 255), 1: floats(builder, 0)})
    about = f"{side} x {side} px, RGB, 0 to 255 as decoded, not normalised."
    return [table(builder, 7, offset={0: text(INPUT), 1: text(about), 3: content, 5: stats})]
