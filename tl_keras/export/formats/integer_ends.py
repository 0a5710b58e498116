"""int8 from end to end: uint8 input, uint8 answers out, no float operator between."""

import math
from dataclasses import dataclass

from ai_edge_litert import schema_py_generated as schema

from tl_keras.export.formats import flatbuffer
from tl_keras.maybe import Maybe

PIXELS = 255
# Of outputs that lie in 0..1; a float one of another range stays float.
STEPS = {b"probabilities": 1 / 256, b"abstain": 1.0}
NO_ACTIVATION = schema.ActivationFunctionType.NONE


@dataclass(frozen=True)
class Front:
    """The affine map of the input at the start of a graph, as int8 holds it: `scale * (x - zero)`.

    Attributes:
      start: the place of the cast to float: behind what reverses the channels, where that is done.
      tensor: name of what the map gives.
      operators: how many there are after the cast.
      error: what it gives beyond the float graph: half a step at most, the same for all values.
    """

    start: int
    tensor: str
    operators: int
    scale: float
    zero: int
    error: float

    @property
    def end(self) -> int:
        """The place of the first operator behind it."""
        return self.start + 1 + self.operators


def front_of(model: schema.ModelT) -> Maybe[Front]:
    """Of a graph that begins with a cast and scalars that multiply and add."""
    graph = model.subgraphs[0]
    kinds = [flatbuffer.kind(model, operator) for operator in graph.operators[:2]]
    start = int(kinds[0] == "REVERSE_V2")
    if kinds[start : start + 1] != ["CAST"]:
        return None
    tensor, scale, offset, count = int(graph.operators[start].outputs[0]), 1.0, 0.0, 0
    for operator in graph.operators[start + 1 :]:
        kind, takers = flatbuffer.kind(model, operator), _takers(graph, tensor)
        if kind not in ("MUL", "ADD", "SUB", "DIV") or takers != [operator]:
            break
        if operator.inputs[0] != tensor or (value := _scalar(model, operator.inputs[1])) is None:
            break
        if operator.builtinOptions.fusedActivationFunction != NO_ACTIVATION:
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
    error = -scale * zero - offset
    return Front(start, flatbuffer.name(model, tensor), count, scale, zero, error)


def carriers(model: schema.ModelT, front: Front | None) -> set[str]:
    """Names of tensors that hold what the front gives, and maybe a border of zeros."""
    found = {front.tensor} if front else set()
    for operator in model.subgraphs[0].operators:
        padded = flatbuffer.kind(model, operator) in ("PAD", "PADV2")
        if padded and flatbuffer.name(model, operator.inputs[0]) in found:
            found.add(flatbuffer.name(model, operator.outputs[0]))
    return found


def _takers(graph: schema.SubGraphT, tensor: int) -> list[schema.OperatorT]:
    return [operator for operator in graph.operators if tensor in operator.inputs]


def _scalar(model: schema.ModelT, tensor: int) -> float | None:
    values = flatbuffer.constant(model, tensor)
    return float(values.reshape(-1)[0]) if values is not None and values.size == 1 else None


def make_integer(model: schema.ModelT, front: Front | None) -> None:
    """Gives a file uint8 in and out, and no float operator between the input and the rest."""
    graph = model.subgraphs[0]
    _integer_start(model, graph, front)
    names = [entry.name for entry in model.signatureDefs[0].outputs]
    ends = zip(graph.outputs, names, strict=True)
    graph.outputs = [_integer_end(model, graph, int(end), STEPS.get(name)) for end, name in ends]


def _integer_start(model: schema.ModelT, graph: schema.SubGraphT, front: Front | None) -> None:
    if front is None:
        return
    start, end = front.start, front.end + 1  # Behind the cast there is a `QUANTIZE` now.
    kinds = [flatbuffer.kind(model, operator) for operator in graph.operators[start : start + 2]]
    last = graph.operators[end - 1].outputs[0]
    name = graph.tensors[last].name.decode()
    if kinds != ["CAST", "QUANTIZE"] or name not in (front.tensor, f"{front.tensor}_quantized"):
        return
    into = graph.tensors[last].quantization
    scale, zero = float(into.scale[0]), int(into.zeroPoint[0])
    if zero != front.zero - 128 or not math.isclose(scale, front.scale, rel_tol=1e-4):
        return
    values = graph.operators[start].inputs[0]
    for tensor in {int(graph.inputs[0]), int(values)}:
        graph.tensors[tensor].quantization = _quantization(scale, front.zero)
    direct = graph.operators[start + 1]
    direct.inputs, direct.outputs = [values], [last]
    graph.operators[start:end] = [direct]


def _integer_end(
    model: schema.ModelT, graph: schema.SubGraphT, end: int, step: Maybe[float]
) -> int:
    """The number of a uint8 tensor that holds what an output does; of a float one in such steps."""
    found = graph.tensors[end]
    if found.type != schema.TensorType.INT8 and step is None:
        return end
    if found.type == schema.TensorType.INT8:
        scale, zero = float(found.quantization.scale[0]), int(found.quantization.zeroPoint[0])
        quantization = _quantization(scale, zero + 128)
    else:
        quantization = _quantization(step, 0)
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
