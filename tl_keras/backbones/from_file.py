"""Builds a backbone, which turns prepared examples into features, from a user's own model.

The model's output becomes the features. If the output is a feature map, it is pooled first; the
modality's module `own_model` does this. Inner models and pipelines (`keras.layers.Pipeline`) are
replaced by their layers, so that the backbone can be frozen at any depth and other models can use
its layers. Augmentation layers are left out.
"""

from collections.abc import Callable
from typing import Any

import keras
from absl import logging

from tl_keras.backbones import model_file
from tl_keras.backbones.weights import load_safely
from tl_keras.modalities import part
from tl_keras.training.network import freeze

# Names that this package gives to operations before and after those of the file.
RESERVED = ("normalise", "pool", "features", "dropout", "hidden", "logits", "probabilities")
FLOAT32 = ("normalise", "features")  # These layers compute in float32 under every dtype policy.
# Without the argument `training`, these layers augment, and batch norm after them learns.
# RandomCrop is kept, since it crops in inference too.
AUGMENTING = tuple(
    getattr(keras.layers, name)
    for name in dir(keras.layers)
    if name.startswith(("Rand", "MixUp", "CutMix", "AugMix", "Solar")) and name != "RandomCrop"
)
INNER = (keras.Model, keras.layers.Pipeline)  # Unpacked wherever they are called.
IN_ORDER = (keras.Sequential, keras.layers.Pipeline)  # They call their layers one after the other.
POLICIES = ("float32", "mixed_bfloat16", "mixed_float16", "bfloat16", "float16", "float64")


