"""One step of training, traced once and used by every training of a network.

All trainable weights are one vector for the optimiser: a graph that updates 27 kernels one by one
takes twice as long to trace. Rate, weight decay and other numbers are arguments, so that the
trials of a search that differ in them share the graph.

Of a network that is mirrored on several devices each trains on its part of the batch: the vector is
the one copy that the optimiser changes, and all devices' weights follow it. Dropout's states are
alike on all of them: the first example of each part has the same mask, and so on.
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
    """What a step takes beside its batch.

    Attributes:
      rate: learning rate.
      decay: of the weights, as a share of the rate.
      smoothing: of the targets, 0..1.
      clip_norm: the most that the gradient's length may be; infinite where it may be any.
      ema: momentum of the weights' moving average.
    """

    rate: float
    decay: float = 0.0
    smoothing: float = 0.0
    clip_norm: float = math.inf
    ema: float = 0.0

    def tensor(self) -> tf.Tensor:
        """`(5,) float32`."""
        return tf.constant(astuple(self), tf.float32)


@dataclass(frozen=True)
class Learner:
    """A network and what it takes to train it.

    Attributes:
      network: inputs to raw outputs `(batch, width)`.
      parameters: its trainable weights, one after the other, `(parameters,) float32`.
      average: their moving average over the steps, or None.
      optimizer: of the parameters.
      others: variables of the network that training changes too, as statistics of batch norm.
      step: trains on `(inputs, targets (batch, width), weights (batch,), settings)`; the loss.
        Where the network takes several inputs, `inputs` is a tuple.
    """

    network: keras.Model
    parameters: keras.Variable
    average: keras.Variable | None
    optimizer: keras.optimizers.Optimizer
    others: Sequence[keras.Variable]
    step: Callable[..., tf.Tensor]

    @property
    def state(self) -> list[Any]:
        """Variables that a training changes; the network's weights follow the parameters."""
        averages = [] if self.average is None else [self.average]
        return [self.parameters, *averages, *self.optimizer.variables, *self.others]

    def begin(self) -> None:
        """Starts anew at the network's weights, which `values` then gives."""
        for variable in self.optimizer.variables:
            variable.assign(np.zeros(variable.shape, variable.dtype))
        self.parameters.assign(_joined(self.network))
        if self.average is not None:
            self.average.assign(self.parameters)

    def values(self) -> list[np.ndarray]:
        """The weights that the last step, or `end`, left; where there is one their average."""
        flat = self.parameters if self.average is None else self.average
        return [variable.numpy() for variable in (flat, *self.others)]

    def end(self, values: list[np.ndarray]) -> None:
        """Ends a training with weights that `values` gave at some time."""
        self.parameters.assign(values[0])
        if self.average is not None:
            self.average.assign(values[0])
        self.set(values)

    def set(self, values: list[np.ndarray]) -> None:
        """Gives the network weights that `values` gave; the state of training is left alone."""
        flat, *others = values
        _spread(self.network, tf.constant(flat))
        for variable, value in zip(self.others, others, strict=True):
            variable.assign(value)


def learner(
    network: keras.Model,
    config: FitConfig,
    others: Sequence[keras.Variable] = (),
    devices: tf.distribute.Strategy | None = None,
    task: str = tasks.DEFAULT,
) -> Learner:
    """What trains a network by the optimiser of `fit.optimizer`, averaged where `fit.ema` is.

    Args:
      others: what a step changes beside the trainable weights: where batch norm is trained, its
        statistics; of several devices they are averaged after each step.
      devices: in whose scope the network was made, if it is mirrored.
      task: by whose loss it is trained.
    """
    layer = tasks.of(task, "layer")
    mirrors = devices or tf.distribute.get_strategy()
    parameters = keras.Variable(_joined(network), name="parameters")
    average = keras.Variable(parameters, name="average") if config.ema else None
    optimizer = _optimizer(config)
    optimizer.build([parameters])
    # Others are counters, such as those of dropout, and alike on all devices.
    statistics = [variable for variable in others if variable.dtype.startswith("float")]

    def on_each(x: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor):
        """A device's part of the loss and of its gradient, and the statistics that it left."""
        share, (x, targets, weights) = _part(x, targets, weights)
        trained = [variable.value for variable in network.trainable_variables]
        with tf.GradientTape() as tape:
            losses = layer.losses(targets, network(x, training=True))
            # Of a backbone of one's own, whose layers may be regularised.
            loss = tf.reduce_mean(losses * weights) + tf.add_n([tf.zeros(()), *network.losses])
            loss *= share
        zero = tf.UnconnectedGradients.ZERO
        gradient = _flat(tape.gradient(loss, trained, unconnected_gradients=zero))
        return loss, gradient, [tf.identity(variable.value) for variable in statistics]

    def step(x: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor, settings: tf.Tensor):
        rate, decay, smoothing, clip_norm, ema = tf.unstack(settings)
        loss, gradient, left = mirrors.run(
            on_each, (x, layer.smoothed(targets, smoothing), weights)
        )
        with tf.device(parameters.value.device):  # Else the sum is made on the CPU.
            loss, gradient = (mirrors.reduce("sum", part, axis=None) for part in (loss, gradient))
        if mirrors.num_replicas_in_sync > 1:
            for variable, values in zip(statistics, left, strict=True):
                variable.assign(mirrors.reduce("mean", values, axis=None))
        gradient *= tf.minimum(1.0, clip_norm / tf.norm(gradient))
        parameters.assign(parameters * (1 - rate * decay))
        optimizer.learning_rate = rate
        optimizer.apply([gradient], [parameters])
        if average is not None:
            # The first step's weights begin it.
            momentum = tf.where(tf.equal(optimizer.iterations.value, 1), 0.0, ema)
            average.assign(average * momentum + parameters * (1.0 - momentum))
        _spread(network, parameters.value)
        return loss

    # Of a batch of another size it is traced once more, of all sizes then.
    traced = tf.function(step, autograph=False, reduce_retracing=True)
    return Learner(network, parameters, average, optimizer, others, traced)


def _part(*batch: tf.Tensor) -> tuple[float | tf.Tensor, Sequence[tf.Tensor]]:
    """What a device takes of a batch: its share of the examples, and these."""
    here = tf.distribute.get_replica_context()
    count, first = here.num_replicas_in_sync, here.replica_id_in_sync_group
    if count == 1:
        return 1.0, batch
    with tf.device("CPU"):  # Where the batch is: no device needs the others' parts.
        parts = tf.nest.map_structure(lambda tensor: tensor[first::count], batch)
        sizes = [tf.cast(tf.shape(weights)[0], tf.float32) for weights in (parts[-1], batch[-1])]
    return sizes[0] / sizes[1], parts


def _optimizer(config: FitConfig) -> keras.optimizers.Optimizer:
    if config.optimizer == "sgd":
        return keras.optimizers.SGD(momentum=0.9, nesterov=True)
    return keras.optimizers.Adam()  # AdamW is Adam with the decay of `Settings`.


def _joined(network: keras.Model) -> tf.Tensor:
    return _flat([variable.value for variable in network.trainable_variables])


def _flat(tensors: list[tf.Tensor]) -> tf.Tensor:
    return tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], 0)


def _spread(network: keras.Model, flat: tf.Tensor) -> None:
    """Gives the trainable weights the values of a vector."""
    variables = network.trainable_variables
    parts = tf.split(flat, [int(np.prod(variable.shape)) for variable in variables])
    for variable, part in zip(variables, parts, strict=True):
        variable.assign(tf.reshape(part, variable.shape))
