"""Freezing at a depth: where a functional model can be cut, and the two halves.

A cut point is an operation after which the whole graph is one tensor; beside that tensor it may
also read the model's own input, and compute masks, positions and the like from it anew. Blocks are
the cut points that are worth freezing at: in MobileNetV2 three quarters of the cut points end
inside a block, at an activation six times the size of the block's output.
"""

import difflib
import functools
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from tl_keras.training.network.cuts import cuts_of, graph_of, why_not
from tl_keras.training.network.fold_batch_norm import fold_batch_norm


@dataclass(frozen=True)
class Block:
    """A block of layers, and the cut point that ends it."""

    name: str
    cut: str


@dataclass(frozen=True)
class Freeze:
    """What a freeze depth came to. Nothing is frozen where `cut` is None."""

    share: float | str  # as asked for
    block: str | None  # the last block that is frozen whole
    cut: str | None  # the last operation that is frozen
    index: int  # blocks that are frozen whole
    count: int  # blocks of the model


def cut_points(model: keras.Model) -> list[str]:
    """Names of the operations at which a model can be cut in two, inputs first.

    What follows a cut point reads its output and, in a model with one input, that input: as it is,
    or through operations without weights that compute from it alone. Each cut point is made of the
    one before it.

    Inputs are no cut points; the output of a model with one output is the last.

    Raises:
      ValueError: the model calls a layer twice or was itself made by `split`.
    """
    return list(cuts_of(model))


def reads_input(model: keras.Model, cut: str) -> bool:
    """Whether what follows a cut point reads the model's input, too."""
    return cuts_of(model)[cut]


def blocks(model: keras.Model, pattern: str | None) -> list[Block]:
    """The model's blocks, inputs first; every block ends at a cut point.

    An operation belongs to the block that the first group of `pattern` names in its name. A block
    ends at the last cut point among its operations; else (an add without a name of its own) at the
    first after its last operation and before the next block; else it is part of the next block.
    Operations before the first block are part of it. Without a pattern, or where it names nothing,
    the graph says where blocks end, see `_ends`.

    Args:
      model: a functional model.
      pattern: a regular expression with one group, see `backbones.Backbone.block`.
    """
    operations, cuts = model.operations, cuts_of(model)
    members: dict[str, list[int]] = {}
    for position, operation in enumerate(operations):
        match = re.search(pattern, operation.name) if pattern else None
        if match:
            members.setdefault(match.group(1), []).append(position)
    if not members:
        return [Block(name, name) for name in _ends(model, cuts)]
    starts = [positions[0] for positions in members.values()][1:] + [len(operations)]
    result = []
    for (name, own), start in zip(members.items(), starts, strict=True):
        inside = [operations[i].name for i in own if operations[i].name in cuts]
        after = [o.name for o in operations[own[-1] + 1 : start] if o.name in cuts]
        if inside or after:
            result.append(Block(name, inside[-1] if inside else after[0]))
    return result


def resolve(model: keras.Model, pattern: str | None, freeze: float | str) -> Freeze:
    """Where a freeze depth cuts the model.

    Args:
      model: a backbone: a functional model with one output.
      pattern: see `blocks`.
      freeze: the share of the blocks to freeze, 0..1, rounded to whole blocks; all blocks means
        everything up to the model's output. Or the name of a block or of a cut point.

    Raises:
      ValueError: a share outside 0..1, or a name that is neither.
    """
    found = blocks(model, pattern)
    if isinstance(freeze, str):
        return _resolve_name(model, found, freeze)
    if not 0 <= freeze <= 1:
        raise ValueError(f"fit.freeze: must be in 0..1 or a layer's name, received {freeze!r}")
    index = round(freeze * len(found))
    cut = found[index - 1].cut if index else None
    if index == len(found):
        cut = cut_points(model)[-1]  # Pooling and the like, after the last block.
    block = found[index - 1].name if index else None
    return Freeze(freeze, block, cut, index, len(found))


def split(model: keras.Model, cut: str) -> tuple[keras.Model, keras.Model]:
    """Prefix and suffix of the model; one after the other computes exactly what the model does.

    The prefix takes the model's input. The suffix takes what the prefix gives, and the model's
    input behind it where it reads that, see `taken`. They share the model's layers: training the
    suffix trains the model.

    Raises:
      ValueError: `cut` is no cut point, or the model's output, after which nothing is left.
    """
    cuts = cuts_of(model)
    if cut not in [*cuts][:-1]:
        raise ValueError(f"{cut!r} does not cut {model.name} in two")
    tensor = next(o for o in model.operations if o.name == cut).output
    prefix = keras.Model(model.input, tensor, name=f"{model.name}_prefix")
    start, end = tensor, model.output
    if cuts[cut]:
        twin, made = _called_again(model)
        start, end = [made[cut], twin.input], twin.output
    return prefix, keras.Model(start, end, name=f"{model.name}_suffix")


def taken(suffix: keras.Model, activations: Any, inputs: Any) -> Any:
    """What a suffix takes: activations and, where it reads them, the inputs that they are of."""
    return [activations, inputs] if len(suffix.inputs) > 1 else activations


