"""Trains a model on a data set: the head, then the suffix (LP-FT), or the model from scratch.

The suffix is the part of the model after the frozen prefix.
"""

from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from tl_keras import tasks
from tl_keras.backbones import table
from tl_keras.config.whole import RunConfig
from tl_keras.data.batching import batches
from tl_keras.data.batching.inputs import Inputs
from tl_keras.data.examples import Dataset
from tl_keras.data.prepared import Data
from tl_keras.data.wording import number_of
from tl_keras.maybe import Maybe
from tl_keras.run import metrics
from tl_keras.run.result.training import Chosen, ModelRecord
from tl_keras.run.run import Run
from tl_keras.training import candidates, features
from tl_keras.training import fit as train
from tl_keras.training import head as heads
from tl_keras.training.architecture import (
    Architecture,
    architecture,
    plan_of,
    reading,
    to_train,
    with_random_head,
)
from tl_keras.training.fit import Fit
from tl_keras.training.learner import learner
from tl_keras.training.network import freeze
from tl_keras.training.network import model as models
from tl_keras.training.network.fold_batch_norm import Inference
from tl_keras.training.network.freeze import Freeze
from tl_keras.training.plan import Plan
from tl_keras.training.starting_head import head_of, head_of_strength, set_start
from tl_keras.training.suffix import by_epoch, fit_suffix, suffix_of, validation


def adapt(run: Run, data: Data, backbone: keras.Model) -> keras.Model:
    """Returns a trained and calibrated model, which maps a prepared example to an answer.

    With pretrained weights, trains the head and then the layers after the frozen prefix (LP-FT).
    Without them, trains the whole model from scratch. Resumes a run that was killed.
    """
    config = run.config
    if not config.model.is_pretrained:
        return from_scratch(run, data, backbone)
    check_answers(data.dataset)
    plan = plan_of(config, data.dataset, pretrained=True)
    _log(plan)
    arch = architecture(run, config, data, backbone, [plan.freeze])
    return head_then_suffix(run, arch).model


def from_scratch(
    run: Run, data: Data, backbone: keras.Model, chosen: Chosen | None = None
) -> keras.Model:
    """Trains the whole model from the backbone's current weights, batch norm included.

    Args:
      chosen: number of epochs and temperature that cross-validation chose. With them, all examples
        are trained on, without a validation set. None to train with a validation set.
    """
    config = run.config
    model = with_random_head(backbone, config, data.dataset)
    plan = plan_of(config, data.dataset, pretrained=False)
    if chosen:
        plan = _as_chosen(plan, chosen)
    _log(plan)
    network = models.logits_of(to_train(model, config, data.dataset))
    train.speed_up_batch_norm(network, plan.steps * plan.epochs)
    devices = devices_of(run, min(config.fit.batch_size, len(data.inputs["train"])))
    if devices:
        network = models.mirrored(network, devices)
    history = _fit(run, data, network, plan, devices, validates=not chosen)
    model.set_weights(network.get_weights())
    temperature = (
        chosen.temperature if chosen else _temperature(model, data.inputs["val"], config.task)
    )
    models.fold_temperature(model, temperature)
    chose_epoch = history and not chosen and plan.keep == "best"
    epochs = train.best_epoch(history) if chose_epoch else len(history)
    chosen = Chosen(kept="scratch", regularisation=None, temperature=temperature, epochs=epochs)
    model_record = described(model, config, Freeze(0.0, None, None, 0, 0), "scratch")
    run.add(model=model_record, chosen=chosen)
    logging.info("trained %s, nothing frozen", number_of(len(history), "epoch"))
    return model


def _log(plan: Plan) -> None:
    logging.info(
        "plan: fit.freeze %s, %s of %s each, peak learning rate %g",
        plan.freeze,
        *(number_of(plan.epochs, "epoch"), number_of(plan.steps, "step")),
        plan.learning_rate,
    )


def check_devices(batch_size: int, noun: str) -> list[str]:
    """Returns the names of all visible GPUs, or of the CPU if there are none.

    The environment variable CUDA_VISIBLE_DEVICES limits which GPUs are visible.

    Args:
      noun: the modality's word for an example, such as "image".

    Raises:
      ValueError: the batch is smaller than the number of devices.
    """
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if batch_size < len(devices):
        raise ValueError(
            f"fit.batch_size: expected at least one training {noun} for each of {len(devices)} "
            f"devices; received {batch_size}; set CUDA_VISIBLE_DEVICES to use fewer devices"
        )
    return [device.name for device in devices]


