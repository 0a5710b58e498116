"""What is trained at a depth: the layers above it, on activations that are kept or not."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tl_keras import tasks
from tl_keras.config.whole import RunConfig
from tl_keras.data import batches
from tl_keras.data.inputs import Inputs, Training
from tl_keras.maybe import Maybe
from tl_keras.run.run import Run
from tl_keras.training import features, metrics
from tl_keras.training import fit as train
from tl_keras.training.activations import cut_of, keeps, kept_cuts, starts_of
from tl_keras.training.architecture import Architecture, reading
from tl_keras.training.fit import Epochs, Fit
from tl_keras.training.learner import Learner, learner
from tl_keras.training.network import freeze
from tl_keras.training.network import model as models
from tl_keras.training.network.fold_batch_norm import Inference, fold_batch_norm
from tl_keras.training.network.freeze import FrozenPrefix
from tl_keras.training.plan import Plan

MAX_NETWORKS = 16  # Traced, of an architecture: one takes some 50 MB, deleted still some 12.


class Dropout(keras.layers.Layer):
    """Dropout whose rate may be set anew: the graph reads it, as it reads weights.

    Keras's own puts it into the graph as a number: each rate would need another graph, of which
    TensorFlow keeps some 12 MB when it is deleted.

    Attributes:
      rate: share of the inputs that are set to zero in training, 0..1.
    """

    def __init__(self, layer: keras.layers.Dropout):
        super().__init__(name=layer.name, dtype=layer.dtype_policy)
        # A float32 whatever the inputs are.
        self.rate = keras.Variable(layer.rate, trainable=False, autocast=False, name="rate")
        self.seed_generator = keras.random.SeedGenerator(0)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`inputs`, some of them zero and the others as much larger, in training."""
        if not training:
            return inputs
        drawn = keras.random.uniform(tf.shape(inputs), seed=self.seed_generator)
        rate = tf.convert_to_tensor(self.rate)
        factor = tf.where(drawn < rate, 0.0, 1 / (1 - rate))
        return inputs * tf.cast(factor, inputs.dtype)


@dataclass(frozen=True)
class Suffix:
    """The layers above a depth, to logits.

    Attributes:
      cut: the last operation below; None where nothing is frozen.
      keeps: by split, whether it starts at kept activations, and at examples beside them where it
        reads these too; else it starts at the examples alone.
      learner: trains it.
      dropout: of the head, by `model.dropout` of the training that it was last made ready for.
      infer: its logits on validation.
    """

    cut: Maybe[str]
    keeps: Mapping[str, bool]
    learner: Learner
    dropout: Dropout
    infer: Inference


def suffix_of(arch: Architecture, config: RunConfig, cut: str | None) -> Suffix:
    """The suffix at a depth; its graphs are traced once for all trainings that can share them."""
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
        whole = prefix is None or kept[split]
        dtype: Any = None if whole else cut_of(arch, cut).dtype
        networks[split] = above if whole else behind(prefix, above, dtype)
    learns, infer = (
        learner(networks["train"], config.fit, task=config.task),
        Inference(networks["val"]),
    )
    return Suffix(cut, kept, learns, above.get_layer(models.DROPOUT), infer)


def halves(network: keras.Model, cut: str | None) -> tuple[keras.Model | None, keras.Model]:
    """Prefix up to `cut` (None: nothing is frozen), and suffix with its batch norm frozen.

    The suffix has a `Dropout` in place of the head's.
    """
    prefix, suffix = freeze.split(network, cut) if cut else (None, network)
    # Statistics of a few hundred examples are worse than those of the pretraining.
    freeze.freeze_batch_norm(suffix)
    dropout = Dropout(network.get_layer(models.DROPOUT))
    return prefix, fold_batch_norm(suffix, {dropout.name: dropout})


def behind(prefix: keras.Model, suffix: keras.Model, dtype: str) -> keras.Model:
    """The suffix with the prefix run before it at each step, in inference mode.

    Args:
      dtype: in which activations would have been kept: they are as if they had been.
    """
    inputs = keras.Input(prefix.input.shape[1:], dtype=prefix.input.dtype)
    activations = FrozenPrefix(prefix, dtype)(inputs)
    return keras.Model(inputs, suffix(freeze.taken(suffix, activations, inputs)))


def fit_suffix(
    run: Run,
    arch: Architecture,
    suffix: Suffix,
    plan: Plan,
    earlier: list[dict],
    validates: bool = True,
) -> list[dict]:
    """Fine-tunes the layers above the freeze depth, in place; the record of each epoch.

    Args:
      earlier: records of metrics.jsonl that come before those of this stage.
      validates: whether there is a validation split to measure each epoch on.
    """
    config, how = run.config, reading(run.config, arch.data.dataset)
    if suffix.keeps["train"]:
        data = _kept(arch, suffix.cut, how)
    else:
        examples = arch.data.inputs["train"]
        data = by_epoch(lambda place: batches.training(examples, how, place))
    validate = None
    if validates:
        validate = validation(suffix.infer, seen(arch, suffix, how)[0], task=config.task)
    fit = Fit("finetune", suffix.learner, data, validate, plan, config.fit, config.seed)
    with run.timed("finetune"), metrics.publisher(run.workdir, earlier) as publish:
        return train.fit(fit, run.checkpoint / "finetune.npy", publish)


def by_epoch(pipeline: Callable[[tf.Variable], tf.data.Dataset]) -> Epochs:
    """The batches of a pipeline that reads from a variable where it begins."""
    place = tf.Variable([0, 0], dtype=tf.int64, trainable=False)
    data = pipeline(place)

    def read(epoch: int, first: int) -> tf.data.Dataset:
        place.assign([epoch, first])
        return data

    return read


def _kept(arch: Architecture, cut: str, how: Training) -> Epochs:
    """The batches of activations; those of a view are made when an epoch first asks."""
    labels, others = arch.data.inputs["train"].labels, kept_cuts(arch, "train")

    def read(epoch: int, first: int) -> Iterable[tuple[tf.Tensor, ...]]:
        view = how.view(epoch) if how.augmentations else None
        found = starts_of(arch, cut, "train", how, view, others)
        return batches.of_activations(found, labels, how, epoch, first)

    return read


def seen(
    arch: Architecture, suffix: Suffix, how: Training, views: int = 0, split: str = "val"
) -> tuple[Inputs, ...]:
    """What `suffix.infer` takes of validation: the examples as they are, then views of them; or of
    another split that is not trained on."""
    examples = arch.data.inputs[split]
    if not suffix.keeps["val"]:
        every = [examples]
        for view in range(views):
            shown = batches.view(examples, features.BATCH_SIZE, how, view)
            every.append(Inputs(examples.labels, np.concatenate(list(shown))))
        return tuple(every)
    others = [*kept_cuts(arch, "val"), arch.output]
    starts = [
        starts_of(arch, suffix.cut, split, how, view, others) for view in (None, *range(views))
    ]
    return tuple(Inputs(examples.labels, start) for start in starts)


def validation(
    infer: Inference, inputs: Inputs, task: str = tasks.DEFAULT
) -> Callable[[], dict[str, float]]:
    """A function that measures a network, to raw outputs, as its weights are when it is called."""

    def validate() -> dict[str, float]:
        return tasks.of(task, "losses").validated(features.outputs(infer, inputs), inputs.labels)

    return validate
