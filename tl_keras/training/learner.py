"""The training step of a network: traced once, then used by every training of that network.

The optimiser sees all trainable weights as one vector, because a graph that updates 27 kernels one
by one takes twice as long to trace. Learning rate, weight decay and similar numbers are arguments
of the step, so that trials of a search share one graph even if these numbers differ.

With several devices, the network is mirrored and each device trains on its part of the batch. The
optimiser updates one vector, and the weights on every device are set from that vector. All devices
share the same dropout state, so examples at the same position in different parts get the same
dropout mask.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tl_keras import tasks
from tl_keras.config.fit import FitConfig


@dataclass(frozen=True)
class Settings:
    """The numeric settings of one training step.

    Attributes:
      rate: learning rate.
      decay: weight decay; a step shrinks each weight by `rate * decay` of its value.
      smoothing: label smoothing, 0..1.
      clip_norm: largest allowed norm of the gradient; infinite for no clipping.
      ema: momentum of the moving average of the weights, 0..1.
    """

    rate: float
    decay: float = 0.0
    smoothing: float = 0.0
    clip_norm: float = math.inf
    ema: float = 0.0

    def tensor(self) -> tf.Tensor:
        """Returns the settings as a `(5,) float32` tensor, in the order of the fields."""
        return tf.constant(astuple(self), tf.float32)


@dataclass(frozen=True)
class Learner:
    """A network together with its optimiser and its training step.

    Attributes:
      network: maps inputs to raw outputs `(batch, columns)`, such as the logits of each class.
      parameters: all trainable weights of the network, concatenated, `(parameters,) float32`.
      average: exponential moving average of `parameters` over the steps, or None.
      optimizer: the optimiser of `parameters`.
      others: non-trainable variables that training changes too, such as batch norm statistics.
      step: runs one training step on `(inputs, targets (batch, columns), weights (batch,),
        settings)` and returns the loss. `weights` are the examples' weights in the loss. `inputs`
        is a tuple if the network takes several inputs.
    """

    network: keras.Model
    parameters: keras.Variable
    average: keras.Variable | None
    optimizer: keras.optimizers.Optimizer
    others: Sequence[keras.Variable]
    step: Callable[..., tf.Tensor]

    @property
    def state(self) -> list[Any]:
        """Returns the variables that training changes.

        The network's own trainable weights are left out: each step sets them from `parameters`.
        """
        averages = [] if self.average is None else [self.average]
        return [self.parameters, *averages, *self.optimizer.variables, *self.others]

    def begin(self) -> None:
        """Starts a training from the network's current weights, with a new optimiser state."""
        for variable in self.optimizer.variables:
            variable.assign(np.zeros(variable.shape, variable.dtype))
        self.parameters.assign(_joined(self.network))
        if self.average is not None:
            self.average.assign(self.parameters)

    def values(self) -> list[np.ndarray]:
        """Returns copies of the current weights: a vector of all trainable ones, then `others`.

        The vector is `average` if the learner keeps an average, else `parameters`.
        """
        flat = self.parameters if self.average is None else self.average
        return [variable.numpy() for variable in (flat, *self.others)]

    def end(self, values: list[np.ndarray]) -> None:
        """Ends a training with weights that `values` returned.

        Sets the network, `parameters` and `average` to them.
        """
        self.parameters.assign(values[0])
        if self.average is not None:
            self.average.assign(values[0])
        self.set(values)

    def set(self, values: list[np.ndarray]) -> None:
        """Sets the network to weights that the method `values` returned.

        `parameters` and `average` stay unchanged.
        """
        flat, *others = values
        _spread(self.network, tf.constant(flat))
        for variable, value in zip(self.others, others, strict=True):
            variable.assign(value)


