"""Adapts a model to a data set: head first, then the suffix (LP-FT); or all of it from scratch."""

from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from tl_keras import tasks
from tl_keras.backbones import table
from tl_keras.config.whole import RunConfig
from tl_keras.data import batches
from tl_keras.data.examples import Dataset
from tl_keras.data.inputs import Inputs
from tl_keras.data.prepared import Data
from tl_keras.maybe import Maybe
from tl_keras.run.result.training import Chosen, ModelRecord
from tl_keras.run.run import Run
from tl_keras.training import candidates, features, metrics
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
from tl_keras.training.starting_head import head_of, head_of_strength
from tl_keras.training.suffix import by_epoch, fit_suffix, suffix_of, validation


def adapt(run: Run, data: Data, backbone: keras.Model) -> keras.Model:
    """The trained, calibrated model, prepared example to answer.

    From scratch without pretrained weights, else LP-FT. Goes on where a killed run stopped.
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
    """Trains everything, batch norm too, starting at the backbone's weights.

    Args:
      chosen: by folds, where there is nothing to validate on.
    """
    config = run.config
    model = with_random_head(backbone, config, data.dataset)
    plan = plan_of(config, data.dataset, pretrained=False)
    if chosen:
        plan = _as_chosen(plan, chosen)
    _log(plan)
    network = models.logits_of(to_train(model, config, data.dataset))
    train.quicken_batch_norm(network, plan.steps * plan.epochs)
    devices = _devices(run, min(config.fit.batch_size, len(data.inputs["train"])))
    if devices:
        network = models.mirrored(network, devices)
    history = _fit(run, data, network, plan, devices, validates=not chosen)
    model.set_weights(network.get_weights())
    temperature = (
        chosen.temperature if chosen else _temperature(model, data.inputs["val"], config.task)
    )
    models.fold_temperature(model, temperature)
    chose = history and not chosen and plan.keep == "best"
    epochs = train.best_epoch(history) if chose else len(history)
    chosen = Chosen(kept="scratch", regularisation=None, temperature=temperature, epochs=epochs)
    model_record = described(model, config, Freeze(0.0, None, None, 0, 0), "scratch")
    run.add(model=model_record, chosen=chosen)
    logging.info("trained %d epochs, nothing frozen", len(history))
    return model


def _log(plan: Plan) -> None:
    logging.info(
        "plan: freeze %s, %d epochs of %d steps, peak learning rate %g",
        *(plan.freeze, plan.epochs, plan.steps, plan.learning_rate),
    )


def check_devices(batch_size: int, noun: str) -> list[str]:
    """All GPUs of this machine, or its CPU: CUDA_VISIBLE_DEVICES says which there are.

    Args:
      noun: what an example is called.

    Raises:
      ValueError: a batch has not an example for each.
    """
    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if batch_size < len(found):
        raise ValueError(
            f"fit.batch_size: expected at least one training {noun} for each of {len(found)} "
            f"devices; received {batch_size}; CUDA_VISIBLE_DEVICES takes some away"
        )
    return [device.name for device in found]


def _devices(run: Run, batch_size: int) -> tf.distribute.Strategy | None:
    """What a run is trained on, where it is several devices; the record says how many.

    Raises:
      ValueError: it began on another number, on which it would not end as it began; or as
        `check_devices`.
    """
    found = check_devices(batch_size, run.config.nouns[0])
    began = run.record.get("devices", len(found))
    if began != len(found):
        raise ValueError(
            f"--workdir: {str(run.workdir)!r} began on {began} devices, and there are "
            f"{len(found)}; CUDA_VISIBLE_DEVICES says how many are used; or choose another folder"
        )
    run.add(devices=len(found))
    if len(found) == 1:
        return None
    logging.info("training on %d devices", len(found))
    return tf.distribute.MirroredStrategy(found)


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
    learns = learner(network, config.fit, network.non_trainable_variables, devices, config.task)
    validate = None
    if validates:
        validate = validation(Inference(network), data.inputs["val"], config.task)
    fit = Fit("scratch", learns, epochs, validate, plan, config.fit, config.seed)
    with run.timed("finetune"), metrics.publisher(run.workdir, []) as publish:
        return train.fit(fit, run.checkpoint / "scratch.npy", publish)


@dataclass(frozen=True)
class Adapted:
    """What a training came to.

    Attributes:
      model: calibrated.
      probabilities: its answers on validation, `(val, width)`.
      tuned: the same of the best fine-tuned weights, kept or not; None where none were trained.
      depth: at which it was frozen.
      held_out: answers on the test examples, `(test, width)`, where they were asked for.
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
    """LP-FT (arXiv 2202.10054): a converged head, then the layers above the freeze depth.

    Head alone, fine-tuned, and the mean of their weights (WiSE-FT, arXiv 2109.01903) stand on
    validation; the head is kept unless validation speaks clearly for another, see `choice` of the
    task.

    Args:
      holds_out: whether the test examples of a fold are to be predicted.
      choose: names the candidate to keep, where that is not as `fit.choose_by` has it.
    """
    config, model = run.config, arch.model
    plan = plan_of(config, arch.data.dataset, pretrained=True)
    depth = depth_of(config, arch.backbone, plan)
    head = head_of(arch, config)
    with metrics.publisher(run.workdir, []) as publish:
        publish(head.history)
    models.start_from(arch.trained, arch.initial, head, config.model.dropout)
    tunes = depth.cut != arch.output and plan.epochs > 0
    standing = {"head": candidates.of_head(arch, config, head, looks=tunes)}
    suffix: Any = None
    epochs = 0
    if tunes and (choose or candidates.may_gain(run, standing["head"])):
        suffix = suffix_of(arch, config, depth.cut)
        suffix.learner.begin()
        before = suffix.learner.values()
        history = fit_suffix(run, arch, suffix, plan, head.history)
        epochs = train.best_epoch(history) if plan.keep == "best" else len(history)
        standing |= candidates.of_suffix(arch, config, suffix, before)
    kept = candidates.choose(run, standing, choose)
    if kept == "head":
        models.start_from(model, arch.initial, head, config.model.dropout)
    else:
        suffix.learner.set(standing[kept].values)
        model.set_weights(arch.trained.get_weights())
    found = None
    if holds_out:  # Before the temperature is folded into the head, which the suffix shares.
        by = None if kept == "head" else suffix
        found = candidates.held_out(arch, config, standing[kept], head, by)
    models.fold_temperature(model, standing[kept].temperature)
    chosen = Chosen(
        kept=kept,
        regularisation=head.regularisation,
        temperature=standing[kept].temperature,
        epochs=epochs,
    )
    run.add(model=described(model, config, depth, kept, arch.earlier), chosen=chosen)
    others = [candidate for name, candidate in standing.items() if name != "head"]
    best = min(others, key=lambda candidate: candidate.losses.mean(), default=None)
    tuned = None if best is None else best.probabilities
    return Adapted(model, standing[kept].probabilities, tuned, depth, found)


