"""Trains a backbone on examples without labels, by an objective of their modality."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from tl_keras.backbones import table
from tl_keras.config.whole import RunConfig
from tl_keras.data import without_labels
from tl_keras.data.batching import batches
from tl_keras.data.batching.inputs import Inputs, Training, of_examples
from tl_keras.data.examples import Dataset
from tl_keras.data.wording import number_of
from tl_keras.run import metrics
from tl_keras.run.progress import progress
from tl_keras.run.run import Run
from tl_keras.training import adapt
from tl_keras.training import fit as train
from tl_keras.training.fit import Fit
from tl_keras.training.learner import learner
from tl_keras.training.network import model as models
from tl_keras.training.plan import Plan, resolved

STAGE = "pretrain"  # in metrics.jsonl
# What `auto` means: steps in all and peak learning rate, from random and from pretrained weights.
STEPS = {False: 10_000, True: 3_000}
RATE = {False: 5e-4, True: 1e-4}
FEWEST_EPOCHS, MOST_EPOCHS = 3, 100
COUNT = "guesses"  # A measure that never changes from epoch to epoch.
VALIDATION = 2**31  # Epoch in the seed of validation batches; no training has so many epochs.


@dataclass(frozen=True)
class Task:
    """A run without labels: its objective, its prepared examples and how they are read.

    Attributes:
      objective: a module `objectives.NAME` of the modality.
      config: the run's config, with the settings with which examples are prepared.
      inputs: the prepared examples of train and val; their labels mean nothing.
      batch: see `batcher` of the objective.
    """

    objective: ModuleType
    config: RunConfig
    inputs: dict[str, Inputs]
    batch: Callable[..., Any]


def prepared(objective: ModuleType, config: RunConfig, dataset: Dataset) -> Task:
    """Returns the prepared examples of a data set without labels.

    Raises:
      ValueError: a split has no usable example.
    """
    inputs = {}
    for split in ("train", "val"):
        read = without_labels.read(dataset, split)
        bar = progress(read, f"prepare {split}", len(dataset.splits[split]), " examples")
        parts = [objective.pieces(content, config.settings) for content in bar]
        if none := sum(not part for part in parts):
            count = number_of(none, *dataset.nouns)
            logging.info("data: %s of %s left out: %s", count, split, objective.TOO_FEW)
        whole = [piece for part in parts for piece in part]
        if not whole:
            raise ValueError(
                f"data: the split {split} has only {objective.TOO_FEW}, in which nothing can be "
                f"learned; expected longer {dataset.nouns[1]}"
            )
        labels = np.zeros(len(whole), np.int64)
        inputs[split] = of_examples(labels, whole, config.settings)
    batch = objective.batcher(config, config.settings)
    return Task(objective, config, inputs, batch)


def plan_of(config: RunConfig, count: int) -> Plan:
    """Returns the training settings, with the `auto` fields of `fit` resolved.

    Args:
      count: number of prepared training examples.
    """
    steps, pretrained = batches.num_steps(count, config.fit.batch_size), config.model.is_pretrained
    plan = resolved(config.fit, count, steps, pretrained=False)
    epochs = int(np.clip(round(STEPS[pretrained] / steps), FEWEST_EPOCHS, MOST_EPOCHS))
    return replace(
        plan,
        epochs=epochs if config.fit.epochs == "auto" else plan.epochs,
        learning_rate=RATE[pretrained]
        if config.fit.learning_rate == "auto"
        else plan.learning_rate,
    )


def fit(run: Run, task: Task, backbone: keras.Model) -> tuple[int, dict[str, float]]:
    """Trains a backbone; returns the number of epochs and the measures on validation.

    Resumes a run that was killed.
    """
    config, inputs = task.config, task.inputs["train"]
    plan = plan_of(config, len(inputs))
    logging.info(
        "plan: %s of %s each, peak learning rate %g",
        *(number_of(plan.epochs, "epoch"), number_of(plan.steps, "step"), plan.learning_rate),
    )
    trained = _in_precision(backbone, config)
    devices = adapt.devices_of(run, min(config.fit.batch_size, len(inputs)))
    keras.utils.set_random_seed(config.seed)
    if devices:
        trained = models.mirrored(trained, devices)
        with devices.scope():
            network = task.objective.network(trained, config.model)
    else:
        network = task.objective.network(trained, config.model)
    others = network.non_trainable_variables
    trainer = learner(network, config.fit, others, devices, task.objective)
    measure = _validation(task, network)

    def validate() -> dict[str, float]:
        return {f"val_{name}": value for name, value in measure().items() if name != COUNT}

    fit = Fit(STAGE, trainer, _epochs(task), validate, plan, config.fit, config.seed)
    with run.timed("finetune"), metrics.publisher(run.workdir, []) as publish:
        history = train.fit(fit, run.checkpoint / f"{STAGE}.npy", publish)
    backbone.set_weights(trained.get_weights())
    epochs = train.best_epoch(history) if plan.keep == "best" else len(history)
    return epochs, measure()


def _in_precision(backbone: keras.Model, config: RunConfig) -> keras.Model:
    """Returns the backbone, or its copy in mixed precision if the config asks for it."""
    if not config.fit.mixed_precision:
        return backbone
    model = config.model
    build = table.module_of(model.backbone).build
    twin = build(model.backbone, model.options, config.settings, "mixed_bfloat16")
    twin.set_weights(backbone.get_weights())
    return twin


def _epochs(task: Task) -> train.Epochs:
    """Returns a function from an epoch and its first step to the batches that remain."""
    config, inputs = task.config, task.inputs["train"]
    how = Training(config.modality, config.fit.batch_size, config.seed, (), None, "none", 1)

    def read(epoch: int, first: int) -> Iterator[Any]:
        each = batches.of_activations(inputs.array, inputs.labels, how, epoch, first)
        for step, (examples, _, _) in enumerate(each, first):
            yield _tensors(task.batch(examples.numpy(), (config.seed, epoch, step)))

    return read


def _tensors(batch: Any) -> Any:
    return tf.nest.map_structure(tf.constant, batch)


def _validation(task: Task, network: keras.Model) -> Callable[[], dict[str, float]]:
    """Returns a function that measures the network on val, on the same batches each time."""
    objective, config, inputs = task.objective, task.config, task.inputs["val"]

    def add(x: Any, targets: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        return objective.sums(targets, network(x, training=False), weights)

    sums = tf.function(add, autograph=False, reduce_retracing=True)

    def measure() -> dict[str, float]:
        total: Any = 0.0
        for step, rows in enumerate(batches.chunks(inputs, config.fit.batch_size)):
            seed = (config.seed, VALIDATION, step)
            batch = _tensors(task.batch(inputs.take(rows), seed))
            total += sums(*batch).numpy().astype(np.float64)
        measured: dict[str, float] = objective.measures(total)
        return measured

    return measure
