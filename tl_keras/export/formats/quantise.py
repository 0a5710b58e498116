"""Quantises a float32 LiteRT file with ai-edge-quantizer.

This module changes what the quantizer does by default. Each change improved results on photographs:

- The range of an activation is its full range on the calibration examples. By default the quantizer
  uses a moving average of the range, which cuts off rare values.
- If a channel's weights are almost zero and its bias is not, the scale is raised until the bias
  fits into 32 bits. Otherwise the bias overflows and the channel gives random values.
- Rounding weights shifts the average output of a channel. The channel's bias is corrected for this
  shift (Nagel et al. 2019, arXiv 1906.04721, section 4.2). The paper takes the mean inputs from
  batch norm; here they are measured on the calibration examples.
- In `dynamic` files, depthwise convolutions convert their int8 weights to floats and compute in
  floats. The alternative, a kernel that quantises activations at run time, is several times slower.
- `int8` files have uint8 inputs and outputs, without any float operator.
"""

import re
import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from ai_edge_quantizer import qtyping, quantizer, recipe_manager
from ai_edge_quantizer.algorithm_manager import AlgorithmName

from tl_keras.export.formats import flatbuffer, gathered_tables, integer_ends
from tl_keras.export.formats.feeding import feed
from tl_keras.export.formats.weighted_layers import (
    Layer,
    bias_of,
    keeps_channels,
    largest_weights,
    layers_of,
    response,
    rounded,
    scope_of,
    set_bias,
)

EVERYTHING = qtyping.TFLOperationName.ALL_SUPPORTED
THREADS = 2