def devices_of(run: Run, batch_size: int) -> tf.distribute.Strategy | None:
    """Returns a TensorFlow strategy that mirrors the model on all devices; None for a single one.

    The number of devices is recorded, because the result of a training depends on it.

    Raises:
      ValueError: the run began on another number of devices, or `check_devices` fails.
    """
    names = check_devices(batch_size, run.config.nouns[0])
    began = run.record.get("devices", len(names))
    if began != len(names):
        raise ValueError(
            f"--workdir: the run in {str(run.workdir)!r} began on {began} devices, but "
            f"{len(names)} are visible now; set CUDA_VISIBLE_DEVICES to use {began}, or choose "
            "another --workdir"
        )
    run.add(devices=len(names))
    if len(names) == 1:
        return None
    logging.info("training on %d devices", len(names))
    return tf.distribute.MirroredStrategy(names)


def _fit(
    run: Run,
    data: Data,
    network: keras.Model,
    plan: Plan,
    devices: tf.distribute.Strategy | None,
    validates: bool,
) -> list[dict]:
    config, how = run.config, reading(run.config, data.dataset)
    inputs, dataset = data.inputs["train"], data.dataset
    if dataset.shards is not None:
        epochs = batches.streamed(dataset, how, config.settings)
    elif dataset.draw is None:
        epochs = by_epoch(lambda place: batches.training(inputs, how, place))
    else:
        epochs = by_epoch(lambda place: batches.drawn(dataset, how, place))
    layer = tasks.of(config.task, "layer")
    trainer = learner(network, config.fit, network.non_trainable_variables, devices, layer)
    validate = None
    if validates:
        validate = validation(Inference(network), data.inputs["val"], config.task)
    fit = Fit("scratch", trainer, epochs, validate, plan, config.fit, config.seed)
    with run.timed("finetune"), metrics.publisher(run.workdir, []) as publish:
        return train.fit(fit, run.checkpoint / "scratch.npy", publish)


@dataclass(frozen=True)
class Adapted:
    """The result of a training.

    Attributes:
      model: the calibrated model.
      probabilities: the answers on the validation set, `(val, columns)`; for classification, with
        one column per class.
      tuned: answers of one fine-tuned candidate on the validation set, even if the head-only
        candidate was kept: of `finetuned` or `mix` (the mean of the weights before and after
        fine-tuning), whichever has the lower loss. None if nothing was fine-tuned.
      depth: the freeze depth, resolved for the backbone.
      held_out: the model's answers on the fold's test examples, `(test, columns)`; None unless they
        were requested.
    """

    model: keras.Model
    probabilities: np.ndarray
    tuned: np.ndarray | None
    depth: Freeze
    held_out: Maybe[np.ndarray] = None


def head_then_suffix(
    run: Run,
    arch: Architecture,
    holds_out: bool = False,
    choose: candidates.Choice | None = None,
) -> Adapted:
    """Fits the head until it converges, then trains the layers after the frozen prefix.

    The method is LP-FT (arXiv 2202.10054). The validation set compares three candidates: only the
    head trained, on the pretrained backbone; the fine-tuned weights; and the mean of the weights of
    both (WiSE-FT, arXiv 2109.01903). The head-only candidate is kept unless another candidate is
    clearly better, see the part `choice` of the task.

    Args:
      holds_out: True to predict the examples that the fold holds out (its split test).
      choose: returns the name of the candidate to keep; None to choose by `fit.choose_by`.
    """
    config, model = run.config, arch.model
    plan = plan_of(config, arch.data.dataset, pretrained=True)
    depth = depth_of(config, arch.backbone, plan)
    head = head_of(arch, config)
    with metrics.publisher(run.workdir, []) as publish:
        publish(head.history)
    tunes = depth.cut != arch.output and plan.epochs > 0
    by_name = {"head": candidates.of_head(arch, config, head, views=tunes)}
    suffix: Any = None
    epochs = 0
    if tunes and (choose or candidates.may_gain(run, by_name["head"], plan.margin)):
        set_start(arch, config, plan, head)
        suffix = suffix_of(arch, config, depth.cut)
        suffix.learner.begin()
        before = suffix.learner.values()
        history = fit_suffix(run, arch, suffix, plan, head.history)
        epochs = train.best_epoch(history) if plan.keep == "best" else len(history)
        by_name |= candidates.of_suffix(arch, config, suffix, before)
    kept = candidates.choose(run, by_name, plan.margin, choose)
    if kept == "head":
        models.start_from(model, arch.initial, head, config.model.dropout)
    else:
        suffix.learner.set(by_name[kept].values)
        model.set_weights(arch.trained.get_weights())
    held_out = None
    if holds_out:  # Before `fold_temperature` scales the head, whose layers the suffix shares.
        tuned_suffix = None if kept == "head" else suffix
        held_out = candidates.held_out(arch, config, by_name[kept], head, tuned_suffix)
    models.fold_temperature(model, by_name[kept].temperature)
    chosen = Chosen(
        kept=kept,
        regularisation=head.regularisation,
        temperature=by_name[kept].temperature,
        epochs=epochs,
    )
    run.add(model=described(model, config, depth, kept, arch.earlier), chosen=chosen)
    others = [candidate for name, candidate in by_name.items() if name != "head"]
    best = min(others, key=lambda candidate: candidate.losses.mean(), default=None)
    tuned = None if best is None else best.probabilities
    return Adapted(model, by_name[kept].probabilities, tuned, depth, held_out)