def learner(
    network: keras.Model,
    config: FitConfig,
    others: Sequence[keras.Variable] = (),
    devices: tf.distribute.Strategy | None = None,
    layer: Any = None,
) -> Learner:
    """Returns a learner that trains a network with the optimiser of `fit.optimizer`.

    If `fit.ema` is above 0, the learner keeps a moving average of the weights.

    Args:
      others: non-trainable variables that a step changes, such as the statistics of trained batch
        norm. With several devices, those in floating point are averaged over the devices after each
        step.
      devices: the TensorFlow strategy that mirrors the network on all devices; None for one device.
      layer: the part `layer` of the task, which determines the loss; None for the default task.
    """
    layer = layer or tasks.of(tasks.DEFAULT, "layer")
    mirrors = devices or tf.distribute.get_strategy()
    parameters = keras.Variable(_joined(network), name="parameters")
    average = keras.Variable(parameters, name="average") if config.ema else None
    optimizer = _optimizer(config)
    optimizer.build([parameters])
    # Integer variables are counters, such as those of dropout, and equal on all devices.
    statistics = [variable for variable in others if variable.dtype.startswith("float")]

    def on_each(x: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor) -> Any:
        """Runs forward and backward pass of one device on its part of the batch.

        Returns its contributions to loss and gradient, whose sums over the devices are those of the
        batch, and its updated batch norm statistics.
        """
        share, (x, targets, weights) = _part(x, targets, weights)
        trained = [variable.value for variable in network.trainable_variables]
        with tf.GradientTape() as tape:
            losses = layer.losses(targets, network(x, training=True))
            # A user's own backbone may have layers with regularisers.
            loss = tf.reduce_mean(losses * weights) + tf.add_n([tf.zeros(()), *network.losses])
            loss *= share
        zero = tf.UnconnectedGradients.ZERO
        gradient = _flat(tape.gradient(loss, trained, unconnected_gradients=zero))
        return loss, gradient, [tf.identity(variable.value) for variable in statistics]

    def step(x: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor, settings: tf.Tensor) -> Any:
        rate, decay, smoothing, clip_norm, ema = tf.unstack(settings)
        loss, gradient, updated = mirrors.run(
            on_each, (x, layer.smoothed(targets, smoothing), weights)
        )
        with tf.device(parameters.value.device):  # Without this, the CPU computes the sum.
            loss, gradient = (mirrors.reduce("sum", part, axis=None) for part in (loss, gradient))
        if mirrors.num_replicas_in_sync > 1:
            for variable, values in zip(statistics, updated, strict=True):
                variable.assign(mirrors.reduce("mean", values, axis=None))
        gradient *= tf.minimum(1.0, clip_norm / tf.norm(gradient))
        parameters.assign(parameters * (1 - rate * decay))
        optimizer.learning_rate = rate
        optimizer.apply([gradient], [parameters])
        if average is not None:
            # The average starts at the weights after the first step.
            momentum = tf.where(tf.equal(optimizer.iterations.value, 1), 0.0, ema)
            average.assign(average * momentum + parameters * (1.0 - momentum))
        _spread(network, parameters.value)
        return loss

    # A second batch size causes one more trace, which then covers all sizes.
    traced = tf.function(step, autograph=False, reduce_retracing=True)
    return Learner(network, parameters, average, optimizer, others, traced)


def _part(*batch: tf.Tensor) -> tuple[float | tf.Tensor, Sequence[tf.Tensor]]:
    """Returns (share, parts) of the current device: what it gets of a batch.

    `share`, 0..1, is the share of the examples; `parts` has the device's part of each tensor.
    """
    replica = tf.distribute.get_replica_context()
    count, first = replica.num_replicas_in_sync, replica.replica_id_in_sync_group
    if count == 1:
        return 1.0, batch
    with tf.device("CPU"):  # The batch is there; a device only receives its own part.
        parts = tf.nest.map_structure(lambda tensor: tensor[first::count], batch)
        sizes = [tf.cast(tf.shape(weights)[0], tf.float32) for weights in (parts[-1], batch[-1])]
    return sizes[0] / sizes[1], parts


def _optimizer(config: FitConfig) -> keras.optimizers.Optimizer:
    if config.optimizer == "sgd":
        return keras.optimizers.SGD(momentum=0.9, nesterov=True)
    return keras.optimizers.Adam()  # AdamW is Adam with the weight decay of `Settings`.


def _joined(network: keras.Model) -> tf.Tensor:
    return _flat([variable.value for variable in network.trainable_variables])


def _flat(tensors: list[tf.Tensor]) -> tf.Tensor:
    return tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], 0)


def _spread(network: keras.Model, flat: tf.Tensor) -> None:
    """Sets the network's trainable weights to the values in one concatenated vector."""
    variables = network.trainable_variables
    parts = tf.split(flat, [int(np.prod(variable.shape)) for variable in variables])
    for variable, part in zip(variables, parts, strict=True):
        variable.assign(tf.reshape(part, variable.shape))
