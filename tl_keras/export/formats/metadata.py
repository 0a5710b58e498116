"""Adds TFLite metadata to a LiteRT file, for MediaPipe Tasks and the TFLite Task Library.

The schema of the metadata is `metadata_schema.fbs` 1.1.0 of tflite-support. That package can no
longer be installed, so this module writes each table itself and refers to fields by number.
"""

import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

from tl_keras import tasks
from tl_keras.export.description import LABELS, Description, label_lines
from tl_keras.export.formats import flatbuffer
from tl_keras.modalities import part

NAME = b"TFLITE_METADATA"
IDENTIFIER = b"M001"
PARSER = "1.0.0"  # the oldest version of a parser that knows all fields written without a `Unit`
FEATURE_PROPERTIES = 1  # number in the union ContentProperties
TENSOR_AXIS_LABELS = 2


@dataclass(frozen=True)
class Unit:
    """A step by which a reader of the file prepares an example, and the files that it needs.

    Attributes:
      inputs: writes the metadata of the inputs that the step fills, as the part `metadata` of a
        modality does for other files.
      write: writes the FlatBuffers table `ProcessUnit` of the step, and returns its offset.
      files: the content of the files, by name.
      parser: the oldest version of a parser that knows the step.
    """

    inputs: Callable[[flatbuffers.Builder, Any], list[int]]
    write: Callable[[flatbuffers.Builder], int]
    files: dict[str, str]
    parser: str


def add(content: bytes, described: Description, unit: Unit | None = None) -> bytes:
    """Returns the LiteRT file with metadata inside it and a ZIP archive of the label file appended.

    The input and output tensors, which the converter named, are renamed to their names in the
    signature `serve`.

    Args:
      unit: a step by which a reader prepares an example; the archive then contains its files, too.
        None if the file takes prepared examples.
    """
    model = flatbuffer.read(content)
    flatbuffer.name_ends(model)
    model.metadata = [entry for entry in model.metadata or [] if entry.name != NAME]
    entry = schema.MetadataT()
    entry.name = NAME
    outputs = [flatbuffer.name(model, i) for i in model.subgraphs[0].outputs]
    entry.buffer = flatbuffer.add_buffer(model, _metadata(described, outputs, unit))
    model.metadata.append(entry)
    stream = io.BytesIO()
    stream.write(flatbuffer.write(model))
    with zipfile.ZipFile(stream, "a") as archive:
        # `ZipInfo` has a fixed date; the current date would make each file different.
        for name, text in {LABELS: label_lines(described), **(unit.files if unit else {})}.items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return stream.getvalue()


def _metadata(described: Description, outputs: Sequence[str], unit: Unit | None) -> bytes:
    builder = flatbuffers.Builder(1024)
    text = builder.CreateString
    writes = unit.inputs if unit else part(described.settings.modality, "metadata").inputs
    inputs = writes(builder, described.settings)
    tables = [_output(builder, described, name) for name in outputs]
    fields = {0: text("serve"), 2: vector(builder, inputs), 3: vector(builder, tables)}
    if unit:
        fields[5] = vector(builder, [unit.write(builder)])
    graph = table(builder, 7, offset=fields)
    strings: dict[int, str | None] = {0: described.name, 1: described.text, 2: described.version}
    strings |= {4: described.author, 5: described.license, 7: unit.parser if unit else PARSER}
    fields = {i: text(value) for i, value in strings.items() if value is not None}
    fields[3] = vector(builder, [graph])
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
        fields[6] = vector(builder, [labels])
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


def vector(builder: flatbuffers.Builder, offsets: Sequence[int]) -> int:
    """Writes a FlatBuffers vector of tables and returns its offset in the builder."""
    builder.StartVector(4, len(offsets), 4)
    for value in reversed(offsets):
        builder.PrependUOffsetTRelative(value)
    return builder.EndVector()


def floats(builder: flatbuffers.Builder, value: float) -> int:
    """Writes a FlatBuffers vector of one float and returns its offset in the builder."""
    builder.StartVector(4, 1, 4)
    builder.PrependFloat32(value)
    return builder.EndVector()