def build(file: str, preprocessing: str | None, settings: Any) -> keras.Model:
    """Returns a functional model without inner models, with the file's weights, in float32.

    The model takes `(batch, *settings.shape)` of `settings.dtype` and returns features `(batch,
    channels) float32`. Operations keep their names from the file, except names that are used twice
    or that this package uses itself (`RESERVED`).

    Args:
      file: a functional or sequential model, saved by Keras 3 as `.keras`.
      preprocessing: the input values on which the model was trained, see `applications.Backbone`.
        None passes prepared examples unchanged, and warns if the model does not normalise them.
      settings: the config section of the examples' modality.

    Raises:
      ValueError: see `model_file.check`; or the file does not load, or the model has several inputs
        or outputs, calls a layer twice, or returns neither features nor feature maps.
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
    # Layers may raise any exception, for example if a feature map becomes smaller than a kernel.
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
    """Returns a copy of a backbone, with another dtype policy and with random weights.

    Args:
      policy: the dtype policy of the copy's layers, such as `mixed_bfloat16`. Layers whose
        names are in `FLOAT32` keep float32.
    """
    config = backbone.get_config()
    for layer in config["layers"]:
        # For operations and inputs the dtype is a string, and changing it would change the result.
        if isinstance(layer["config"].get("dtype"), dict):
            stays_float32 = layer["config"]["name"] in FLOAT32
            layer["config"]["dtype"] = "float32" if stays_float32 else policy
        if "trainable" in layer["config"]:
            layer["config"]["trainable"] = True  # Layers may have been frozen when they were saved.
    return keras.Model.from_config(config | {"name": "backbone"})


class _Refused(Exception):
    """Raised if the file's graph cannot be a backbone.

    The message has no subject, as in "calls layer 'x' more than once", because the name of the file
    is put before it.
    """


def _check(file: str, source: keras.Model, settings: Any) -> None:
    if not source.built:
        raise ValueError(
            f"model.backbone: {file!r} was saved before its input shape was known; make its first "
            f"layer keras.Input({settings.shape})"
        )
    for kind, tensors in (("inputs", source.inputs), ("outputs", source.outputs)):
        if len(tensors) != 1:
            raise ValueError(
                f"model.backbone: {file!r} has {len(tensors)} {kind}; expected one input, the "
                "example, and one output, its features, as in "
                "keras.Model(model.inputs[0], model.outputs[0])"
            )
    part(settings.modality, "config").check_input(file, source.inputs[0].shape, settings)
    dtype = keras.backend.standardize_dtype(source.inputs[0].dtype)
    if dtype != settings.dtype and "float" not in dtype:
        raise ValueError(
            f"model.backbone: the input of {file!r} takes {dtype}; expected {settings.dtype} or a "
            "float type"
        )
    for layer in _leaves(source):
        if layer.dtype_policy.name not in POLICIES:
            raise ValueError(
                f"model.backbone: layer {layer.name!r} of {file!r} is quantised "
                f"({layer.dtype_policy.name}); expected the model before quantisation, since this "
                "package quantises the model itself when it exports int8 files"
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
    """Returns a model without inner models: `start`, copies of the file's layers, then `features`.

    Args:
      source: the file's model.
      start: the model that converts a prepared example to the input of the file's model.
      features: converts the output of the file's model to features.
      origins: an empty dict. For each copied layer, this function adds an entry from the name of
        the copy to the original layer.
    """
    x = keras.tree.flatten(_inline(source, start.output, _cloning(origins, start.input.name)))[0]
    try:
        x = features(x)
    except ValueError as error:
        raise _Refused(str(error)) from None
    x = keras.layers.Activation("linear", dtype="float32", name="features")(x)
    return keras.Model(start.input, x)


Clone = Callable[[keras.Operation], keras.Operation]


def _cloning(origins: dict[str, keras.Layer], start: str) -> Clone:
    """Returns a function that clones an operation of the file under a unique name.

    Args:
      origins: a dict. For each cloned layer, the returned function adds an entry from the name of
        the clone to the original layer.
      start: name of the input layer; no clone gets this name.
    """
    taken, seen = {start, *RESERVED}, set()

    def clone(operation: keras.Operation) -> keras.Operation:
        if id(operation) in seen:
            raise _Refused(
                f"calls layer {operation.name!r} more than once; expected one call of each layer"
            )
        seen.add(id(operation))
        if isinstance(operation, INNER):
            return operation
        name, count = operation.name, 1
        while name in taken:
            count += 1
            name = f"{operation.name}_{count}"
        taken.add(name)
        copy = type(operation).from_config({**operation.get_config(), "name": name})
        if isinstance(operation, keras.Layer) and not isinstance(operation, AUGMENTING):
            origins[name] = operation
        return copy

    return clone


def _inline(model: keras.Layer, inputs: Any, clone: Clone) -> Any:
    """Calls clones of a model's layers, in order, on `inputs`, and returns the output.

    Inner models are replaced by clones of their layers.
    """

    def call(operation: keras.Operation, *args: Any, **kwargs: Any) -> Any:
        if isinstance(operation, INNER):  # `training` is dropped, because freezing decides it.
            return _inline(operation, args[0], clone)
        if isinstance(operation, AUGMENTING):  # The config sets the augmentation.
            return args[0]
        return operation(*args, **kwargs)

    if isinstance(model, IN_ORDER):
        for layer in model.layers:
            inputs = call(clone(layer), inputs)
        return inputs
    # keras.models.clone_model does this too, but returns a new Model outside of this graph.
    return model._run_through_graph(inputs, operation_fn=clone, call_fn=call)


def _copy_weights(origin: keras.Layer, layer: keras.Layer) -> None:
    if not origin.weights:
        return
    layer.set_weights(origin.get_weights())
    if isinstance(layer, keras.layers.Normalization):
        layer.finalize_state()  # The layer computes with a copy of its weights.


# --- warnings about models that may not be meant as backbones


def _warn(file: str, source: keras.Model) -> None:
    operations = _operations(source)
    kernels = [i for i, operation in enumerate(operations) if freeze.has_kernel(operation)]
    if kernels and kernels[-1] and _gives_probabilities(source.outputs[0], operations[-1]):
        last, before = operations[kernels[-1]], operations[kernels[-1] - 1]
        advice = f"save a model that ends before the layer {last.name!r}"
        # get_layer finds neither operations nor layers of inner models.
        if any(before is layer for layer in source.layers):
            output = f"model.get_layer({before.name!r}).output"
            advice = f"keras.Model(model.input, {output}).save('backbone.keras')"
        logging.warning(
            "model.backbone: %r ends in a classifier, the layer %r: the new head learns from its "
            "%d outputs. To learn from the features before this layer: %s",
            *(file, last.name, source.outputs[0].shape[-1], advice),
        )


def _operations(model: keras.Layer) -> list[keras.Operation]:
    """Returns the operations of a model and of its inner models, in order, without input layers."""
    operations = []
    listed = model.layers if isinstance(model, IN_ORDER) else model.operations
    for operation in listed:
        if isinstance(operation, INNER):
            operations += _operations(operation)
        elif not isinstance(operation, keras.layers.InputLayer):
            operations.append(operation)
    return operations


def _normalises(operations: list[keras.Operation]) -> bool:
    """Returns True if a model scales its input before the first layer that has a kernel.

    Conv2D and Dense are examples of layers that have a kernel. Each operation that is not a
    layer, such as a division, counts as scaling.

    Args:
      operations: all operations of a model, from input to output.
    """
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
