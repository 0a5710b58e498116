"""Quantised LiteRT files from a float32 one, by ai-edge-quantizer.

What is done beside the quantizer's own work, since each was worth it on photographs:

- Activations have the range that they take on examples. By default the quantizer takes a moving
  average of it, which cuts off what is rare.
- Where a channel's weights are all but zero and its bias is not, the scale is raised until the
  bias fits 32 bits; else it overflows, and the channel answers at random.
- Rounding weights shifts what a channel gives on average. Its bias makes up for that (Nagel et al.
  2019, arXiv 1906.04721, 4.2; here with means that were measured, not with those of batch norm).
- In `dynamic` the weights of depthwise convolutions are unpacked before use: their kernel for
  activations that are quantised at run time is several times slower than the one for floats.
- `int8` takes and gives uint8 without a float operator on the way.
"""

import re
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from ai_edge_quantizer import qtyping, quantizer, recipe_manager
from ai_edge_quantizer.algorithm_manager import AlgorithmName

from tl_keras.export.formats import flatbuffer, integer_ends

EVERYTHING = qtyping.TFLOperationName.ALL_SUPPORTED
CHANNEL_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}  # of the weights
LEVELS = 127  # of a weight, to either side of 0
MOST_OF_A_BIAS = 2**30  # steps; a quarter of what 32 bits hold
THREADS = 2


@dataclass(frozen=True)
class Layer:
    """An operator with weights.

    Attributes:
      scope: names of its outputs, by which the quantizer knows it.
      input: its input, weights and bias are numbers of tensors; of the bias -1, where there is
        none.
    """

    kind: str
    scope: str
    input: int
    weights: int
    bias: int


@dataclass(frozen=True)
class Calibrated:
    """A float32 file, and what it takes to quantise it.

    Attributes:
      content: of the file.
      scopes: of all operators in order, see `Layer`.
      ranges: of activations, by tensor, `min` and `max`.
      largest: of weights, by tensor, what 127 steps stand for in each channel; for
        each of `STATIC`.
      corrections: by format, and by a layer's scope, what to take from its bias,
        `(channels,) float32`.
      shifts: by scope, the same for what the int8 input is off by.
      weighted: places of operators with weights, of whatever kind.
      tail: places of operators behind the answer, which stay float.
    """

    content: bytes
    scopes: tuple[str, ...]
    layers: tuple[Layer, ...]
    ranges: dict[str, dict[str, np.ndarray]]
    largest: dict[str, dict[str, np.ndarray]]
    corrections: dict[str, dict[str, np.ndarray]]
    shifts: dict[str, np.ndarray]
    front: integer_ends.Front | None
    weighted: frozenset[int]
    tail: range


def calibrate(content: bytes, examples: np.ndarray) -> Calibrated:
    """Runs a float32 file on examples, `(examples, size, size, 3) uint8`."""
    model = flatbuffer.read(content)
    ranges, means = _statistics(content, model, examples)
    front, layers = integer_ends.front_of(model), _layers(model)
    if front:
        low, high = (front.scale * (x - front.zero) for x in (0, integer_ends.PIXELS))
        shape = ranges[front.tensor]["min"].shape
        ranges[front.tensor] = _range(low, high, shape)
    largest: dict[str, dict[str, np.ndarray]] = {name: {} for name in STATIC}
    corrections: dict[str, dict[str, np.ndarray]] = {name: {} for name in CORRECTED}
    shifts, carriers = {}, integer_ends.carriers(model, front)
    for layer in layers:
        source, own = (flatbuffer.name(model, i) for i in (layer.input, layer.weights))
        weights: Any = flatbuffer.constant(model, layer.weights)
        mean: Any = means.get(source)
        corrects = mean is not None and _takes(layer, weights, len(mean))
        for name in CORRECTED:
            step = _step(name, ranges.get(source)) if name in STATIC else None
            top = _largest(layer, weights, _bias(model, layer, weights), step)
            if name in STATIC:  # Two layers may share their weights.
                largest[name][own] = top = np.maximum(top, largest[name].get(own, 0))
            if corrects:
                difference = _rounded(weights, top) - weights
                corrections[name][layer.scope] = _response(layer, difference, mean)
        if corrects and source in carriers:
            shifts[layer.scope] = _response(layer, weights, np.full_like(mean, front.error))
    scopes = tuple(_scope(model, operator) for operator in model.subgraphs[0].operators)
    tail = _tail(model)
    weighted = _weighted(model)
    return Calibrated(
        content, scopes, layers, ranges, largest, corrections, shifts, front, weighted, tail
    )