def _called_again(model: keras.Model) -> tuple[keras.Model, dict[str, Any]]:
    """A model of the same layers with an input of its own, and its tensors by operation.

    Keras cannot save a model any more whose own input became one of two inputs of another model
    ("could not find node key").
    """
    made = {}

    def call(operation: keras.Operation, *args: Any, **kwargs: Any) -> Any:
        made[operation.name] = operation(*args, **kwargs)
        return made[operation.name]

    twin = keras.models.clone_model(model, clone_function=lambda x: x, call_function=call)
    return twin, made


def freeze_batch_norm(model: keras.Model) -> None:
    """Sets `trainable = False` on each BatchNormalization: it then also infers under `fit`.

    An argument `training=False` does not protect it: Functional passes `training=True` on
    (https://github.com/keras-team/keras/issues/20285). Compile afterwards.
    """
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
        elif isinstance(layer, keras.Model):
            freeze_batch_norm(layer)


class FrozenPrefix(keras.layers.Layer):
    """Runs a prefix in inference mode, whatever `training` says, and stops gradients.

    The first layer of the training graph where activations are not kept. It owns no weights:
    neither checkpoints nor optimisers see the prefix. Activations are rounded to `dtype`, in
    which they would have been kept.
    """

    def __init__(self, prefix: keras.Model, dtype: str = "float32"):
        super().__init__(autocast=False, trainable=False)
        # Keras tracks models that are attributes; it does not look into a partial.
        self._run = functools.partial(fold_batch_norm(prefix), training=False)
        self._rounded_to = dtype

    def call(self, inputs: Any) -> Any:
        activations = self._run(inputs)
        rounded = keras.ops.cast(keras.ops.cast(activations, self._rounded_to), activations.dtype)
        return keras.ops.stop_gradient(rounded)


def has_kernel(operation: keras.Operation) -> bool:
    """Whether it is a layer that mixes channels or places by weights, such as Conv2D or Dense."""
    # Normalisation has vectors; PReLU has a vector of the rank of its input.
    weights = getattr(operation, "weights", ())
    vectors = isinstance(operation, keras.layers.PReLU)
    return not vectors and any(len(weight.shape) > 1 for weight in weights)


def _ends(model: keras.Model, cuts: Mapping[str, bool]) -> list[str]:
    """Cut points that are worth freezing at, of a model whose names say nothing.

    Those before the next layer with a kernel (or its padding), so that normalisation, activation
    and pooling stay with the layer before them. Not where the graph is expanded to be projected
    again: at more channels than both before and after.
    """
    operations, made_of = model.operations, graph_of(model).made_of
    found, done = [], 0  # What the blocks before the open one are made of.
    positions = [i for i, operation in enumerate(operations) if operation.name in cuts]
    for position, following in itertools.pairwise(positions):
        made = made_of[position]
        inside = [operations[i] for i in range(position + 1) if made & ~done & 1 << i]
        # What reads it, and not the input alone: a branch beside it begins no block.
        reading = [i for i in range(position + 1, following + 1) if not made & ~made_of[i]]
        behind = [operations[i] for i in reading]
        padding = isinstance(operations[position], keras.layers.ZeroPadding2D)
        if any(map(has_kernel, inside)) and any(map(_begins, behind)) and not padding:
            found.append(operations[position])
            done = made
    found.append(operations[positions[-1]])
    # An input `(batch, numbers)` has no channels.
    first = operations[0] if len(operations[0].output.shape) > 2 else found[0]
    widths = [operation.output.shape[-1] for operation in (first, *found)]
    # The blocks of a model that reads its input in each of them may all be wider than its output.
    return [o.name for i, o in enumerate(found, start=1) if cuts[o.name] or not _is_peak(widths, i)]


def _begins(operation: keras.Operation) -> bool:
    return has_kernel(operation) or isinstance(operation, keras.layers.ZeroPadding2D)


def _is_peak(widths: Sequence[int], position: int) -> bool:
    width = widths[position]
    before = next((other for other in reversed(widths[:position]) if other != width), width)
    after = next((other for other in widths[position + 1 :] if other != width), width)
    return before < width > after


def _resolve_name(model: keras.Model, found: Sequence[Block], name: str) -> Freeze:
    cut = next((block.cut for block in found if block.name == name), name)
    cuts = cut_points(model)
    if cut not in cuts:
        raise ValueError(f"fit.freeze: {name!r} is no cut point {_hint(model, found, name)}")
    done = [block for block in found if cuts.index(block.cut) <= cuts.index(cut)]
    return Freeze(name, done[-1].name if done else None, cut, len(done), len(found))


def _hint(model: keras.Model, found: Sequence[Block], name: str) -> str:
    cuts = cut_points(model)
    names = [operation.name for operation in model.operations]
    text = f"of {model.name}"
    if name in names:
        before = [other for other in names[: names.index(name)] if other in cuts][-1:]
        after = [other for other in names[names.index(name) :] if other in cuts][:1]
        text += f": {why_not(model, names.index(name))}"
        text += "".join(f"; the cut point before it is {other!r}" for other in before)
        text += "".join(f"; the cut point after it is {other!r}" for other in after)
    else:
        choices = [block.name for block in found] + cuts
        near = difflib.get_close_matches(name, choices, n=1)
        text += f"; did you mean {near[0]!r}?" if near else ""
    ends = ", ".join(f"{block.name} ({block.cut})" for block in found)
    return f"{text}; valid: a share in 0..1, a block (or its last layer): {ends}"
