"""Stores the tables of token vectors in a LiteRT file as integers.

ai-edge-quantizer leaves the table of a GATHER in float32, which is half of a small transformer.
Here each row of the table becomes integers with a scale of its own. The file then reads the
integers of a token, converts them to floats and multiplies them by the scale of the token.
"""

import copy
from collections.abc import Collection
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tl_keras.export.formats import flatbuffer
from tl_keras.export.formats.weighted_layers import scope_of

SMALLEST = 1 << 14  # values; smaller tables stay as they are
# The integers of a table. With 16 bits, rounding changes a value less than in float16.
TYPES: dict[str, tuple[Any, int]] = {
    "dynamic": (np.int8, schema.TensorType.INT8),
    "float16": (np.int16, schema.TensorType.INT16),
}


def quantise(model: schema.ModelT, name: str, kept: Collection[str]) -> None:
    """Rewrites the tables of token vectors of a file, which is changed.

    Args:
      name: the format; formats that `TYPES` lacks leave tables as they are.
      kept: scopes of the operators that stay float.
    """
    if name not in TYPES:
        return
    graph, operators = model.subgraphs[0], []
    for operator in graph.operators:
        is_table = flatbuffer.kind(model, operator) == "GATHER" and _is_table(model, operator)
        if is_table and scope_of(model, operator) not in kept:
            operators += _rewritten(model, operator, *TYPES[name])
        else:
            operators.append(operator)
    graph.operators = operators


def _is_table(model: schema.ModelT, operator: schema.OperatorT) -> bool:
    """Returns whether an operator reads rows of a large constant table that nothing else reads."""
    values = flatbuffer.constant(model, operator.inputs[0])
    options, graph = operator.builtinOptions, model.subgraphs[0]
    readers = sum(operator.inputs[0] in other.inputs for other in graph.operators)
    plain = options is None or (options.axis == 0 and options.batchDims == 0)
    return (
        values is not None
        and values.ndim == 2
        and values.size >= SMALLEST
        and plain
        and readers == 1
    )


def _rewritten(
    model: schema.ModelT, operator: schema.OperatorT, dtype: Any, kind: int
) -> list[schema.OperatorT]:
    """Returns the operators that replace a GATHER of a float table: integers times scale."""
    graph = model.subgraphs[0]
    table, ids = operator.inputs[:2]
    result = operator.outputs[0]
    values = flatbuffer.constant(model, table)
    most = np.iinfo(dtype).max
    scales = np.abs(values).max(axis=1, keepdims=True) / most
    scales = np.where(scales > 0, scales, 1).astype(np.float32)
    integers = np.clip(np.round(values / scales), -most, most).astype(dtype)
    graph.tensors[table].buffer = flatbuffer.add_buffer(model, integers.tobytes())
    graph.tensors[table].type = kind
    scale_table = _tensor(model, table, "scales", schema.TensorType.FLOAT32)
    graph.tensors[scale_table].shape = list(scales.shape)
    graph.tensors[scale_table].buffer = flatbuffer.add_buffer(model, scales.tobytes())
    codes = _tensor(model, result, "integers", kind)
    floats = _tensor(model, result, "floats", schema.TensorType.FLOAT32)
    factors = _tensor(model, result, "factors", schema.TensorType.FLOAT32)
    for size in ("shape", "shapeSignature"):
        if getattr(graph.tensors[factors], size) is not None:
            sizes = [*getattr(graph.tensors[factors], size)[:-1], 1]
            setattr(graph.tensors[factors], size, sizes)
    factor_reader = copy.copy(operator)
    operator.inputs, operator.outputs = [table, ids], [codes]
    factor_reader.inputs, factor_reader.outputs = [scale_table, ids], [factors]
    return [
        operator,
        _operator(model, "CAST", schema.CastOptionsT(), [codes], floats),
        factor_reader,
        _operator(model, "MUL", schema.MulOptionsT(), [floats, factors], result),
    ]


def _tensor(model: schema.ModelT, like: int, suffix: str, kind: int) -> int:
    """Adds a tensor of the same shape as another one, without a value, and returns its index."""
    graph = model.subgraphs[0]
    tensor = copy.copy(graph.tensors[like])
    tensor.name = tensor.name + f"_{suffix}".encode()
    tensor.type, tensor.buffer, tensor.quantization = kind, 0, None
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _operator(
    model: schema.ModelT, name: str, options: Any, inputs: list[int], output: int
) -> schema.OperatorT:
    operator = schema.OperatorT()
    operator.opcodeIndex = flatbuffer.code_of(model, getattr(schema.BuiltinOperator, name))
    operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__[:-1])
    operator.builtinOptions = options
    operator.inputs, operator.outputs = inputs, [output]
    return operator
