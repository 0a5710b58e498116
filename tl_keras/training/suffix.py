"""Trains the suffix: the layers after the frozen prefix, up to the logits.

The activations of the frozen prefix come from the disk, or are computed in each training step.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import keras
import tensorflow as tf

from tl_keras import tasks
from tl_keras.config.whole import RunConfig
from tl_keras.data.batching import batches, ragged
from tl_keras.data.batching.inputs import Inputs, Training
from tl_keras.maybe import Maybe
from tl_keras.run import metrics
from tl_keras.run.run import Run
from tl_keras.training import features
from tl_keras.training import fit as train
from tl_keras.training.activations import cut_of, keeps, kept_cuts, stored_inputs
from tl_keras.training.architecture import Architecture, reading
from tl_keras.training.fit import Epochs, Fit
from tl_keras.training.learner import Learner, learner
from tl_keras.training.network import freeze
from tl_keras.training.network import model as models
from tl_keras.training.network.fold_batch_norm import Inference, fold_batch_norm
from tl_keras.training.network.freeze import FrozenPrefix
from tl_keras.training.plan import Plan

# Traced suffixes per architecture. Each takes about 50 MB, and about 12 MB after its deletion.
MAX_NETWORKS = 16


class Dropout(keras.layers.Layer):
    """Dropout with a rate that can change after tracing, because the rate is a variable.

    Keras's own Dropout writes the rate into the graph as a constant. Each rate would then need
    another graph, of which TensorFlow keeps about 12 MB even after its deletion.

    Attributes:
      rate: share of the inputs that are set to zero in training, 0..1.
    """

    def __init__(self, layer: keras.layers.Dropout):
        super().__init__(name=layer.name, dtype=layer.dtype_policy)
        # No autocast: the rate stays float32 whatever dtype the inputs have.
        self.rate = keras.Variable(layer.rate, trainable=False, autocast=False, name="rate")
        self.seed_generator = keras.random.SeedGenerator(0)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Applies dropout in training: sets a share of `inputs` to zero and scales up the others.

        Outside of training, returns `inputs` unchanged.
        """
        if not training:
            return inputs
        drawn = keras.random.uniform(tf.shape(inputs), seed=self.seed_generator)
        rate = tf.convert_to_tensor(self.rate)
        factor = tf.where(drawn < rate, 0.0, 1 / (1 - rate))
        return inputs * tf.cast(factor, inputs.dtype)


@dataclass(frozen=True)
class Suffix:
    """The layers after the frozen prefix up to the logits, ready to be trained.

    Attributes:
      cut: name of the last frozen operation; None if nothing is frozen.
      keeps: {split: whether the activations of the frozen prefix are stored}. For a split with
        stored activations, these are the suffix's inputs, and also the prepared examples if the
        suffix reads the model's input. For other splits, the prepared examples are the only input,
        and go through the frozen prefix first.
      learner: trains the suffix.
      dropout: dropout layer of the head; `suffix_of` sets its rate to `model.dropout`.
      infer: computes logits in inference mode, for validation.
    """

    cut: Maybe[str]
    keeps: Mapping[str, bool]
    learner: Learner
    dropout: Dropout
    infer: Inference


def suffix_of(arch: Architecture, config: RunConfig, cut: str | None) -> Suffix:
    """Returns the trained suffix after a cut.

    Trainings whose graphs are the same get the same object, with its traced graphs.

    Args:
      cut: name of the last frozen operation; None if nothing is frozen.
    """
    fit, kept = config.fit, {"train": False, "val": False}
    if cut:
        kept = keeps(arch, config, cut)
    key = (cut, fit.optimizer == "sgd", fit.ema > 0, *kept.values())
    if key not in arch.shared.networks:
        if len(arch.shared.networks) >= MAX_NETWORKS:
            del arch.shared.networks[next(iter(arch.shared.networks))]
        arch.shared.networks[key] = _suffix(arch, config, cut, kept)
    arch.shared.networks[key].dropout.rate.assign(config.model.dropout)
    return arch.shared.networks[key]


def _suffix(
    arch: Architecture, config: RunConfig, cut: Maybe[str], kept: Mapping[str, bool]
) -> Suffix:
    prefix, above = halves(models.logits_of(arch.trained), cut)
    networks = {}
    for split in kept:
        if prefix is None or kept[split]:
            networks[split] = above
        else:
            networks[split] = with_prefix(prefix, above, cut_of(arch, cut).dtype)
    trainer = learner(networks["train"], config.fit, layer=tasks.of(config.task, "layer"))
    infer = Inference(networks["val"])
    return Suffix(cut, kept, trainer, above.get_layer(models.DROPOUT), infer)


