"""A user's own model as a backbone: prepared examples in, features out, one flat graph.

The file's last tensor is the features, pooled as its modality has it. Models and
pipelines inside the model are taken apart, so that it can be frozen at any depth and its layers be
shared. Layers that augment are left out.
"""

from collections.abc import Callable
from typing import Any

import keras
from absl import logging

from tl_keras.backbones import model_file
from tl_keras.backbones.weights import load_safely
from tl_keras.modalities import part
from tl_keras.training.network import freeze

# Names that this package gives to operations before and behind those of the file.
TAKEN = ("normalise", "pool", "features", "dropout", "hidden", "logits", "probabilities")
FLOAT32 = ("normalise", "features")  # Under every policy.
# Called without `training` they augment, and batch norm after them learns. RandomCrop always crops.
AUGMENTING = tuple(
    getattr(keras.layers, name)
    for name in dir(keras.layers)
    if name.startswith(("Rand", "MixUp", "CutMix", "AugMix", "Solar")) and name != "RandomCrop"
)
INNER = (keras.Model, keras.layers.Pipeline)  # Taken apart where they are called.
IN_ORDER = (keras.Sequential, keras.layers.Pipeline)  # One layer after the other.
POLICIES = ("float32", "mixed_bfloat16", "mixed_float16", "bfloat16", "float16", "float64")


def build(file: str, preprocessing: str | None, settings: Any) -> keras.Model:
    """One flat functional model with the weights of the file, which computes in float32.

    `(batch, *settings.shape)` in, of `settings.dtype`; features `(batch, channels) float32` out.
    Operations keep the names that they have in the file, but for those that stand there twice.

    Args:
      file: a functional or sequential model, saved by Keras 3 as `.keras`.
      preprocessing: what the file's model was trained on, see `applications.Backbone`; None: the
        prepared examples, with a warning where nothing in the file normalises them.
      settings: of the modality of the examples.

    Raises:
      ValueError: see `model_file.check`; it does not load, has several inputs or outputs,
        calls a layer twice, or gives neither features nor feature maps.
    """
    model_file.check(file, settings)
    source = load_safely(file, f"model.backbone: {file!r}")
    _check(file, source, settings)
    own_model = part(settings.modality, "own_model")
    own_model.warn(file, _normalises(_operations(source)), preprocessing)
    _warn(file, source)
    origins: dict[str, keras.Layer] = {}
    try:
        dtype = keras.backend.standardize_dtype(source.inputs[0].dtype)
        start = own_model.start(settings, preprocessing, dtype)
        flat = _assemble(source, start, own_model.features, origins)
    except _Refused as error:
        raise ValueError(f"model.backbone: {file!r} {error}") from None
    # Keras raises whatever its layers raise, as on a feature map that is used up.
    except Exception as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else repr(error)
        extent = part(settings.modality, "config").extent(settings)
        raise ValueError(
            f"model.backbone: {file!r} cannot be built for {extent}: {reason}"
        ) from error
    backbone = in_precision(flat, "float32")
    for name, layer in origins.items():
        _copy_weights(layer, backbone.get_layer(name))
    return backbone


def in_precision(backbone: keras.Model, policy: str) -> keras.Model:
    """A backbone of the same graph, initialised anew, that computes under a dtype policy."""
    config = backbone.get_config()
    for layer in config["layers"]:
        # Of operations and inputs the dtype is a string, and part of what they compute.
        if isinstance(layer["config"].get("dtype"), dict):
            kept = layer["config"]["name"] in FLOAT32
            layer["config"]["dtype"] = "float32" if kept else policy
        if "trainable" in layer["config"]:
            layer["config"]["trainable"] = True  # What was frozen when the file was saved.
    return keras.Model.from_config(config | {"name": "backbone"})


class _Refused(Exception):
    """What is wrong with a file's graph, in words that follow the file's name."""


def _check(file: str, source: keras.Model, settings: Any) -> None:
    if not source.built:
        raise ValueError(
            f"model.backbone: {file!r} was saved before it knew the shape of its input; begin it "
            f"with keras.Input({settings.shape})"
        )
    for kind, tensors in (("inputs", source.inputs), ("outputs", source.outputs)):
        if len(tensors) != 1:
            raise ValueError(
                f"model.backbone: {file!r} has {len(tensors)} {kind}; expected one: the example "
                "in, its features out, as of keras.Model(model.inputs[0], model.outputs[0])"
            )
    part(settings.modality, "config").check_input(file, source.inputs[0].shape, settings)
    dtype = keras.backend.standardize_dtype(source.inputs[0].dtype)
    if dtype != settings.dtype and "float" not in dtype:
        raise ValueError(
            f"model.backbone: {file!r} takes {dtype}; expected {settings.dtype} or a float type"
        )
    for layer in _leaves(source):
        if layer.dtype_policy.name not in POLICIES:
            raise ValueError(
                f"model.backbone: {file!r} holds {layer.name!r} in {layer.dtype_policy.name}; "
                "expected the model before it was quantised: export makes int8 files"
            )


