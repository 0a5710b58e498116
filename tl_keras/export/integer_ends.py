"""int8 from end to end: uint8 pixels in, uint8 probabilities out, no float operator between."""

import math
from dataclasses import dataclass

from ai_edge_litert import schema_py_generated as schema

from tl_keras.export import flatbuffer

PIXELS = 255


@dataclass(frozen=True)
class Front:
    """The affine map of pixels at the start of a graph, as int8 holds it: `scale * (x - zero)`.

    Attributes:
      tensor: name of what it gives.
      operators: how many there are after the cast to float.
      error: what it gives beyond the float graph: half a step at most, the same for all pixels.
    """

    tensor: str
    operators: int
    scale: float
    zero: int
    error: float


def front_of(model: schema.ModelT) -> Front | None:
    """Of a graph that begins with a cast and scalars that multiply and add."""
    graph = model.subgraphs[0]
    if flatbuffer.kind(model, graph.operators[0]) != "CAST":
        return None
    tensor, scale, offset, count = int(graph.operators[0].outputs[0]), 1.0, 0.0, 0
    for operator in graph.operators[1:]:
        kind, takers = flatbuffer.kind(model, operator), _takers(graph, tensor)
        if kind not in ("MUL", "ADD", "SUB", "DIV") or takers != [operator]:
            break
        if operator.inputs[0] != tensor or (value := _scalar(model, operator.inputs[1])) is None:
            break
        scale = {"MUL": scale * value, "DIV": scale / value}.get(kind, scale)
        offset = {
            "MUL": offset * value,
            "DIV": offset / value,
            "ADD": offset + value,
            "SUB": offset - value,
        }[kind]
        tensor, count = int(operator.outputs[0]), count + 1
    zero = round(-offset / scale) if scale > 0 and math.isfinite(offset / scale) else -1
    if not 0 <= zero <= PIXELS:
        return None
    return Front(flatbuffer.name(model, tensor), count, scale, zero, -scale * zero - offset)


def _takers(graph: schema.SubGraphT, tensor: int) -> list[schema.OperatorT]:
    return [operator for operator in graph.operators if tensor in operator.inputs]


def _scalar(model: schema.ModelT, tensor: int) -> float | None:
    values = flatbuffer.constant(model, tensor)
    return float(values.reshape(-1)[0]) if values is not None and values.size == 1 else None


def make_integer(model: schema.ModelT, front: Front | None) -> None:
    """Gives a file uint8 in and out, and no float operator between the pixels and the rest."""
    graph = model.subgraphs[0]
    _integer_start(model, graph, front)
    graph.outputs = [_integer_end(model, graph, int(end)) for end in graph.outputs]


def _integer_start(model: schema.ModelT, graph: schema.SubGraphT, front: Front | None) -> None:
    kinds = [flatbuffer.kind(model, operator) for operator in graph.operators[:2]]
    if kinds != ["CAST", "QUANTIZE"] or front is None:
        return
    last = graph.operators[1 + front.operators].outputs[0]
    into = graph.tensors[last].quantization
    if graph.tensors[last].name.decode() not in (front.tensor, f"{front.tensor}_quantized"):
        return
    scale, zero = float(into.scale[0]), int(into.zeroPoint[0])
    if zero != front.zero - 128 or not math.isclose(scale, front.scale, rel_tol=1e-4):
        return
    pixels = graph.tensors[graph.inputs[0]]
    pixels.quantization = _quantization(scale, front.zero)
    start = graph.operators[1]
    start.inputs, start.outputs = [graph.inputs[0]], [last]
    graph.operators[: 2 + front.operators] = [start]


def _integer_end(model: schema.ModelT, graph: schema.SubGraphT, end: int) -> int:
    """The number of a uint8 tensor that holds what an output does."""
    found = graph.tensors[end]
    if found.type == schema.TensorType.UINT8:
        return end
    if found.type == schema.TensorType.INT8:
        scale, zero = float(found.quantization.scale[0]), int(found.quantization.zeroPoint[0])
        quantization = _quantization(scale, zero + 128)
    else:
        quantization = _quantization(1 / 256, 0)
    tensor = schema.TensorT()
    tensor.shape, tensor.shapeSignature = found.shape, found.shapeSignature
    tensor.type, tensor.quantization = schema.TensorType.UINT8, quantization
    tensor.name = found.name + b"_uint8"
    graph.tensors.append(tensor)
    operator = schema.OperatorT()
    operator.opcodeIndex = flatbuffer.code_of(model, schema.BuiltinOperator.QUANTIZE)
    operator.inputs, operator.outputs = [end], [len(graph.tensors) - 1]
    graph.operators.append(operator)
    return len(graph.tensors) - 1


def _quantization(scale: float, zero: int) -> schema.QuantizationParametersT:
    found = schema.QuantizationParametersT()
    found.scale, found.zeroPoint = [scale], [zero]
    return found
