"""Adapts a model to a data set: head first, then the suffix (LP-FT); or all of it from scratch."""

from dataclasses import dataclass

import keras
import numpy as np
from absl import logging

from tl_keras import backbones, features, freeze, metrics, train
from tl_keras import model as models
from tl_keras.approaches import candidates
from tl_keras.approaches.architecture import (
    Architecture,
    Data,
    add_head,
    architecture,
    head_of,
    in_precision,
    plan_of,
    reading,
)
from tl_keras.approaches.suffix import by_epoch, fit_suffix, suffix_of, validation
from tl_keras.config import RunConfig
from tl_keras.data import batches
from tl_keras.data.batches import Inputs
from tl_keras.data.examples import Dataset
from tl_keras.evaluate import fit_temperature
from tl_keras.fold import Inference
from tl_keras.freeze import Freeze
from tl_keras.learner import learner
from tl_keras.run import Run
from tl_keras.train import Fit, Plan


def adapt(run: Run, data: Data, backbone: keras.Model) -> keras.Model:
    """The trained, calibrated model, `(size, size, 3) uint8` to probabilities.

    From scratch without pretrained weights, else LP-FT. Goes on where a killed run stopped.
    """
    config = run.config
    if config.model.weights == "none":
        return from_scratch(run, data, backbone)
    check_classes(data.dataset)
    plan = plan_of(config, data.dataset, pretrained=True)
    _log(plan)
    arch = architecture(run, config, data, backbone, [plan.freeze])
    return head_then_suffix(run, arch).model


def from_scratch(run: Run, data: Data, backbone: keras.Model) -> keras.Model:
    """Trains everything, batch norm too, starting at the backbone's weights."""
    config = run.config
    model = add_head(backbone, config, data.dataset)
    plan = plan_of(config, data.dataset, pretrained=False)
    _log(plan)
    network = models.logits_of(in_precision(model, config, data.dataset))
    train.quicken_batch_norm(network, plan.steps * plan.epochs)
    history = _fit(run, data, network, plan)
    model.set_weights(network.get_weights())
    _calibrate(model, data.inputs["val"])
    run.add(model=_describe(model, config, Freeze(0.0, None, None, 0, 0), "scratch"))
    logging.info("trained %d epochs from scratch", len(history))
    return model


def _log(plan: Plan) -> None:
    logging.info(
        "plan: freeze %s, %d epochs of %d steps, peak learning rate %g",
        *(plan.freeze, plan.epochs, plan.steps, plan.learning_rate),
    )


def _fit(run: Run, data: Data, network: keras.Model, plan: Plan) -> list[dict]:
    config, how = run.config, reading(run.config, data.dataset)
    if data.dataset.drawn_seed is None:
        epochs = by_epoch(lambda epoch: batches.training(data.inputs["train"], how, epoch))
    else:
        size = config.data.image_size
        epochs = by_epoch(lambda epoch: batches.drawn(data.dataset, how, size, epoch))
    learns = learner(network, config.fit, network.non_trainable_variables)
    validate = validation(Inference(network), data.inputs["val"])
    fit = Fit("scratch", learns, epochs, validate, plan, config.fit, config.seed)
    with run.timed("finetune"), metrics.publisher(run.workdir, []) as publish:
        return train.fit(fit, run.checkpoint / "scratch.npy", publish)


@dataclass(frozen=True)
class Adapted:
    """What a training came to.

    Attributes:
      model: calibrated.
      probabilities: of it on validation, `(val, classes)`.
      tuned: the same of the best fine-tuned weights, kept or not; None where none were trained.
      depth: at which it was frozen.
    """

    model: keras.Model
    probabilities: np.ndarray
    tuned: np.ndarray | None
    depth: Freeze


def head_then_suffix(run: Run, arch: Architecture) -> Adapted:
    """LP-FT (arXiv 2202.10054): a converged head, then the layers above the freeze depth.

    Head alone, fine-tuned, and the mean of their weights (WiSE-FT, arXiv 2109.01903) stand on
    validation; the head is kept unless validation speaks clearly for another, see `train.choose`.
    """
    config, model = run.config, arch.model
    plan = plan_of(config, arch.data.dataset, pretrained=True)
    depth = depth_of(config, arch.backbone, plan)
    head = head_of(arch, config)
    with metrics.publisher(run.workdir, []) as publish:
        publish(head.history)
    models.begin(arch.trained, arch.initial, head, config.model.dropout)
    tunes = depth.cut != arch.output and plan.epochs > 0
    standing = {"head": candidates.of_head(arch, config, head, looks=tunes)}
    if tunes and candidates.may_gain(run, standing["head"]):
        suffix = suffix_of(arch, config, depth.cut)
        suffix.learner.begin()
        before = suffix.learner.values()
        fit_suffix(run, arch, suffix, plan, head.history)
        standing |= candidates.of_suffix(arch, config, suffix, before)
    kept = candidates.choose(run, standing)
    if kept == "head":
        models.begin(model, arch.initial, head, config.model.dropout)
    else:
        suffix.learner.set(standing[kept].values)
        model.set_weights(arch.trained.get_weights())
    models.fold_temperature(model, standing[kept].temperature)
    run.add(model=_describe(model, config, depth, kept))
    others = [candidate for name, candidate in standing.items() if name != "head"]
    best = min(others, key=lambda candidate: candidate.losses.mean(), default=None)
    tuned = None if best is None else best.probabilities
    return Adapted(model, standing[kept].probabilities, tuned, depth)


def check_classes(dataset: Dataset) -> None:
    """Glyphs are drawn at random: a few hundred leave out some class, which a head cannot fit.

    Raises:
      ValueError: a class has no training image.
    """
    present = {example.label for example in dataset.splits["train"]}
    missing = [name for label, name in enumerate(dataset.classes) if label not in present]
    if missing:
        raise ValueError(
            f"data.num_examples: expected images of all {len(dataset.classes)} classes in train; "
            f"{len(missing)} have none, {missing[0]!r} among them; set it higher"
        )


def depth_of(config: RunConfig, backbone: keras.Model, plan: Plan) -> Freeze:
    """Where the plan's freeze depth cuts the backbone."""
    return freeze.resolve(backbone, backbones.block_pattern(config.model.backbone), plan.freeze)


def _calibrate(model: keras.Model, val: Inputs) -> None:
    logits = features.outputs(Inference(models.logits_of(model)), val)
    models.fold_temperature(model, fit_temperature(logits, val.labels))


def _describe(model: keras.Model, config: RunConfig, depth: Freeze, kept: str) -> dict:
    return {
        "backbone": config.model.backbone,
        "weights": config.model.weights,
        "parameters": model.count_params(),
        "freeze": depth.share,
        "block": depth.block,
        "cut": depth.cut,
        "kept": kept,
    }