def refit(run: Run, arch: Architecture, chosen: Chosen) -> keras.Model:
    """LP-FT on all of train, with nothing to validate on: as it was chosen elsewhere."""
    config, model = run.config, arch.model
    plan = _as_chosen(plan_of(config, arch.data.dataset, pretrained=True), chosen)
    depth = depth_of(config, arch.backbone, plan)
    head = head_of_strength(arch, config, chosen.regularisation)
    models.start_from(arch.trained, arch.initial, head, config.model.dropout)
    if chosen.kept == "head":
        models.start_from(model, arch.initial, head, config.model.dropout)
    else:
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
    """Refuses a data set in which an answer has no training example: a head cannot be fitted to it.
    Drawn sets (glyphs) of a few hundred examples may lack one.

    Raises:
      ValueError: an answer has no training example.
    """
    targets = tasks.of(dataset.task, "targets")
    missing = targets.missing(dataset.labels("train"), dataset.classes)
    if missing:
        raise ValueError(
            f"data.num_examples: expected {dataset.nouns[1]} of all {len(dataset.classes)} "
            f"{tasks.of(dataset.task, 'names').NOUNS[1]} in train; "
            f"{len(missing)} have none, {missing[0]!r} among them; set it higher"
        )


def depth_of(config: RunConfig, backbone: keras.Model, plan: Plan) -> Freeze:
    """Where the plan's freeze depth cuts the backbone."""
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
    """`model` of `result.json`; of a chain with the classes that were kept of the earlier head."""
    of_chain = {"classes_kept": list(earlier.names)} if earlier else {}
    return ModelRecord(
        **of_chain,
        backbone=config.model.backbone,
        weights=config.model.weights,
        parameters=model.count_params(),
        freeze=depth.share,
        block=depth.block,
        cut=depth.cut,
        kept=kept,
    )
