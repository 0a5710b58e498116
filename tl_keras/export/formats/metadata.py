"""Adds TFLite metadata to a LiteRT file, for MediaPipe Tasks and the TFLite Task Library.

The schema of the metadata is `metadata_schema.fbs` 1.1.0 of tflite-support. That package can no
longer be installed, so this module writes each table itself and refers to fields by number.
"""

import io
import zipfile
from collections.abc import Sequence

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

from tl_keras import tasks
from tl_keras.export.description import LABELS, Description, label_lines
from tl_keras.export.formats import flatbuffer
from tl_keras.modalities import part

NAME = b"TFLITE_METADATA"
IDENTIFIER = b"M001"
PARSER = "1.0.0"  # the oldest version of a parser that knows all fields written here
FEATURE_PROPERTIES = 1  # number in the union ContentProperties
TENSOR_AXIS_LABELS = 2


def add(content: bytes, described: Description) -> bytes:
    """Returns the LiteRT file with metadata inside it and a ZIP archive of the label file appended.

    The input and output tensors, which the converter named, are renamed to their names in the
    signature `serve`.
    """
    model = flatbuffer.read(content)
    flatbuffer.name_ends(model)
    model.metadata = [entry for entry in model.metadata or [] if entry.name != NAME]
    entry = schema.MetadataT()
    entry.name = NAME
    outputs = [flatbuffer.name(model, i) for i in model.subgraphs[0].outputs]
    entry.buffer = flatbuffer.add_buffer(model, _metadata(described, outputs))
    model.metadata.append(entry)
    stream = io.BytesIO()
    stream.write(flatbuffer.write(model))
    with zipfile.ZipFile(stream, "a") as archive:
        # `ZipInfo` has a fixed date; the current date would make each file different.
        archive.writestr(zipfile.ZipInfo(LABELS), label_lines(described))
    return stream.getvalue()


def _metadata(described: Description, outputs: Sequence[str]) -> bytes:
    builder = flatbuffers.Builder(1024)
    text = builder.CreateString
    inputs = part(described.settings.modality, "metadata").inputs(builder, described.settings)
    tables = [_output(builder, described, name) for name in outputs]
    fields = {0: text("serve"), 2: _vector(builder, inputs), 3: _vector(builder, tables)}
    graph = table(builder, 7, offset=fields)
    strings: dict[int, str | None] = {0: described.name, 1: described.text, 2: described.version}
    strings |= {4: described.author, 5: described.license, 7: PARSER}
    fields = {i: text(value) for i, value in strings.items() if value is not None}
    fields[3] = _vector(builder, [graph])
    builder.Finish(table(builder, 8, offset=fields), IDENTIFIER)
    return bytes(builder.Output())


def _output(builder: flatbuffers.Builder, described: Description, name: str) -> int:
    text = builder.CreateString
    features = table(builder, 0)
    content = table(builder, 3, int8={0: FEATURE_PROPERTIES}, offset={1: features})
    words = tasks.of(described.task, "words")
    fields = {0: text(name), 1: text(words.OUTPUTS.get(name, described.text)), 3: content}
    labelled, about = words.LABELLED or (None, "")
    if name == labelled:
        fields[5] = table(builder, 2, offset={0: floats(builder, 1), 1: floats(builder, 0)})
        strings = {0: text(LABELS), 1: text(about)}
        labels = table(builder, 4, int8={2: TENSOR_AXIS_LABELS}, offset=strings)
        fields[6] = _vector(builder, [labels])
    return table(builder, 7, offset=fields)


def table(
    builder: flatbuffers.Builder,
    count: int,
    int8: dict[int, int] | None = None,
    uint32: dict[int, int] | None = None,
    offset: dict[int, int] | None = None,
) -> int:
    """Writes a FlatBuffers table of `count` fields and returns its offset in the builder.

    Args:
      int8, uint32, offset: the fields of each of these three types, `{field number: value}`.
    """
    builder.StartObject(count)
    for i, value in (offset or {}).items():
        builder.PrependUOffsetTRelativeSlot(i, value, 0)
    for i, value in (uint32 or {}).items():
        builder.PrependUint32Slot(i, value, 0)
    for i, value in (int8 or {}).items():
        builder.PrependInt8Slot(i, value, 0)
    return builder.EndObject()


def _vector(builder: flatbuffers.Builder, offsets: Sequence[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for value in reversed(offsets):
        builder.PrependUOffsetTRelative(value)
    return builder.EndVector()


def floats(builder: flatbuffers.Builder, value: float) -> int:
    builder.StartVector(4, 1, 4)
    builder.PrependFloat32(value)
    return builder.EndVector()
