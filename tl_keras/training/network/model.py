"""The whole model: prepared example in, answer out; its head, its temperature."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tl_keras import tasks
from tl_keras.backbones import from_file, model_file, table
from tl_keras.backbones.weights import load_safely, load_weights
from tl_keras.config.model import ModelConfig
from tl_keras.run import folder as runs
from tl_keras.run.lineage import run_of
from tl_keras.tasks.heads import Earlier, Head

DROPOUT = "dropout"
HIDDEN = "hidden"
LOGITS = "logits"  # The last layer with weights, whatever the task; the answer follows it.


def pretrained(config: ModelConfig, settings: Any) -> keras.Model:
    """The backbone with the weights of `model.weights`, see `backbones.table`.

    Args:
      settings: the section of the examples' modality.

    Raises:
      ValueError: the backbone is a file that cannot be used, see `own_backbone.build`; the weights
        cannot be had, or do not fit, see `weights.load_weights`, or are not finite.
    """
    if model_file.is_file(config.backbone):
        backbone = from_file.build(config.backbone, config.preprocessing, settings)
        if not config.is_pretrained:
            return from_file.in_precision(backbone, "float32")
    else:
        build = table.module_of(config.backbone).build
        backbone = build(config.backbone, config.options, settings.shape)
    try:
        load_weights(backbone, config.backbone, config.options, config.weights)
    except ValueError as error:
        raise ValueError(f"{error}{_of_another(config)}") from error
    _check_finite(backbone, config)
    return backbone


def _of_another(config: ModelConfig) -> str:
    """What to say where the weights of a run are those of another backbone."""
    folder = run_of(config.weights)
    if folder is None:
        return ""
    own = runs.load(folder).config.model
    if (own.backbone, own.options) == (config.backbone, config.options):
        return ""
    return f"; the model of that run is {own.backbone} with model.options {own.options}"


def _check_finite(backbone: keras.Model, config: ModelConfig) -> None:
    # Features do not always show it: a fused ReLU makes 0 of NaN.
    for layer in backbone.layers:
        if not all(np.isfinite(weight).all() for weight in layer.get_weights()):
            field = "backbone" if config.weights == "own" else "weights"
            raise ValueError(
                f"model.{field}: {getattr(config, field)!r} has weights that are not finite in "
                f"layer {layer.name!r}; the training that saved them had diverged: use others"
            )


def add_head(
    backbone: keras.Model,
    names: Sequence[str],
    dropout: float,
    width: int | None = None,
    task: str = tasks.DEFAULT,
) -> keras.Model:
    """A prepared example in, the task's answer out: for classes `(classes,) float32`.

    Flat: every operation of the backbone is one of the model's own, and shared with it.

    Args:
      names: of the answers, see `tl_keras.tasks`.
      width: units of a hidden layer before the last one, if there is to be one.
    """
    # Built with some: where there is none, Keras gives the layer no seed to set it later.
    x = keras.layers.Dropout(0.5, name=DROPOUT)(backbone.output)
    if width:
        x = keras.layers.Dense(width, "relu", name=HIDDEN, dtype="float32")(x)
    # float32 under every policy: half precision loses small probabilities.
    units = tasks.of(task, "targets").width(names)
    x = keras.layers.Dense(units, name=LOGITS, dtype="float32")(x)
    x = tasks.of(task, "layer").answer(x)
    model = keras.Model(backbone.input, x, name="tl_keras")
    model.get_layer(DROPOUT).rate = dropout
    return model


def tunable(model: keras.Model) -> list[keras.Variable]:
    """What fine-tuning may change: all weights but those of batch norm, which has the most."""
    return [
        variable
        for layer in model.layers
        if not isinstance(layer, keras.layers.BatchNormalization)
        for variable in layer.weights
    ]


def earlier_head(folder: Path, names: Sequence[str], task: str = tasks.DEFAULT) -> Earlier | None:
    """What a chain keeps of a run's head, see `head.earlier` of the task; None of a head with a
    hidden layer.

    Args:
      folder: of a finished run.
      names: of the answers that there are now.
    """
    model = load(folder / "model.keras")
    data = json.loads((folder / "data.json").read_text(encoding="utf-8"))
    known, examples = data["classes"], len(data["splits"]["train"])
    layers = {layer.name: layer for layer in model.layers}
    if LOGITS not in layers or HIDDEN in layers:
        return None
    kernel, bias = layers[LOGITS].get_weights()
    return tasks.of(task, "head").earlier(kernel, bias, known, names, examples)


def reset(model: keras.Model, initial: list[np.ndarray]) -> None:
    """Gives what fine-tuning may change its initial values; those of all weights are given."""
    values = dict(zip(map(id, model.weights), initial, strict=True))
    for variable in tunable(model):
        variable.assign(values[id(variable)])


def start_from(model: keras.Model, initial: list[np.ndarray], head: Head, dropout: float) -> None:
    """Sets what fine-tuning changes: the initial weights, then those of a head; and its dropout."""
    reset(model, initial)
    for name, layer in zip((HIDDEN, LOGITS)[-len(head.layers) :], head.layers, strict=True):
        model.get_layer(name).set_weights(list(layer))
    model.get_layer(DROPOUT).rate = dropout


def in_precision(
    model: keras.Model,
    config: ModelConfig,
    names: Sequence[str],
    policy: str,
    task: str = tasks.DEFAULT,
) -> keras.Model:
    """A model of equal weights that computes under a dtype policy such as `mixed_bfloat16`."""
    if model_file.is_file(config.backbone):  # Which may be another by now, or gone.
        backbone = from_file.in_precision(backbone_of(model), policy)
    else:
        build = table.module_of(config.backbone).build
        backbone = build(config.backbone, config.options, model.input.shape[1:], policy)
    twin = add_head(backbone, names, config.dropout, config.head_width, task)
    return _with_weights_of(model, twin)


def mirrored(model: keras.Model, devices: tf.distribute.Strategy) -> keras.Model:
    """A model of equal weights that is there on all devices."""
    with devices.scope():
        return _with_weights_of(model, keras.models.clone_model(model))


def _with_weights_of(model: keras.Model, twin: keras.Model) -> keras.Model:
    twin.set_weights(model.get_weights())
    for layer in twin.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()  # It computes with a copy of its weights.
    return twin


def backbone_of(model: keras.Model) -> keras.Model:
    """The part up to the pooled features, `(channels,) float32`; shares the model's layers."""
    return keras.Model(model.input, model.get_layer(DROPOUT).input, name="backbone")


def logits_of(model: keras.Model) -> keras.Model:
    """The model up to its raw outputs; shares the model's layers."""
    return keras.Model(model.input, model.get_layer(LOGITS).output, name="logits_model")


def output_of(model: keras.Model) -> str:
    """The name of the model's answer, by which its exports give it."""
    return model.layers[-1].name


def fold_temperature(model: keras.Model, temperature: float) -> None:
    """Divides the raw outputs by `temperature` > 0, in the head's weights."""
    head = model.get_layer(LOGITS)
    head.set_weights([weight / np.float32(temperature) for weight in head.get_weights()])


def load(file: Path) -> keras.Model:
    """A saved model; built-in layers only, nothing in the file is executed.

    Raises:
      ValueError: no such file, damaged, or it holds code.
    """
    if not file.is_file():
        raise ValueError(f"{str(file)!r} does not exist; is the run finished?")
    return load_safely(file, repr(str(file)))