def quantise(
    calibrated: Calibrated, name: str, kept: Collection[int] = (), ends: bool = True
) -> bytes:
    """A file of the format `name`: `float16`, `dynamic`, `int8` or `int16x8`.

    Args:
      kept: places of operators that stay float, among all of the float32 file.
      ends: whether int8 takes and gives uint8; else it gives floats.
    """
    places, ranges = {*kept, *calibrated.tail}, None
    if name == "float16":
        content, recipe = calibrated.content, _float16()
    else:
        left = {calibrated.scopes[i] for i in places}
        content, recipe = _corrected(calibrated, name, left), RECIPES[name]()
    if name in STATIC:
        weights = calibrated.largest[name].items()
        ranges = calibrated.ranges | {own: {"min": -top, "max": top} for own, top in weights}
        if name == "int16x8":
            # The add of a normalisation to -1..1 fails where scales are powers of two, or nearly.
            places |= set(range(calibrated.front.end if calibrated.front else 1))
    for scope in sorted(calibrated.scopes[i] for i in places):
        recipe.add_quantization_config(
            f"^{re.escape(scope)}$", EVERYTHING, algorithm_key=AlgorithmName.NO_QUANTIZE
        )
    made = quantizer.Quantizer(bytearray(content), recipe.get_quantization_recipe())
    with warnings.catch_warnings(), np.errstate(over="ignore"):
        # Its interpreter keeps all tensors, and warns of the memory that it takes; float16 may be
        # too small for a weight, which shows when the file is run.
        warnings.simplefilter("ignore")
        found = made.quantize(ranges, enable_progress_report=False).quantized_model
    model = flatbuffer.read(bytes(found))
    if name == "int8" and ends:
        integer_ends.make_integer(model, calibrated.front)
    flatbuffer.follow_outputs(model)
    flatbuffer.name_ends(model)
    flatbuffer.drop_unused(model)
    return flatbuffer.write(model)


def candidates(calibrated: Calibrated, name: str) -> list[int]:
    """Places of operators that a format quantises: with weights, or in `STATIC` all."""
    if name in STATIC:
        front = calibrated.front.end if calibrated.front else 1
        return [*range(front, calibrated.tail.start)]
    return [i for i in range(calibrated.tail.start) if i in calibrated.weighted]


def _float16() -> recipe_manager.RecipeManager:
    recipe = recipe_manager.RecipeManager()
    weights = qtyping.TensorQuantizationConfig(16, dtype=qtyping.TensorDataType.FLOAT)
    how = qtyping.OpQuantizationConfig(
        weight_tensor_config=weights,
        compute_precision=qtyping.ComputePrecision.FLOAT,
        explicit_dequantize=True,
    )
    recipe.add_quantization_config(".*", EVERYTHING, how, algorithm_key=AlgorithmName.FLOAT_CASTING)
    return recipe


def _dynamic() -> recipe_manager.RecipeManager:
    recipe = recipe_manager.RecipeManager()
    recipe.add_dynamic_config(".*", EVERYTHING, 8)
    recipe.add_weight_only_config(".*", qtyping.TFLOperationName.DEPTHWISE_CONV_2D, 8)
    return recipe


