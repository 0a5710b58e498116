"""Makes an int8 file integer from end to end: uint8 input, uint8 outputs, no float operators."""

import math
from dataclasses import dataclass

from ai_edge_litert import schema_py_generated as schema

from tl_keras.export.formats import flatbuffer
from tl_keras.maybe import Maybe

PIXELS = 255
# Quantisation steps of float outputs in 0..1. A float output with another range stays float.
STEPS = {b"probabilities": 1 / 256, b"abstain": 1.0}
NO_ACTIVATION = schema.ActivationFunctionType.NONE


@dataclass(frozen=True)
class Front:
    """The normalisation at the start of a graph: the input x (0..255) to `scale * (x - zero)`.

    In an int8 file `zero` must be an integer, so the normalisation is slightly different there.

    Attributes:
      start: position of the cast to float among the graph's operators. The normalisation begins
        with this cast. The position is 1 if the graph first reverses the channels, else 0.
      tensor: name of the tensor that holds the normalised input.
      operators: number of operators of the normalisation, without the cast.
      scale: factor of the normalisation.
      zero: the value of x that is normalised to 0, rounded to an integer in 0..255.
      error: normalised value in the int8 file minus normalised value in the float graph. It is the
        same for each x, and at most scale / 2.
    """

    start: int
    tensor: str
    operators: int
    scale: float
    zero: int
    error: float

    @property
    def end(self) -> int:
        """Position of the first operator after the normalisation, among the graph's operators."""
        return self.start + 1 + self.operators


def front_of(model: schema.ModelT) -> Maybe[Front]:
    """Returns the normalisation at the start of a graph.

    A normalisation is a cast to float, followed by additions, subtractions, multiplications or
    divisions, each with a single constant. Returns None if the graph starts differently, or if
    `Front.zero` would be outside 0..255.
    """
    graph = model.subgraphs[0]
    kinds = [flatbuffer.kind(model, operator) for operator in graph.operators[:2]]
    start = int(kinds[0] == "REVERSE_V2")
    if kinds[start : start + 1] != ["CAST"]:
        return None
    tensor, scale, offset, count = int(graph.operators[start].outputs[0]), 1.0, 0.0, 0
    for operator in graph.operators[start + 1 :]:
        kind, readers = flatbuffer.kind(model, operator), _readers(graph, tensor)
        if kind not in ("MUL", "ADD", "SUB", "DIV") or readers != [operator]:
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


def normalised_inputs(model: schema.ModelT, front: Front | None) -> set[str]:
    """Returns the names of the tensors that hold the normalised input, before and after padding."""
    names = {front.tensor} if front else set()
    for operator in model.subgraphs[0].operators:
        padded = flatbuffer.kind(model, operator) in ("PAD", "PADV2")
        if padded and flatbuffer.name(model, operator.inputs[0]) in names:
            names.add(flatbuffer.name(model, operator.outputs[0]))
    return names


def _readers(graph: schema.SubGraphT, tensor: int) -> list[schema.OperatorT]:
    return [operator for operator in graph.operators if tensor in operator.inputs]


def _scalar(model: schema.ModelT, tensor: int) -> float | None:
    values = flatbuffer.constant(model, tensor)
    return float(values.reshape(-1)[0]) if values is not None and values.size == 1 else None


def make_integer(model: schema.ModelT, front: Front | None) -> None:
    """Gives an int8 file a uint8 input and uint8 outputs, and removes the float normalisation.

    The scale and the zero point of the quantised input then normalise the input.

    Args:
      front: the normalisation of the input; None if the graph does not begin with one. The input
        then stays as it is.
    """
    graph = model.subgraphs[0]
    _integer_start(model, graph, front)
    names = [entry.name for entry in model.signatureDefs[0].outputs]
    ends = zip(graph.outputs, names, strict=True)
    graph.outputs = [_integer_end(model, graph, int(end), STEPS.get(name)) for end, name in ends]


def _integer_start(model: schema.ModelT, graph: schema.SubGraphT, front: Front | None) -> None:
    if front is None:
        return
    start, end = front.start, front.end + 1  # The quantizer added a `QUANTIZE` after the cast.
    kinds = [flatbuffer.kind(model, operator) for operator in graph.operators[start : start + 2]]
    last = graph.operators[end - 1].outputs[0]
    name = graph.tensors[last].name.decode()
    if kinds != ["CAST", "QUANTIZE"] or name not in (front.tensor, f"{front.tensor}_quantized"):
        return
    quantization = graph.tensors[last].quantization
    scale, zero = float(quantization.scale[0]), int(quantization.zeroPoint[0])
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
    """Adds an operator that converts an output to uint8; returns the index of the uint8 tensor.

    Args:
      end: index of the tensor of the output, int8 or float.
      step: quantisation step for a float output. If None, a float output is left as it is, and its
        own index is returned.
    """
    output = graph.tensors[end]
    if output.type != schema.TensorType.INT8 and step is None:
        return end
    if output.type == schema.TensorType.INT8:
        scale, zero = float(output.quantization.scale[0]), int(output.quantization.zeroPoint[0])
        quantization = _quantization(scale, zero + 128)
    else:
        quantization = _quantization(step, 0)
    tensor = schema.TensorT()
    tensor.shape, tensor.shapeSignature = output.shape, output.shapeSignature
    tensor.type, tensor.quantization = schema.TensorType.UINT8, quantization
    tensor.name = output.name + b"_uint8"
    graph.tensors.append(tensor)
    operator = schema.OperatorT()
    operator.opcodeIndex = flatbuffer.code_of(model, schema.BuiltinOperator.QUANTIZE)
    operator.inputs, operator.outputs = [end], [len(graph.tensors) - 1]
    graph.operators.append(operator)
    return len(graph.tensors) - 1


def _quantization(scale: float, zero: int) -> schema.QuantizationParametersT:
    parameters = schema.QuantizationParametersT()
    parameters.scale, parameters.zeroPoint = [scale], [zero]
    return parameters
