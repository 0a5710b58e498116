"""TFLite metadata: what MediaPipe Tasks and the TFLite Task Library read from inside a file.

The schema is that of tflite-support, `metadata_schema.fbs` 1.1.0; its writer no longer installs.
Tables are written by the numbers of their fields there.
"""

import io
import zipfile
from collections.abc import Sequence

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

from tl_keras.export.description import LABELS, Description, label_lines
from tl_keras.export.formats import flatbuffer

NAME = b"TFLITE_METADATA"
IDENTIFIER = b"M001"
PARSER = "1.0.0"  # the oldest that knows all of what is written here
IMAGE_PROPERTIES, FEATURE_PROPERTIES = 2, 1  # of the union ContentProperties
RGB, TENSOR_AXIS_LABELS = 1, 2


def add(content: bytes, described: Description) -> bytes:
    """The file with metadata inside, and the labels packed behind it as a ZIP archive is."""
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
        # A date of its own would make every file another.
        archive.writestr(zipfile.ZipInfo(LABELS), label_lines(described))
    return stream.getvalue()


def _metadata(described: Description, outputs: Sequence[str]) -> bytes:
    builder = flatbuffers.Builder(1024)
    text, side = builder.CreateString, described.settings.size
    size = _table(builder, 2, uint32={0: side, 1: side})
    image = _table(builder, 2, int8={0: RGB}, offset={1: size})
    content = _table(builder, 3, int8={0: IMAGE_PROPERTIES}, offset={1: image})
    stats = _table(builder, 2, offset={0: _floats(builder, 255), 1: _floats(builder, 0)})
    about = f"{side} x {side} px, RGB, 0 to 255, as decoded; not normalised."
    fields = {0: text("image"), 1: text(about), 3: content, 5: stats}
    inputs = [_table(builder, 7, offset=fields)]
    found = [_output(builder, described, name) for name in outputs]
    fields = {0: text("serve"), 2: _vector(builder, inputs), 3: _vector(builder, found)}
    graph = _table(builder, 7, offset=fields)
    strings = {0: described.name, 1: described.text, 2: described.version}
    strings |= {4: described.author, 5: described.license, 7: PARSER}
    fields = {i: text(value) for i, value in strings.items() if value is not None}
    fields[3] = _vector(builder, [graph])
    builder.Finish(_table(builder, 8, offset=fields), IDENTIFIER)
    return bytes(builder.Output())


def _output(builder: flatbuffers.Builder, described: Description, name: str) -> int:
    text = builder.CreateString
    features = _table(builder, 0)
    content = _table(builder, 3, int8={0: FEATURE_PROPERTIES}, offset={1: features})
    fields = {0: text(name), 1: text(OUTPUTS[name]), 3: content}
    if name == "probabilities":
        fields[5] = _table(builder, 2, offset={0: _floats(builder, 1), 1: _floats(builder, 0)})
        strings = {0: text(LABELS), 1: text("Class names, in the order of the probabilities.")}
        labels = _table(builder, 4, int8={2: TENSOR_AXIS_LABELS}, offset=strings)
        fields[6] = _vector(builder, [labels])
    return _table(builder, 7, offset=fields)


OUTPUTS = {
    "probabilities": "Probability of each class, 0 to 1, calibrated by temperature.",
    "abstain": "1 where the model had better not decide, else 0.",
}


def _table(
    builder: flatbuffers.Builder,
    count: int,
    int8: dict[int, int] | None = None,
    uint32: dict[int, int] | None = None,
    offset: dict[int, int] | None = None,
) -> int:
    """A table of so many fields; of those that are given, values by number."""
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


def _floats(builder: flatbuffers.Builder, value: float) -> int:
    builder.StartVector(4, 1, 4)
    builder.PrependFloat32(value)
    return builder.EndVector()