def _static(bits: int, floats: Sequence[str]) -> recipe_manager.RecipeManager:
    recipe = recipe_manager.RecipeManager()
    recipe.add_static_config(".*", EVERYTHING, activation_num_bits=bits, weight_num_bits=8)
    for end in floats:
        recipe.add_quantization_config(
            ".*", qtyping.TFLOperationName(end), algorithm_key=AlgorithmName.NO_QUANTIZE
        )
    return recipe


RECIPES = {
    "dynamic": _dynamic,
    "int8": lambda: _static(8, ["INPUT"]),
    "int16x8": lambda: _static(16, ["INPUT", "OUTPUT"]),
}
CORRECTED = tuple(RECIPES)
STATIC = ("int8", "int16x8")  # Those whose activations have a range that is known beforehand.


def _statistics(
    content: bytes, model: schema.ModelT, examples: np.ndarray
) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, np.ndarray]]:
    """By tensor, the range of activations, and the mean of each channel."""
    interpreter = Interpreter(
        model_content=content,
        num_threads=THREADS,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    graph = model.subgraphs[0]
    made = {int(i) for operator in graph.operators for i in operator.outputs}
    made |= set(map(int, graph.inputs))  # Pixels are integers; other inputs may be floats.
    floats = [i for i in made if graph.tensors[i].type == schema.TensorType.FLOAT32]
    low, high = dict.fromkeys(floats, np.inf), dict.fromkeys(floats, -np.inf)
    total: dict[int, Any] = {}
    for example in examples:
        interpreter.set_tensor(graph.inputs[0], example[None])
        interpreter.invoke()
        for i in floats:
            values = interpreter.get_tensor(i)
            low[i] = min(low[i], values.min())
            high[i] = max(high[i], values.max())
            mean = values.reshape(-1, values.shape[-1]).mean(0) if values.ndim else values
            total[i] = total.get(i, 0.0) + mean
    names = {i: flatbuffer.name(model, i) for i in floats}
    shapes = {i: (1,) * len(graph.tensors[i].shape) for i in floats}
    ranges = {names[i]: _range(low[i], high[i], shapes[i]) for i in floats}
    return ranges, {names[i]: total[i] / len(examples) for i in floats}


def _range(low: float, high: float, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    return {"min": np.full(shape, low, np.float32), "max": np.full(shape, high, np.float32)}


def _layers(model: schema.ModelT) -> tuple[Layer, ...]:
    found = []
    for operator in model.subgraphs[0].operators:
        kind = flatbuffer.kind(model, operator)
        if kind in CHANNEL_AXIS:
            source, weights, bias = [*map(int, operator.inputs), -1][:3]
            constants = [flatbuffer.constant(model, i) for i in (weights, bias) if i >= 0]
            if all(values is not None for values in constants):
                found.append(Layer(kind, _scope(model, operator), source, weights, bias))
    return tuple(found)


def _bias(model: schema.ModelT, layer: Layer, weights: np.ndarray) -> np.ndarray:
    if layer.bias < 0:
        return np.zeros(weights.shape[CHANNEL_AXIS[layer.kind]], np.float32)
    return flatbuffer.constant(model, layer.bias)


def _rounded(weights: np.ndarray, top: np.ndarray) -> np.ndarray:
    """Weights as int8 holds them."""
    step = np.where(top > 0, top, 1) / LEVELS
    return np.clip(np.rint(weights / step), -LEVELS, LEVELS) * step


def _scope(model: schema.ModelT, operator: schema.OperatorT) -> str:
    """As the quantizer names an operator."""
    return "".join(f"{flatbuffer.name(model, i)};" for i in operator.outputs)


def _step(name: str, taken: dict[str, np.ndarray] | None) -> float | None:
    """Of an activation, by its range; None where nothing quantises it."""
    if taken is None:
        return None
    low, high = min(float(taken["min"].min()), 0), max(float(taken["max"].max()), 0)
    step = (high - low) / 255 if name == "int8" else max(high, -low) / 32767
    return max(step, float(np.finfo(np.float32).tiny))


def _largest(layer: Layer, weights: np.ndarray, bias: np.ndarray, step: float | None) -> np.ndarray:
    """The weight that 127 steps stand for, of each channel, in the weights' own rank."""
    others = tuple(i for i in range(weights.ndim) if i != CHANNEL_AXIS[layer.kind])
    top = np.abs(weights).max(others, keepdims=True)
    if step is None:
        return top
    needed = LEVELS * np.abs(bias) / (step * MOST_OF_A_BIAS)
    return np.maximum(top, needed.reshape(top.shape)).astype(np.float32)


def _takes(layer: Layer, weights: np.ndarray, channels: int) -> bool:
    """Whether a channel of the input is one of the weights: not where a layer flattens."""
    if layer.kind == "DEPTHWISE_CONV_2D":
        return weights.shape[3] % channels == 0
    return channels % weights.shape[-1] == 0 and (layer.kind == "CONV_2D" or weights.ndim == 2)


def _response(layer: Layer, weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    """What weights make of an input that is the same everywhere, `(channels,)`; borders aside."""
    if layer.kind == "DEPTHWISE_CONV_2D":
        return weights.sum((0, 1, 2)) * np.repeat(x, weights.shape[3] // len(x))
    if layer.kind == "CONV_2D":
        weights = weights.sum((1, 2))
    groups = len(x) // weights.shape[-1]
    of_each = np.repeat(x.reshape(groups, -1), len(weights) // groups, axis=0)
    return (weights * of_each).sum(-1)


def _corrected(calibrated: Calibrated, name: str, kept: Collection[str]) -> bytes:
    """The float file with the biases that its quantised weights need."""
    model = flatbuffer.read(calibrated.content)
    graph = model.subgraphs[0]
    by_scope = {_scope(model, operator): operator for operator in graph.operators}
    nothing = np.float32(0)
    for layer in calibrated.layers:
        rounded = layer.scope not in kept
        taken = calibrated.corrections[name].get(layer.scope, nothing) if rounded else nothing
        # Also of a layer that stays float: its input is int8's all the same.
        taken = taken + (calibrated.shifts.get(layer.scope, nothing) if name == "int8" else nothing)
        if not np.any(taken):
            continue
        weights = flatbuffer.constant(model, layer.weights)
        bias = _bias(model, layer, weights) - taken
        _set_bias(model, by_scope[layer.scope], bias.astype(np.float32).tobytes())
    return flatbuffer.write(model)


def _set_bias(model: schema.ModelT, operator: schema.OperatorT, content: bytes) -> None:
    """Gives an operator a bias of its own: the converter lets layers share constants."""
    graph, tensor = model.subgraphs[0], schema.TensorT()
    tensor.type, tensor.shape = schema.TensorType.FLOAT32, [len(content) // 4]
    tensor.name = b"bias/%d" % len(graph.tensors)
    tensor.buffer = flatbuffer.add_buffer(model, content)
    graph.tensors.append(tensor)
    operator.inputs = [*operator.inputs[:2], len(graph.tensors) - 1]


def _weighted(model: schema.ModelT) -> frozenset[int]:
    found = set()
    for i, operator in enumerate(model.subgraphs[0].operators):
        constants = [flatbuffer.constant(model, k) for k in operator.inputs if k >= 0]
        if any(values is not None and values.ndim > 1 for values in constants):
            found.add(i)
    return frozenset(found)


def _tail(model: schema.ModelT) -> range:
    graph = model.subgraphs[0]
    answer = model.signatureDefs[0].outputs[0].tensorIndex  # See `flatbuffer.order_outputs`.
    made = [answer in operator.outputs for operator in graph.operators]
    return range(made.index(True) + 1, len(made))
