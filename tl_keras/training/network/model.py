"""The whole model, from prepared example to answer: backbone, head and temperature."""

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
from tl_keras.run.lineage import recorded, run_of
from tl_keras.run.trained import as_trained
from tl_keras.tasks.heads import Earlier, Head

DROPOUT = "dropout"
HIDDEN = "hidden"
LOGITS = "logits"  # The last layer with weights, in every task; the answer is computed from it.


def pretrained(config: ModelConfig, settings: Any) -> keras.Model:
    """Builds the backbone `model.backbone` with the weights `model.weights`.

    Args:
      settings: the config section of the modality, such as `image`.

    Raises:
      ValueError: the backbone is a file that cannot be used (see `from_file.build`); or the weights
        cannot be loaded, do not fit (see `weights.load_weights`), or are NaN or infinite.
    """
    if model_file.is_file(config.backbone) and not model_file.is_folder(config.backbone):
        backbone = from_file.build(config.backbone, config.preprocessing, settings)
        if not config.is_pretrained:
            return from_file.in_precision(backbone, "float32")
    else:
        build = table.module_of(config.backbone).build
        backbone = build(config.backbone, config.options, settings)
    try:
        load_weights(backbone, config.backbone, config.options, settings, config.weights)
    except ValueError as error:
        raise ValueError(f"{error}{_of_another(config)}") from error
    _check_finite(backbone, config)
    return backbone


def _of_another(config: ModelConfig) -> str:
    """Returns what an error message adds if the weights come from a run with another backbone.

    Returns an empty string if they do not.
    """
    folder = run_of(config.weights)
    if folder is None:
        return ""
    earlier = as_trained(runs.load(folder)).config.model
    if (earlier.backbone, earlier.options) == (config.backbone, config.options):
        return ""
    return (
        f"; the run of these weights has the backbone {earlier.backbone} with model.options "
        f"{earlier.options}"
    )


def _check_finite(backbone: keras.Model, config: ModelConfig) -> None:
    # Checking features is not enough: a fused ReLU turns NaN into 0.
    for layer in backbone.layers:
        if not all(np.isfinite(weight).all() for weight in layer.get_weights()):
            field = "backbone" if config.weights == "own" else "weights"
            raise ValueError(
                f"model.{field}: {getattr(config, field)!r} has weights that are NaN or infinite "
                f"in layer {layer.name!r}, because the training that saved them diverged; use "
                "other weights"
            )


def add_head(
    backbone: keras.Model,
    names: Sequence[str],
    dropout: float,
    width: int | None = None,
    task: str = tasks.DEFAULT,
) -> keras.Model:
    """Adds a head to a backbone; the returned model maps a prepared example to an answer.

    For classes, the answer is `(classes,) float32`. The model is flat: it contains the backbone's
    operations themselves, not a nested model, and shares the backbone's layers.

    Args:
      names: names of the answers, see `tl_keras.tasks`.
      dropout: dropout rate before the head, 0..1.
      width: units of a hidden layer in the head; None for no hidden layer.
    """
    # Built with a rate above 0, because Keras gives the layer no seed if the rate is 0.
    x = keras.layers.Dropout(0.5, name=DROPOUT)(backbone.output)
    if width:
        x = keras.layers.Dense(width, "relu", name=HIDDEN, dtype="float32")(x)
    # float32 under every dtype policy, because half precision loses small probabilities.
    units = tasks.of(task, "targets").width(names)
    x = keras.layers.Dense(units, name=LOGITS, dtype="float32")(x)
    x = tasks.of(task, "layer").answer(x)
    model = keras.Model(backbone.input, x, name="tl_keras")
    model.get_layer(DROPOUT).rate = dropout
    return model


def tunable(model: keras.Model) -> list[keras.Variable]:
    """Returns the weights that fine-tuning may change.

    Batch norm, which has most of a backbone's variables, is left out, because fine-tuning does not
    change it.
    """
    return [
        variable
        for layer in model.layers
        if not isinstance(layer, keras.layers.BatchNormalization)
        for variable in layer.weights
    ]