def halves(network: keras.Model, cut: str | None) -> tuple[keras.Model | None, keras.Model]:
    """Divides a network into the frozen prefix and the suffix to train; returns both.

    Batch norm in the suffix is frozen, and a `Dropout` of this module replaces the dropout layer of
    the head.

    Args:
      network: the model up to its logits.
      cut: name of the last frozen operation. None if nothing is frozen; the prefix is then None.
    """
    prefix, suffix = freeze.split(network, cut) if cut else (None, network)
    # Batch statistics of a few hundred examples are worse than those from pretraining.
    freeze.freeze_batch_norm(suffix)
    dropout = Dropout(network.get_layer(models.DROPOUT))
    return prefix, fold_batch_norm(suffix, {dropout.name: dropout})


def with_prefix(prefix: keras.Model, suffix: keras.Model, dtype: str) -> keras.Model:
    """Returns a model that runs the prefix in inference mode and then the suffix.

    Args:
      dtype: dtype to which activations are rounded, so that the suffix gets the same values as from
        stored activations.
    """
    inputs = keras.Input(prefix.input.shape[1:], dtype=prefix.input.dtype)
    activations = FrozenPrefix(prefix, dtype)(inputs)
    return keras.Model(inputs, suffix(freeze.suffix_inputs(suffix, activations, inputs)))


def fit_suffix(
    run: Run,
    arch: Architecture,
    suffix: Suffix,
    plan: Plan,
    earlier: list[dict],
    validates: bool = True,
) -> list[dict]:
    """Fine-tunes the suffix (changes its weights), and returns one record of metrics per epoch.

    Args:
      earlier: records of earlier stages, such as `head`, which come first in metrics.jsonl.
      validates: True to measure the network on the validation set after each epoch.
    """
    config, how = run.config, reading(run.config, arch.data.dataset)
    if suffix.keeps["train"]:
        data = _kept(arch, suffix.cut, how)
    else:
        examples = arch.data.inputs["train"]
        data = by_epoch(lambda place: batches.training(examples, how, place))
    validate = None
    if validates:
        inputs = validation_inputs(arch, suffix, how)[0]
        validate = validation(suffix.infer, inputs, task=config.task)
    fit = Fit("finetune", suffix.learner, data, validate, plan, config.fit, config.seed)
    with run.timed("finetune"), metrics.publisher(run.workdir, earlier) as publish:
        return train.fit(fit, run.checkpoint / "finetune.npy", publish)


def by_epoch(pipeline: Callable[[tf.Variable], tf.data.Dataset]) -> Epochs:
    """Returns a function from (epoch, first step) to the batches of an epoch from that step on.

    Args:
      pipeline: builds a tf.data pipeline from a variable that holds epoch and first step.
    """
    place = tf.Variable([0, 0], dtype=tf.int64, trainable=False)
    data = pipeline(place)

    def read(epoch: int, first: int) -> tf.data.Dataset:
        place.assign([epoch, first])
        return data

    return read


def _kept(arch: Architecture, cut: str, how: Training) -> Epochs:
    """Returns a function from (epoch, first step) to an epoch's batches of stored activations.

    The activations of an augmented view are computed when an epoch first needs this view.
    """
    labels, others = arch.data.inputs["train"].labels, kept_cuts(arch, "train")

    def read(epoch: int, first: int) -> Iterable[tuple[tf.Tensor, ...]]:
        view = how.view(epoch) if how.augmentations else None
        arrays = stored_inputs(arch, cut, "train", how, view, others)
        return batches.of_activations(arrays, labels, how, epoch, first)

    return read


def validation_inputs(
    arch: Architecture, suffix: Suffix, how: Training, views: int = 0, split: str = "val"
) -> tuple[Inputs, ...]:
    """Returns inputs for `suffix.infer`: the unaugmented examples, then each view of all examples.

    Args:
      how: how views are augmented.
      views: number of augmented views.
      split: a split that is not trained on.
    """
    # Stored activations have the start of a long example, so without them its start is used, too.
    examples = replace(arch.data.inputs[split], windows=None)
    if not suffix.keeps["val"]:
        inputs = [examples]
        for view in range(views):
            augmented = batches.view(examples, features.BATCH_SIZE, how, view)
            array = ragged.joined(augmented, examples.lengths is not None)
            inputs.append(Inputs(examples.labels, array))
        return tuple(inputs)
    others = [*kept_cuts(arch, "val"), arch.output]
    return tuple(
        Inputs(examples.labels, stored_inputs(arch, suffix.cut, split, how, view, others))
        for view in (None, *range(views))
    )


def validation(
    infer: Inference, inputs: Inputs, task: str = tasks.DEFAULT
) -> Callable[[], dict[str, float]]:
    """Returns a function without arguments that returns the metrics of a network on `inputs`.

    The metrics are `val_loss` and the task's others, for the network's weights at each call.

    Args:
      infer: maps inputs to raw outputs, such as logits, with the network's current weights.
    """

    def validate() -> dict[str, float]:
        return tasks.of(task, "losses").validated(features.outputs(infer, inputs), inputs.labels)

    return validate
