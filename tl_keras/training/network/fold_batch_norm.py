"""Batch norm in inference mode, folded into the convolution before it.

The norm is then a factor and a bias of each channel: scaling the kernel by it instead of the
activations computes the same, and leaves out a pass over the activations. Keras does not do so,
nor does TensorFlow while the weights are variables (times: `benchmarks/folding.py`).
"""

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops

CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)


def fold_batch_norm(
    model: keras.Model, others: Mapping[str, keras.Layer] | None = None
) -> keras.Model:
    """A model that computes what a functional model does with its batch norm in inference mode.

    It shares the weights and the other layers: training the one trains the other. Its norms infer
    also under `fit`. A folded layer has the name of its norm.

    Args:
      others: layers by the name of those in whose place they come.
    """
    others = others or {}
    norms = _foldable(model)
    folded = {conv.name for conv in norms.values()}

    def call(layer: keras.Operation, *args: Any, **kwargs: Any) -> Any:
        if layer.name in folded:
            return args[0]  # Its norm, which alone reads it, computes both.
        if layer.name in norms:
            return FoldedConvolution(norms[layer.name], layer)(args[0])
        return others.get(layer.name, layer)(*args, **kwargs)

    return keras.models.clone_model(model, clone_function=_itself, call_function=call)


class Inference:
    """A model in inference mode, its batch norm folded, for batches of any size: traced once.

    A model with several inputs takes a sequence of tensors.

    Attributes:
      shape: of an example's output.
    """

    def __init__(self, model: keras.Model):
        folded = fold_batch_norm(model)
        specs = [tf.TensorSpec((None, *x.shape[1:]), x.dtype) for x in model.inputs]
        self._dtypes = [spec.dtype for spec in specs]
        self.shape = tuple(model.output.shape[1:])
        taken = specs[0] if len(specs) == 1 else specs
        self._run = tf.function(functools.partial(folded, training=False), input_signature=[taken])

    def __call__(self, inputs: tf.Tensor | Sequence[tf.Tensor]) -> tf.Tensor:
        # Kept activations may be of another type.
        if len(self._dtypes) == 1:
            return self._run(tf.cast(inputs, self._dtypes[0]))
        return self._run([tf.cast(*pair) for pair in zip(inputs, self._dtypes, strict=True)])


def _itself(layer: keras.Layer) -> keras.Layer:
    return layer


def _foldable(model: keras.Model) -> dict[str, keras.Layer]:
    """By norm, the convolution that it alone reads."""
    layers = {id(operation.output): operation for operation in model.operations}
    reads = [id(x) for op in model.operations for x in keras.tree.flatten(op.input)]
    # Whoever runs the model reads its outputs, of which there may be some on the way.
    readers = Counter([*reads, *map(id, model.outputs)])
    found = {}
    for norm in model.operations:
        if type(norm) is not keras.layers.BatchNormalization:
            continue
        before = layers.get(id(norm.input))
        if (
            type(before) in CONVOLUTIONS
            and readers[id(norm.input)] == 1
            and _is_plain(before, norm)
        ):
            found[norm.name] = before
    return found


def _is_plain(conv: keras.Layer, norm: keras.Layer) -> bool:
    last = norm.axis in (-1, len(norm.input.shape) - 1)
    linear = conv.activation is keras.activations.linear
    return last and linear and conv.data_format == "channels_last"


class FoldedConvolution(keras.Layer):
    """A linear convolution and the batch norm that reads it, in inference mode: channels last.

    Trained as the two are: of a norm that is not trainable, nothing.
    """

    def __init__(self, conv: keras.Layer, norm: keras.layers.BatchNormalization):
        # Not autocast: weights are scaled in float32 whatever the convolution computes in.
        super().__init__(name=norm.name, dtype=conv.dtype_policy, autocast=False)
        self.conv, self.norm = conv, norm
        self.built = True

    def call(self, inputs: Any) -> Any:
        conv, norm = self.conv, self.norm
        factor = ops.rsqrt(norm.moving_variance + norm.epsilon)
        if norm.scale:
            factor = factor * norm.gamma
        bias = (conv.bias if conv.use_bias else 0.0) - norm.moving_mean
        bias = bias * factor + (norm.beta if norm.center else 0.0)
        options = {
            "strides": conv.strides,
            "padding": conv.padding,
            "dilation_rate": conv.dilation_rate,
            "data_format": conv.data_format,
        }
        inputs = ops.cast(inputs, self.compute_dtype)
        if isinstance(conv, keras.layers.DepthwiseConv2D):
            factor = ops.reshape(factor, conv.kernel.shape[2:])
            run = ops.depthwise_conv
        else:
            run = ops.conv
        kernel = ops.cast(conv.kernel * factor, inputs.dtype)
        # `bias_add`, not `+`: TensorFlow fuses it, and the ReLU after it, with the convolution.
        return tf.nn.bias_add(run(inputs, kernel, **options), ops.cast(bias, inputs.dtype))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return self.conv.compute_output_shape(input_shape)
