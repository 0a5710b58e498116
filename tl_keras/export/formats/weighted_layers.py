"""The convolutions and dense layers of a float32 LiteRT graph: their channels and biases."""

from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from tl_keras.export.formats import flatbuffer

# Axis of the output channels in the weights.
CHANNEL_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}
LEVELS = 127  # levels of a weight on either side of 0
MOST_OF_A_BIAS = 2**30  # largest bias in steps; a quarter of the range of 32 bits


@dataclass(frozen=True)
class Layer:
    """An operator of a LiteRT graph with weights: a convolution or a dense layer.

    Attributes:
      kind: kind of the operator, a key of `CHANNEL_AXIS`.
      scope: names of the operator's outputs. The quantizer identifies an operator by its scope.
      input: index of its input tensor.
      weights: index of its weight tensor.
      bias: index of its bias tensor; -1 if it has no bias.
    """

    kind: str
    scope: str
    input: int
    weights: int
    bias: int


def layers_of(model: schema.ModelT) -> tuple[Layer, ...]:
    """Returns the convolutions and dense layers whose weights and bias are constants, in order."""
    layers = []
    for operator in model.subgraphs[0].operators:
        kind = flatbuffer.kind(model, operator)
        if kind in CHANNEL_AXIS:
            source, weights, bias = [*map(int, operator.inputs), -1][:3]
            constants = [flatbuffer.constant(model, i) for i in (weights, bias) if i >= 0]
            if all(values is not None for values in constants):
                layers.append(Layer(kind, scope_of(model, operator), source, weights, bias))
    return tuple(layers)


def bias_of(model: schema.ModelT, layer: Layer, weights: np.ndarray) -> np.ndarray:
    """Returns the bias of a layer, `(channels,) float32`; zeros if it has none."""
    if layer.bias < 0:
        return np.zeros(weights.shape[CHANNEL_AXIS[layer.kind]], np.float32)
    return flatbuffer.constant(model, layer.bias)


def rounded(weights: np.ndarray, top: np.ndarray) -> np.ndarray:
    """Returns float weights rounded to the values that int8 weights can represent.

    Args:
      top: for each output channel, the float value that the largest int8 weight, 127, stands for.
    """
    step = np.where(top > 0, top, 1) / LEVELS
    return np.clip(np.rint(weights / step), -LEVELS, LEVELS) * step


def scope_of(model: schema.ModelT, operator: schema.OperatorT) -> str:
    """Returns the names of an operator's outputs, by which the quantizer identifies it."""
    return "".join(f"{flatbuffer.name(model, i)};" for i in operator.outputs)


def largest_weights(
    layer: Layer, weights: np.ndarray, bias: np.ndarray, step: float | None
) -> np.ndarray:
    """Returns the float value that the largest int8 weight, 127, stands for in each channel.

    It is the channel's largest absolute weight, or more if the channel's bias would otherwise
    overflow.

    Args:
      step: quantisation step of the layer's input; None to ignore the bias, because it stays
        float or the step is unknown.

    Returns:
      an array with as many axes as the weights; all axes but the output channels have length 1.
    """
    others = tuple(i for i in range(weights.ndim) if i != CHANNEL_AXIS[layer.kind])
    top = np.abs(weights).max(others, keepdims=True)
    if step is None:
        return top
    needed = LEVELS * np.abs(bias) / (step * MOST_OF_A_BIAS)
    return np.maximum(top, needed.reshape(top.shape)).astype(np.float32)


def keeps_channels(layer: Layer, weights: np.ndarray, channels: int) -> bool:
    """Returns True if each weight of a layer belongs to one of the `channels` input channels.

    This is not so for a dense layer after flattening, whose inputs are pairs of a position and a
    channel.
    """
    if layer.kind == "DEPTHWISE_CONV_2D":
        return weights.shape[3] % channels == 0
    return channels % weights.shape[-1] == 0 and (layer.kind == "CONV_2D" or weights.ndim == 2)


def response(layer: Layer, weights: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Returns a layer's output without bias, `(channels,)`, if each input channel is constant.

    Padding at the borders is ignored.

    Args:
      x: `(input channels,)`; the value that each input channel has at every position.
    """
    if layer.kind == "DEPTHWISE_CONV_2D":
        return weights.sum((0, 1, 2)) * np.repeat(x, weights.shape[3] // len(x))
    if layer.kind == "CONV_2D":
        weights = weights.sum((1, 2))
    groups = len(x) // weights.shape[-1]
    per_filter = np.repeat(x.reshape(groups, -1), len(weights) // groups, axis=0)
    return (weights * per_filter).sum(-1)


def set_bias(model: schema.ModelT, operator: schema.OperatorT, content: bytes) -> None:
    """Replaces an operator's bias by a new tensor.

    The old tensor must not change: the converter may share one bias between several layers.

    Args:
      content: the bias as float32 bytes.
    """
    graph, tensor = model.subgraphs[0], schema.TensorT()
    tensor.type, tensor.shape = schema.TensorType.FLOAT32, [len(content) // 4]
    tensor.name = b"bias/%d" % len(graph.tensors)
    tensor.buffer = flatbuffer.add_buffer(model, content)
    graph.tensors.append(tensor)
    operator.inputs = [*operator.inputs[:2], len(graph.tensors) - 1]