def earlier_head(folder: Path, names: Sequence[str], task: str = tasks.DEFAULT) -> Earlier | None:
    """Returns the head of an earlier run, with columns for the answers of this run.

    Answers, such as classes, are matched by name. Returns None if that head has a hidden layer, or
    if too few answers match (see the function `earlier` of the task's part `head`).

    Args:
      folder: folder of the earlier run, which is finished.
      names: names of the answers of this run.
    """
    model = load(folder / "model.keras")
    data = recorded(folder)
    known, examples = data["classes"], len(data["splits"]["train"])
    layers = {layer.name: layer for layer in model.layers}
    if LOGITS not in layers or HIDDEN in layers:
        return None
    kernel, bias = layers[LOGITS].get_weights()
    return tasks.of(task, "head").earlier(kernel, bias, known, names, examples)


def reset(model: keras.Model, initial: list[np.ndarray]) -> None:
    """Resets the weights that fine-tuning may change to their initial values.

    Args:
      initial: values of all weights before training, as `model.get_weights()` returned them.
    """
    values = dict(zip(map(id, model.weights), initial, strict=True))
    for variable in tunable(model):
        variable.assign(values[id(variable)])


def start_from(model: keras.Model, initial: list[np.ndarray], head: Head, dropout: float) -> None:
    """Prepares a model for fine-tuning: initial weights, a fitted head, and the dropout rate.

    Args:
      initial: values of all weights before training, see `reset`.
      head: the fitted head, whose weights replace those of the model's head.
      dropout: dropout rate before the head, 0..1.
    """
    reset(model, initial)
    for name, layer in zip((HIDDEN, LOGITS)[-len(head.layers) :], head.layers, strict=True):
        model.get_layer(name).set_weights(list(layer))
    model.get_layer(DROPOUT).rate = dropout


def in_precision(
    model: keras.Model,
    config: ModelConfig,
    settings: Any,
    names: Sequence[str],
    policy: str,
    task: str = tasks.DEFAULT,
) -> keras.Model:
    """Returns a copy of the model, with the same weights, that computes under a Keras dtype policy.

    Args:
      settings: the config section of the modality, such as `image`.
      names: names of the answers.
      policy: name of the dtype policy, such as `mixed_bfloat16`.
    """
    if model_file.is_file(config.backbone):  # The file may have changed or be gone by now.
        backbone = from_file.in_precision(backbone_of(model), policy)
    else:
        build = table.module_of(config.backbone).build
        backbone = build(config.backbone, config.options, settings, policy)
    twin = add_head(backbone, names, config.dropout, config.head_width, task)
    return _with_weights_of(model, twin)


def mirrored(model: keras.Model, devices: tf.distribute.Strategy) -> keras.Model:
    """Returns a copy of the model with the same weights, mirrored on all devices."""
    with devices.scope():
        return _with_weights_of(model, keras.models.clone_model(model))


def _with_weights_of(model: keras.Model, twin: keras.Model) -> keras.Model:
    twin.set_weights(model.get_weights())
    for layer in twin.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()  # The layer computes with a copy of its weights.
    return twin


def backbone_of(model: keras.Model) -> keras.Model:
    """Returns the part of the model up to the pooled features, `(batch, channels)`.

    It shares the model's layers.
    """
    return keras.Model(model.input, model.get_layer(DROPOUT).input, name="backbone")


def logits_of(model: keras.Model) -> keras.Model:
    """Returns the part of the model up to its raw outputs, `(batch, columns) float32`.

    For classification, these are the logits, one column per class. The part shares the layers of
    the model.
    """
    return keras.Model(model.input, model.get_layer(LOGITS).output, name="logits_model")


def output_of(model: keras.Model) -> str:
    """Returns the name of the model's output; exported files use the same name."""
    return model.layers[-1].name


def fold_temperature(model: keras.Model, temperature: float) -> None:
    """Divides the weights of the head's last layer, and thus its raw outputs, by `temperature`.

    The temperature, above 0, calibrates the model.
    """
    head = model.get_layer(LOGITS)
    head.set_weights([weight / np.float32(temperature) for weight in head.get_weights()])


def load(file: Path) -> keras.Model:
    """Loads a saved model of built-in layers, without running any code from the file.

    Raises:
      ValueError: the file does not exist, is damaged, or contains code.
    """
    if not file.is_file():
        raise ValueError(f"{str(file)!r} does not exist; has the run finished?")
    return load_safely(file, repr(str(file)))
