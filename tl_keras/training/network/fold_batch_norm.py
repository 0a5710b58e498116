"""Folds batch norm in inference mode into the convolution before it.

In inference mode, batch norm is one factor and one bias per channel. Scaling the kernel by the
factor instead of the activations gives the same result, and saves a pass over the activations.
Keras does not do this, nor does TensorFlow while the weights are variables (for times, see
`benchmarks/folding.py`).
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
    """Returns an equivalent model whose batch norm is in inference mode and folded where possible.

    The two models share their weights and all other layers, so training one trains the other. Batch
    norm stays in inference mode even under `fit`. A folded layer has the name of its batch norm.

    Args:
      model: a functional model.
      others: other layers to replace: {name of the replaced layer: new layer}.
    """
    others = others or {}
    norms = _foldable(model)
    folded = {conv.name for conv in norms.values()}

    def call(layer: keras.Operation, *args: Any, **kwargs: Any) -> Any:
        if layer.name in folded:
            return args[0]  # Skipped: the folded batch norm after it computes both.
        if layer.name in norms:
            return FoldedConvolution(norms[layer.name], layer)(args[0])
        return others.get(layer.name, layer)(*args, **kwargs)

    return keras.models.clone_model(model, clone_function=_itself, call_function=call)


class Inference:
    """A function that runs a model in inference mode with folded batch norm; traced only once.

    Its argument is a batch of any size; for a model with several inputs, a sequence of batches.

    Attributes:
      shape: shape of the output for one example.
    """

    def __init__(self, model: keras.Model):
        folded = fold_batch_norm(model)
        specs = [tf.TensorSpec((None, *x.shape[1:]), x.dtype) for x in model.inputs]
        self._dtypes = [spec.dtype for spec in specs]
        self.shape = tuple(model.output.shape[1:])
        signature = [specs[0] if len(specs) == 1 else specs]
        self._run = tf.function(functools.partial(folded, training=False), signature)

    def __call__(self, inputs: tf.Tensor | Sequence[tf.Tensor]) -> tf.Tensor:
        # Stored activations may have another dtype.
        if len(self._dtypes) == 1:
            return self._run(tf.cast(inputs, self._dtypes[0]))
        return self._run([tf.cast(*pair) for pair in zip(inputs, self._dtypes, strict=True)])


def _itself(layer: keras.Layer) -> keras.Layer:
    return layer


def _foldable(model: keras.Model) -> dict[str, keras.Layer]:
    """Returns {batch norm's name: the convolution before it}, for all pairs that can be folded.

    The batch norm must be the only reader of the convolution's output.
    """
    layers = {id(operation.output): operation for operation in model.operations}
    reads = [id(x) for op in model.operations for x in keras.tree.flatten(op.input)]
    # Outputs of the model count as read; a model may also have outputs at inner layers.
    readers = Counter([*reads, *map(id, model.outputs)])
    foldable = {}
    for norm in model.operations:
        if type(norm) is not keras.layers.BatchNormalization:
            continue
        before = layers.get(id(norm.input))
        if (
            type(before) in CONVOLUTIONS
            and readers[id(norm.input)] == 1
            and _is_plain(before, norm)
        ):
            foldable[norm.name] = before
    return foldable


def _is_plain(conv: keras.Layer, norm: keras.Layer) -> bool:
    last = norm.axis in (-1, len(norm.input.shape) - 1)
    linear = conv.activation is keras.activations.linear
    return last and linear and conv.data_format == "channels_last"


class FoldedConvolution(keras.Layer):
    """One layer for a linear convolution (channels last) and the batch norm after it.

    Batch norm is in inference mode. The weights stay those of the two original layers, so a weight
    is trained if its original layer is trainable.
    """

    def __init__(self, conv: keras.Layer, norm: keras.layers.BatchNormalization):
        # No autocast: weights are scaled in float32 even if the convolution computes in half.
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
        # TensorFlow fuses `bias_add`, unlike `+`, and the ReLU after it with the convolution.
        return tf.nn.bias_add(run(inputs, kernel, **options), ops.cast(bias, inputs.dtype))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return self.conv.compute_output_shape(input_shape)