def _leaves(model: keras.Layer) -> list[keras.Layer]:
    inner = [layer for layer in model.layers if isinstance(layer, INNER)]
    outer = [layer for layer in model.layers if not isinstance(layer, INNER)]
    return outer + [leaf for layer in inner for leaf in _leaves(layer)]


# --- the graph


def _assemble(
    source: keras.Model,
    start: keras.Model,
    features: Callable[[Any], Any],
    origins: dict[str, keras.Layer],
) -> keras.Model:
    """The flat graph; `origins` gets each of its layers' layer in the file, by name."""
    x = keras.tree.flatten(_inline(source, start.output, _cloning(origins, start.input.name)))[0]
    try:
        x = features(x)
    except ValueError as error:
        raise _Refused(str(error)) from None
    x = keras.layers.Activation("linear", dtype="float32", name="features")(x)
    return keras.Model(start.input, x)


Clone = Callable[[keras.Operation], keras.Operation]


def _cloning(origins: dict[str, keras.Layer], start: str) -> Clone:
    """A function that clones an operation of the file under a name of its own."""
    taken, seen = {start, *TAKEN}, set()

    def clone(operation: keras.Operation) -> keras.Operation:
        if id(operation) in seen:
            raise _Refused(
                f"calls {operation.name!r} more than once; expected one call of each layer"
            )
        seen.add(id(operation))
        if isinstance(operation, INNER):
            return operation
        name, count = operation.name, 1
        while name in taken:
            count += 1
            name = f"{operation.name}_{count}"
        taken.add(name)
        made = type(operation).from_config({**operation.get_config(), "name": name})
        if isinstance(operation, keras.Layer) and not isinstance(operation, AUGMENTING):
            origins[name] = operation
        return made

    return clone


def _inline(model: keras.Layer, inputs: Any, clone: Clone) -> Any:
    """The model's outputs on other tensors; its layers cloned, those of inner models too."""

    def call(operation: keras.Operation, *args: Any, **kwargs: Any) -> Any:
        if isinstance(operation, INNER):  # `training` is dropped: freezing decides it.
            return _inline(operation, args[0], clone)
        if isinstance(operation, AUGMENTING):  # The config's own augmentation does that.
            return args[0]
        return operation(*args, **kwargs)

    if isinstance(model, IN_ORDER):
        for layer in model.layers:
            inputs = call(clone(layer), inputs)
        return inputs
    # keras.models.clone_model is this and a new Model, whose tensors are no longer the graph's.
    return model._run_through_graph(inputs, operation_fn=clone, call_fn=call)


def _copy_weights(origin: keras.Layer, layer: keras.Layer) -> None:
    if not origin.weights:
        return
    layer.set_weights(origin.get_weights())
    if isinstance(layer, keras.layers.Normalization):
        layer.finalize_state()  # It computes with a copy of its weights.


# --- what may be meant otherwise


def _warn(file: str, source: keras.Model) -> None:
    operations = _operations(source)
    kernels = [i for i, operation in enumerate(operations) if freeze.has_kernel(operation)]
    if kernels and kernels[-1] and _gives_probabilities(source.outputs[0], operations[-1]):
        last, before = operations[kernels[-1]], operations[kernels[-1] - 1]
        advice = "save a model that ends there"
        # Neither operations nor layers of inner models are found by name.
        if any(before is layer for layer in source.layers):
            output = f"model.get_layer({before.name!r}).output"
            advice = f"keras.Model(model.input, {output}).save('backbone.keras')"
        logging.warning(
            "model.backbone: %r ends in a classifier, %r: the head learns from its %d outputs. "
            "For the features before it: %s",
            *(file, last.name, source.outputs[0].shape[-1], advice),
        )


def _operations(model: keras.Layer) -> list[keras.Operation]:
    """Operations in order, those of models inside the model in their place."""
    found = []
    listed = model.layers if isinstance(model, IN_ORDER) else model.operations
    for operation in listed:
        if isinstance(operation, INNER):
            found += _operations(operation)
        elif not isinstance(operation, keras.layers.InputLayer):
            found.append(operation)
    return found


def _normalises(operations: list[keras.Operation]) -> bool:
    """Whether something computes with the input before the first layer with a kernel."""
    kinds = (
        keras.layers.Rescaling,
        keras.layers.Normalization,
        keras.layers.BatchNormalization,
        keras.layers.LayerNormalization,
    )
    for operation in operations:
        if freeze.has_kernel(operation):
            return False
        if isinstance(operation, kinds) or not isinstance(operation, keras.Layer):
            return True
    return False


def _gives_probabilities(output: Any, operation: keras.Operation) -> bool:
    activation = getattr(operation, "activation", None)
    squashing = activation in (keras.activations.softmax, keras.activations.sigmoid)
    return len(output.shape) == 2 and (squashing or isinstance(operation, keras.layers.Softmax))
