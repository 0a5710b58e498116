"""Reads, changes and writes LiteRT files as objects of their FlatBuffers schema."""

from collections import Counter

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tl_keras.maybe import Maybe

ALIGNMENT = 16  # bytes; the schema requires this, because kernels may read whole vectors
IDENTIFIER = b"TFL3"
NAMES = {value: name for name, value in vars(schema.BuiltinOperator).items() if name.isupper()}


class _Buffer(schema.BufferT):
    """A buffer of constants that is written at a multiple of `ALIGNMENT` bytes.

    The class that the schema generates would write the buffer at an arbitrary offset.
    """

    def Pack(self, builder: flatbuffers.Builder) -> int:
        data = None
        if self.data is not None:
            builder.StartVector(1, len(self.data), ALIGNMENT)
            builder.head -= len(self.data)
            builder.Bytes[builder.head : builder.head + len(self.data)] = bytes(self.data)
            data = builder.EndVector()
        schema.BufferStart(builder)
        if data is not None:
            schema.BufferAddData(builder, data)
        return schema.BufferEnd(builder)


def read(content: bytes) -> schema.ModelT:
    """Parses a file's content into objects, including constants stored after its tables."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    for i, buffer in enumerate(model.buffers):
        if buffer.offset > 1:
            constants = content[buffer.offset : buffer.offset + buffer.size]
            buffer.data = np.frombuffer(constants, np.uint8)
        model.buffers[i] = _aligned(buffer.data)
    return model


def _aligned(data: np.ndarray | None) -> _Buffer:
    buffer = _Buffer()
    buffer.data = data
    return buffer


def write(model: schema.ModelT) -> bytes:
    """Returns the content of the LiteRT file that describes `model`; the reverse of `read`."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def add_buffer(model: schema.ModelT, content: bytes) -> int:
    """Adds a buffer of constants and returns its index."""
    model.buffers.append(_aligned(np.frombuffer(content, np.uint8)))
    return len(model.buffers) - 1


def drop_unused(model: schema.ModelT) -> None:
    """Empties the buffers of constants that no operator reads."""
    graph = model.subgraphs[0]
    used = {int(i) for operator in graph.operators for i in (*operator.inputs, *operator.outputs)}
    used |= {int(i) for i in (*graph.inputs, *graph.outputs)}
    for i, tensor in enumerate(graph.tensors):
        if i not in used:
            tensor.buffer = 0  # Buffer 0 is always empty.
    read = {tensor.buffer for tensor in graph.tensors}
    read |= {entry.buffer for entry in model.metadata or ()}
    for i, buffer in enumerate(model.buffers):
        if i not in read:
            buffer.data = None


def kind(model: schema.ModelT, operator: schema.OperatorT) -> str:
    """Returns the kind of an operator, such as `CONV_2D`, or the name of a custom operator."""
    code = model.operatorCodes[operator.opcodeIndex]
    if code.customCode:
        return code.customCode.decode()
    return NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)]


def operators(model: schema.ModelT) -> dict[str, int]:
    """Returns the number of operators of each kind, sorted by name."""
    counts = Counter(kind(model, operator) for operator in model.subgraphs[0].operators)
    return dict(sorted(counts.items()))


def flex(content: bytes) -> list[str]:
    """Returns the names of operators that need TensorFlow itself (Flex), such as `FlexErf`."""
    return [name for name in operators(read(content)) if name.startswith("Flex")]


def constant(model: schema.ModelT, tensor: int) -> Maybe[np.ndarray]:
    """Returns a constant tensor's `float32` values; None if it is not constant or not float32."""
    entry = model.subgraphs[0].tensors[tensor]
    data = model.buffers[entry.buffer].data
    if data is None or entry.type != schema.TensorType.FLOAT32:
        return None
    return np.frombuffer(bytes(data), np.float32).reshape(entry.shape)


def name(model: schema.ModelT, tensor: int) -> str:
    """Returns a tensor's name."""
    return model.subgraphs[0].tensors[tensor].name.decode()


def code_of(model: schema.ModelT, builtin: int) -> int:
    """Returns the index of a kind of operator in the file's operator codes; adds it if missing.

    Args:
      builtin: the kind, a value of `schema.BuiltinOperator`.
    """
    for i, code in enumerate(model.operatorCodes):
        if max(code.builtinCode, code.deprecatedBuiltinCode) == builtin and not code.customCode:
            return i
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = builtin
    code.version = 1
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def order_outputs(model: schema.ModelT) -> None:
    """Makes `abstain` the last output, because readers of metadata expect classes in output 0."""
    signature = model.signatureDefs[0]
    signature.outputs.sort(key=lambda entry: entry.name == b"abstain")
    model.subgraphs[0].outputs = [entry.tensorIndex for entry in signature.outputs]


def follow_outputs(model: schema.ModelT) -> None:
    """Points the outputs of the signature to the graph's outputs, in the same order.

    Quantisation replaces the graph's output tensors, but leaves the signature as it was.
    """
    tensors = model.subgraphs[0].outputs
    for entry, tensor in zip(model.signatureDefs[0].outputs, tensors, strict=True):
        entry.tensorIndex = int(tensor)


def name_ends(model: schema.ModelT) -> None:
    """Renames the input and output tensors of the graph to their names in the signature."""
    signature = model.signatureDefs[0]
    for entry in (*signature.inputs, *signature.outputs):
        model.subgraphs[0].tensors[entry.tensorIndex].name = entry.name