def refit(run: Run, arch: Architecture, chosen: Chosen) -> keras.Model:
    """Trains the head, then the layers after the frozen prefix, without a validation set.

    Args:
      chosen: the candidate to keep, regularisation of the head, temperature and number of epochs,
        which cross-validation chose.
    """
    config, model = run.config, arch.model
    plan = _as_chosen(plan_of(config, arch.data.dataset, pretrained=True), chosen)
    depth = depth_of(config, arch.backbone, plan)
    head = head_of_strength(arch, config, chosen.regularisation)
    if chosen.kept == "head":
        models.start_from(model, arch.initial, head, config.model.dropout)
    else:
        set_start(arch, config, plan, head)
        suffix = suffix_of(arch, config, depth.cut)
        suffix.learner.begin()
        before = suffix.learner.values()
        fit_suffix(run, arch, suffix, plan, [], validates=False)
        values = suffix.learner.values()
        suffix.learner.set(candidates.mixed(before, values) if chosen.kept == "mix" else values)
        model.set_weights(arch.trained.get_weights())
    models.fold_temperature(model, chosen.temperature)
    run.add(model=described(model, config, depth, chosen.kept, arch.earlier))
    return model


def _as_chosen(plan: Plan, chosen: Chosen) -> Plan:
    if plan.keep != "best":
        return plan
    return replace(plan, epochs=chosen.epochs, keep="last")


def check_answers(dataset: Dataset) -> None:
    """Checks that every answer, such as a class, has a training example, which a head needs.

    In a generated data set (`data.source: glyphs`) of a few hundred examples, some classes may have
    none.

    Raises:
      ValueError: an answer has no training example.
    """
    targets = tasks.of(dataset.task, "targets")
    missing = targets.missing(dataset.labels("train"), dataset.classes)
    if missing:
        raise ValueError(
            f"data.num_examples: expected {dataset.nouns[1]} of all {len(dataset.classes)} "
            f"{tasks.of(dataset.task, 'names').NOUNS[1]} in train; "
            f"{len(missing)} have none, for example {missing[0]!r}; raise data.num_examples"
        )


def depth_of(config: RunConfig, backbone: keras.Model, plan: Plan) -> Freeze:
    """Resolves the plan's freeze depth to a cut between frozen and trained layers of a backbone."""
    return freeze.resolve(backbone, table.block_pattern(config.model.backbone), plan.freeze)


def _temperature(model: keras.Model, val: Inputs, task: str) -> float:
    logits = features.outputs(Inference(models.logits_of(model)), val)
    return tasks.of(task, "losses").fit_temperature(logits, val.labels)


def described(
    model: keras.Model,
    config: RunConfig,
    depth: Freeze,
    kept: str,
    earlier: heads.Earlier | None = None,
) -> ModelRecord:
    """Builds the field `model` of `result.json`: backbone, freeze depth, and kept candidate.

    Args:
      kept: name of the candidate that was kept as the model, such as `head` or `finetuned`.
      earlier: the head of an earlier run that this run started from, if any. The field `model` then
        lists the classes that both runs have.
    """
    classes_kept = {"classes_kept": list(earlier.names)} if earlier else {}
    return ModelRecord(
        **classes_kept,
        backbone=config.model.backbone,
        weights=config.model.weights,
        parameters=model.count_params(),
        freeze=depth.share,
        block=depth.block,
        cut=depth.cut,
        kept=kept,
    )