@dataclass(frozen=True)
class Calibrated:
    """A float32 LiteRT file, and the measurements that its quantisation needs.

    Attributes:
      content: content of the file.
      scopes: the scope of each operator in order, see `Layer`.
      layers: the convolutions and dense layers.
      ranges: `{tensor name: {"min": ..., "max": ...}}` of each activation.
      largest: `{format: {name of weight tensor: array}}` for int8 and int16x8; the array has, for
        each channel, the float value that the largest int8 weight, 127, stands for.
      corrections: `{format: {scope of layer: (channels,) float32}}`; the error of the layer's mean
        output that the rounding of its weights causes. It is subtracted from the bias.
      shifts: `{scope of layer: (channels,) float32}`; the error of the layer's output that the
        rounded normalisation of an int8 input causes (`Front.error`). It is subtracted from the
        bias.
      front: the normalisation of the input; None if the graph does not begin with one.
      weighted: positions of all operators with weights, also of operators that are not in `layers`.
      tail: positions of the operators that follow the model's answer and compute `abstain`. They
        stay float.
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
    """Runs a float32 file on prepared examples, `(examples, ...)`, and measures its activations."""
    model = flatbuffer.read(content)
    ranges, means = _statistics(content, model, examples)
    front, layers = integer_ends.front_of(model), layers_of(model)
    if front:
        low, high = (front.scale * (x - front.zero) for x in (0, integer_ends.PIXELS))
        shape = ranges[front.tensor]["min"].shape
        ranges[front.tensor] = _range(low, high, shape)
    largest: dict[str, dict[str, np.ndarray]] = {name: {} for name in STATIC}
    corrections: dict[str, dict[str, np.ndarray]] = {name: {} for name in CORRECTED}
    shifts, inputs = {}, integer_ends.normalised_inputs(model, front)
    for layer in layers:
        source, tensor = (flatbuffer.name(model, i) for i in (layer.input, layer.weights))
        weights: Any = flatbuffer.constant(model, layer.weights)
        mean: Any = means.get(source)
        corrects = mean is not None and keeps_channels(layer, weights, len(mean))
        for name in CORRECTED:
            step = _step(name, ranges.get(source)) if name in STATIC else None
            top = largest_weights(layer, weights, bias_of(model, layer, weights), step)
            if name in STATIC:  # Two layers may share their weights.
                largest[name][tensor] = top = np.maximum(top, largest[name].get(tensor, 0))
            if corrects:
                difference = rounded(weights, top) - weights
                corrections[name][layer.scope] = response(layer, difference, mean)
        if corrects and source in inputs:
            shifts[layer.scope] = response(layer, weights, np.full_like(mean, front.error))
    scopes = tuple(scope_of(model, operator) for operator in model.subgraphs[0].operators)
    tail = _tail(model)
    weighted = _weighted(model)
    return Calibrated(
        content, scopes, layers, ranges, largest, corrections, shifts, front, weighted, tail
    )


def quantise(
    calibrated: Calibrated, name: str, kept: Collection[int] = (), ends: bool = True
) -> bytes:
    """Returns the content of a LiteRT file in a quantised format.

    Args:
      name: the format: `float16`, `dynamic`, `int8` or `int16x8`.
      kept: positions of the operators that stay float, among all operators of the float32 file.
      ends: whether an int8 file gets a uint8 input and uint8 outputs. If False, its input and
        outputs keep the types that the quantizer gives them.
    """
    floats, ranges = {*kept, *calibrated.tail}, None
    if name == "float16":
        content, recipe = calibrated.content, _float16()
    else:
        float_scopes = {calibrated.scopes[i] for i in floats}
        content, recipe = _corrected(calibrated, name, float_scopes), RECIPES[name]()
    if name in STATIC:
        weights = calibrated.largest[name].items()
        ranges = calibrated.ranges | {tensor: {"min": -top, "max": top} for tensor, top in weights}
        if name == "int16x8":
            # The add of a normalisation to -1..1 fails if its scales are (nearly) powers of two.
            floats |= set(range(calibrated.front.end if calibrated.front else 1))
    if floats:
        # One expression for all, because the quantizer compiles each for every operator.
        scopes = "|".join(sorted({re.escape(calibrated.scopes[i]) for i in floats}))
        recipe.add_quantization_config(
            f"^(?:{scopes})$", EVERYTHING, algorithm_key=AlgorithmName.NO_QUANTIZE
        )
    quantiser = quantizer.Quantizer(bytearray(content), recipe.get_quantization_recipe())
    with warnings.catch_warnings(), np.errstate(over="ignore"):
        # The quantizer's interpreter keeps all tensors and warns about their memory. A weight may
        # overflow float16, which shows later, when the file is run.
        warnings.simplefilter("ignore")
        result = quantiser.quantize(ranges, enable_progress_report=False).quantized_model
    model = flatbuffer.read(bytes(result))
    if name == "int8" and ends:
        integer_ends.make_integer(model, calibrated.front)
    gathered_tables.quantise(model, name, {calibrated.scopes[i] for i in floats})
    flatbuffer.follow_outputs(model)
    flatbuffer.name_ends(model)
    flatbuffer.drop_unused(model)
    return flatbuffer.write(model)


def candidates(calibrated: Calibrated, name: str) -> list[int]:
    """Returns the positions of the operators that a format can quantise.

    For int8 and int16x8 these are all operators after the normalisation of the input. For other
    formats these are only operators with weights. Operators that compute `abstain` always stay
    float.
    """
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


RECIPES: dict[str, Callable[[], Any]] = {
    "dynamic": _dynamic,
    "int8": lambda: _static(8, ["INPUT"]),
    "int16x8": lambda: _static(16, ["INPUT", "OUTPUT"]),
}
CORRECTED = tuple(RECIPES)
STATIC = ("int8", "int16x8")  # Formats with fixed ranges of activations, measured beforehand.


def _statistics(
    content: bytes, model: schema.ModelT, examples: np.ndarray
) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, np.ndarray]]:
    """Runs the float32 file on examples and measures each activation.

    Returns:
      two dicts: `{tensor name: {"min": ..., "max": ...}}` over all examples, and
      `{tensor name: mean of each channel}`.
    """
    interpreter = Interpreter(
        model_content=content,
        num_threads=THREADS,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    graph = model.subgraphs[0]
    tensors = {int(i) for operator in graph.operators for i in operator.outputs}
    tensors |= set(map(int, graph.inputs))  # Some modalities have float inputs.
    floats = [i for i in tensors if graph.tensors[i].type == schema.TensorType.FLOAT32]
    low, high = dict.fromkeys(floats, np.inf), dict.fromkeys(floats, -np.inf)
    total: dict[int, Any] = {}
    without_channels = set()
    for example in examples:
        feed(interpreter, example)
        interpreter.invoke()
        for i in floats:
            values = interpreter.get_tensor(i)
            low[i] = min(low[i], values.min())
            high[i] = max(high[i], values.max())
            mean = values.reshape(-1, values.shape[-1]).mean(0) if values.ndim else values
            if total.get(i, mean).shape == mean.shape:
                total[i] = total.get(i, 0.0) + mean
            else:  # The last axis is as long as the example, so it has no channels.
                without_channels.add(i)
    names = {i: flatbuffer.name(model, i) for i in floats}
    shapes = {i: (1,) * len(graph.tensors[i].shape) for i in floats}
    ranges = {names[i]: _range(low[i], high[i], shapes[i]) for i in floats}
    return ranges, {names[i]: total[i] / len(examples) for i in floats if i not in without_channels}


def _range(low: float, high: float, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    return {"min": np.full(shape, low, np.float32), "max": np.full(shape, high, np.float32)}


def _step(name: str, value_range: dict[str, np.ndarray] | None) -> float | None:
    """Returns the quantisation step of an activation; None if its range is unknown.

    Args:
      name: the format, `int8` or `int16x8`.
      value_range: `min` and `max` of the activation.
    """
    if value_range is None:
        return None
    low, high = min(float(value_range["min"].min()), 0), max(float(value_range["max"].max()), 0)
    step = (high - low) / 255 if name == "int8" else max(high, -low) / 32767
    return max(step, float(np.finfo(np.float32).tiny))


def _corrected(calibrated: Calibrated, name: str, kept: Collection[str]) -> bytes:
    """Returns the float32 file with the corrected biases that a quantised format needs.

    The corrections cancel the mean errors that will arise when the weights and the normalisation of
    the input are rounded.

    Args:
      name: the format.
      kept: scopes of the operators that stay float, whose weights are not rounded.
    """
    model = flatbuffer.read(calibrated.content)
    graph = model.subgraphs[0]
    by_scope = {scope_of(model, operator): operator for operator in graph.operators}
    zero = np.float32(0)
    for layer in calibrated.layers:
        shift: Any = zero
        if layer.scope not in kept:
            shift = calibrated.corrections[name].get(layer.scope, zero)
        if name == "int8":  # A layer that stays float has the int8 input, too.
            shift = shift + calibrated.shifts.get(layer.scope, zero)
        if not np.any(shift):
            continue
        weights = flatbuffer.constant(model, layer.weights)
        bias = bias_of(model, layer, weights) - shift
        set_bias(model, by_scope[layer.scope], bias.astype(np.float32).tobytes())
    return flatbuffer.write(model)


def _weighted(model: schema.ModelT) -> frozenset[int]:
    positions = set()
    for i, operator in enumerate(model.subgraphs[0].operators):
        constants = [flatbuffer.constant(model, k) for k in operator.inputs if k >= 0]
        if any(values is not None and values.ndim > 1 for values in constants):
            positions.add(i)
    return frozenset(positions)


def _tail(model: schema.ModelT) -> range:
    graph = model.subgraphs[0]
    answer = model.signatureDefs[0].outputs[0].tensorIndex  # See `flatbuffer.order_outputs`.
    gives_answer = [answer in operator.outputs for operator in graph.operators]
    return range(gives_answer.index(True) + 1, len(gives_answer))
