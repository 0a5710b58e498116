"""A user's own model as a backbone: raw pixels in, pooled features out, one flat graph.

The file's last tensor is the features; a feature map is pooled by average. Models and
pipelines inside the model are taken apart, so that it can be frozen at any depth and its layers be
shared. Layers that augment are left out.
"""

from collections.abc import Callable
from typing import Any

import keras
from absl import logging

from tl_keras.backbones import applications, model_file
from tl_keras.backbones.weights import load_safely
from tl_keras.training import freeze

# Names that this package gives to operations before and behind those of the file.
TAKEN = ("image", "normalise", "pool", "features", "dropout", "hidden", "logits", "probabilities")
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


def build(file: str, preprocessing: str | None, image_size: int) -> keras.Model:
    """One flat functional model with the weights of the file, which computes in float32.

    `(batch, image_size, image_size, 3) uint8 RGB` in, features `(batch, channels) float32` out.
    Operations keep the names that they have in the file, but for those that stand there twice.

    Args:
      file: a functional or sequential model, saved by Keras 3 as `.keras`.
      preprocessing: what the file's model was trained on, see `backbones.Backbone`; None: as
        `included`, pixels in 0..255, with a warning where nothing in the file normalises them.
      image_size: px, height = width.

    Raises:
      ValueError: see `backbone_file.check`; it does not load, has several inputs or outputs,
        calls a layer twice, or gives neither features nor feature maps.
    """
    model_file.check(file, image_size)
    source = load_safely(file, f"model.backbone: {file!r}")
    _check(file, source, image_size)
    _warn(file, source, preprocessing)
    origins: dict[str, keras.Layer] = {}
    try:
        flat = _assemble(source, preprocessing or "included", image_size, origins)
    except _Refused as error:
        raise ValueError(f"model.backbone: {file!r} {error}") from None
    # Keras raises whatever its layers raise, as on a feature map that is used up.
    except Exception as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else repr(error)
        raise ValueError(
            f"model.backbone: {file!r} cannot be built for data.image_size {image_size}: {reason}"
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


def _check(file: str, source: keras.Model, image_size: int) -> None:
    if not source.built:
        raise ValueError(
            f"model.backbone: {file!r} was saved before it knew the shape of its images; begin it "
            f"with keras.Input(({image_size}, {image_size}, 3))"
        )
    for kind, tensors in (("inputs", source.inputs), ("outputs", source.outputs)):
        if len(tensors) != 1:
            raise ValueError(
                f"model.backbone: {file!r} has {len(tensors)} {kind}; expected one: the image in, "
                "its features out, as of keras.Model(model.inputs[0], model.outputs[0])"
            )
    model_file.check_input(file, source.inputs[0].shape, image_size)
    dtype = keras.backend.standardize_dtype(source.inputs[0].dtype)
    if dtype != "uint8" and "float" not in dtype:
        raise ValueError(
            f"model.backbone: {file!r} takes {dtype}; expected pixels as uint8 or float"
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
    source: keras.Model, preprocessing: str, image_size: int, origins: dict[str, keras.Layer]
) -> keras.Model:
    """The flat graph; `origins` gets each of its layers' layer in the file, by name."""
    image = keras.Input((image_size, image_size, 3), dtype="uint8", name="image")
    pixels = applications.normalise(image, preprocessing)
    if preprocessing == "included" and source.inputs[0].dtype != "uint8":
        pixels = keras.layers.Rescaling(1.0, dtype="float32", name="normalise")(image)
    start = applications.with_stable_names(keras.Model(image, pixels), "start")
    x = keras.tree.flatten(_inline(source, start.output, _cloning(origins)))[0]
    if len(x.shape) == 4:
        x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    elif len(x.shape) != 2:
        raise _Refused(
            f"ends in a tensor of shape {tuple(x.shape)}; expected features (batch, channels) or "
            "a feature map (batch, height, width, channels): pool it and save again"
        )
    x = keras.layers.Activation("linear", dtype="float32", name="features")(x)
    return keras.Model(start.input, x)


Clone = Callable[[keras.Operation], keras.Operation]


def _cloning(origins: dict[str, keras.Layer]) -> Clone:
    """A function that clones an operation of the file under a name of its own."""
    taken, seen = set(TAKEN), set()

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
        if isinstance(operation, AUGMENTING):  # That is the work of data.augment.
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


def _warn(file: str, source: keras.Model, preprocessing: str | None) -> None:
    operations = _operations(source)
    if preprocessing is None and not _normalises(operations):
        logging.warning(
            "model.backbone: nothing in %r normalises pixels; it gets them as 0..255. If it was "
            "trained otherwise, set model.preprocessing: tf (-1..1), torch (mean and deviation "
            "of ImageNet) or caffe (BGR minus the mean); included: it was trained on 0..255",
            file,
        )
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
    """Whether something computes with the pixels before the first layer with a kernel."""
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
