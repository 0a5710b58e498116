"""LiteRT files as objects of their schema: read, changed, written."""

from collections import Counter

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tl_keras.maybe import Maybe

ALIGNMENT = 16  # bytes; the schema asks for it, and kernels may read whole vectors
IDENTIFIER = b"TFL3"
NAMES = {value: name for name, value in vars(schema.BuiltinOperator).items() if name.isupper()}


class _Buffer(schema.BufferT):
    """Constants, written at an aligned place: the schema's own writer aligns bytes to bytes."""

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
    """A file's content as objects; constants that stand behind its tables are among them."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    for i, buffer in enumerate(model.buffers):
        if buffer.offset > 1:
            inside = content[buffer.offset : buffer.offset + buffer.size]
            buffer.data = np.frombuffer(inside, np.uint8)
        model.buffers[i] = _aligned(buffer.data)
    return model


def _aligned(data: np.ndarray | None) -> _Buffer:
    buffer = _Buffer()
    buffer.data = data
    return buffer


def write(model: schema.ModelT) -> bytes:
    """The content of a file."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def add_buffer(model: schema.ModelT, content: bytes) -> int:
    """Adds constants; the index of their buffer."""
    model.buffers.append(_aligned(np.frombuffer(content, np.uint8)))
    return len(model.buffers) - 1


def drop_unused(model: schema.ModelT) -> None:
    """Empties the buffers of constants that no operator reads any more."""
    graph = model.subgraphs[0]
    used = {int(i) for operator in graph.operators for i in (*operator.inputs, *operator.outputs)}
    used |= {int(i) for i in (*graph.inputs, *graph.outputs)}
    for i, tensor in enumerate(graph.tensors):
        if i not in used:
            tensor.buffer = 0  # The empty one.
    read = {tensor.buffer for tensor in graph.tensors} | {
        own.buffer for own in model.metadata or ()
    }
    for i, buffer in enumerate(model.buffers):
        if i not in read:
            buffer.data = None


def kind(model: schema.ModelT, operator: schema.OperatorT) -> str:
    """What an operator does, as in `CONV_2D`; a custom one by its own name, as in `FlexErf`."""
    code = model.operatorCodes[operator.opcodeIndex]
    if code.customCode:
        return code.customCode.decode()
    return NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)]


def operators(model: schema.ModelT) -> dict[str, int]:
    """How many operators there are of each kind, by name."""
    found = Counter(kind(model, operator) for operator in model.subgraphs[0].operators)
    return dict(sorted(found.items()))


def flex(content: bytes) -> list[str]:
    """The operators of a file that are TensorFlow's, by name."""
    return [name for name in operators(read(content)) if name.startswith("Flex")]


def constant(model: schema.ModelT, tensor: int) -> Maybe[np.ndarray]:
    """A tensor's values, `float32`, that are the same for all inputs; None of others."""
    entry = model.subgraphs[0].tensors[tensor]
    data = model.buffers[entry.buffer].data
    if data is None or entry.type != schema.TensorType.FLOAT32:
        return None
    return np.frombuffer(bytes(data), np.float32).reshape(entry.shape)


def name(model: schema.ModelT, tensor: int) -> str:
    """A tensor's name."""
    return model.subgraphs[0].tensors[tensor].name.decode()


def code_of(model: schema.ModelT, builtin: int) -> int:
    """The index of an operator's code, which is added where the file has none of it."""
    for i, code in enumerate(model.operatorCodes):
        if max(code.builtinCode, code.deprecatedBuiltinCode) == builtin and not code.customCode:
            return i
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = builtin
    code.version = 1
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def order_outputs(model: schema.ModelT) -> None:
    """Puts the answer before `abstain`: readers of metadata look for classes in the first."""
    signature = model.signatureDefs[0]
    signature.outputs.sort(key=lambda entry: entry.name == b"abstain")
    model.subgraphs[0].outputs = [entry.tensorIndex for entry in signature.outputs]


def follow_outputs(model: schema.ModelT) -> None:
    """Makes the signature follow outputs that quantising replaced, in the same order."""
    places = model.subgraphs[0].outputs
    for entry, place in zip(model.signatureDefs[0].outputs, places, strict=True):
        entry.tensorIndex = int(place)


def name_ends(model: schema.ModelT) -> None:
    """Gives the tensors that go in and out the names that the signature has for them."""
    signature = model.signatureDefs[0]
    for entry in (*signature.inputs, *signature.outputs):
        model.subgraphs[0].tensors[entry.tensorIndex].name = entry.name
