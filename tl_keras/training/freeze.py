"""Freezing at a depth: where a functional model can be cut, and the two halves.

A cut point is an operation after which the whole graph is one tensor. Blocks are the cut points
that are worth freezing at: in MobileNetV2 three quarters of the cut points end inside a block, at
an activation six times the size of the block's output.
"""

import difflib
import functools
import itertools
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from tl_keras.training.fold import fold_batch_norm


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
    """Names of the operations after which the graph is a single tensor, inputs first.

    Inputs are no cut points; the output of a model with one output is the last.

    Raises:
      ValueError: the model calls a layer twice or was itself made by `split`.
    """
    operations = model.operations
    last = _last_consumers(operations)
    inputs = [isinstance(operation, keras.layers.InputLayer) for operation in operations]
    # The last operation that reads anything made so far; inputs are there from the beginning.
    open_until = max(itertools.compress(last, inputs))
    cuts = []
    for position, operation in enumerate(operations):
        single = not isinstance(operation.output, list | tuple | dict)
        if single and not inputs[position] and open_until <= position:
            cuts.append(operation.name)
        open_until = max(open_until, last[position])
    return cuts


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
    operations = model.operations
    cuts = set(cut_points(model))
    members: dict[str, list[int]] = {}
    for position, operation in enumerate(operations):
        match = re.search(pattern, operation.name) if pattern else None
        if match:
            members.setdefault(match.group(1), []).append(position)
    if not members:
        return [Block(name, name) for name in _ends(operations, cuts)]
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

    They share the model's layers: training the suffix trains the model.

    Raises:
      ValueError: `cut` is no cut point, or the model's output, after which nothing is left.
    """
    cuts = cut_points(model)
    if cut not in cuts[:-1]:
        raise ValueError(f"{cut!r} does not cut {model.name} in two")
    tensor = next(o for o in model.operations if o.name == cut).output
    prefix = keras.Model(model.input, tensor, name=f"{model.name}_prefix")
    return prefix, keras.Model(tensor, model.output, name=f"{model.name}_suffix")


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


def _last_consumers(operations: Sequence[keras.Operation]) -> list[int]:
    # Position of the last operation that reads each operation's output; its own if none does.
    producer = {}
    last = list(range(len(operations)))
    for position, operation in enumerate(operations):
        for tensor in keras.tree.flatten(operation.input):
            if id(tensor) not in producer:
                raise ValueError(
                    f"{operation.name!r} reads a tensor of another model or of a layer's second "
                    "call: only a flat model that calls each layer once has cut points"
                )
            last[producer[id(tensor)]] = position
        for tensor in keras.tree.flatten(operation.output):
            producer[id(tensor)] = position
    return last


def has_kernel(operation: keras.Operation) -> bool:
    """Whether it is a layer that mixes channels or places by weights, such as Conv2D or Dense."""
    # Normalisation has vectors; PReLU has a vector of the rank of its input.
    weights = getattr(operation, "weights", ())
    vectors = isinstance(operation, keras.layers.PReLU)
    return not vectors and any(len(weight.shape) > 1 for weight in weights)


def _ends(operations: Sequence[keras.Operation], cuts: Collection[str]) -> list[str]:
    """Cut points that are worth freezing at, of a model whose names say nothing.

    Those before the next layer with a kernel (or its padding), so that normalisation, activation
    and pooling stay with the layer before them. Not where the graph is expanded to be projected
    again: at more channels than both before and after.
    """
    found, start = [], 0  # Where the block that is open begins.
    positions = [i for i, operation in enumerate(operations) if operation.name in cuts]
    for position, following in itertools.pairwise(positions):
        inside, behind = operations[start : position + 1], operations[position + 1 : following + 1]
        padding = isinstance(operations[position], keras.layers.ZeroPadding2D)
        if any(map(has_kernel, inside)) and any(map(_begins, behind)) and not padding:
            found.append(operations[position])
            start = position + 1
    found.append(operations[positions[-1]])
    widths = [operation.output.shape[-1] for operation in (operations[0], *found)]
    return [o.name for i, o in enumerate(found, start=1) if not _is_peak(widths, i)]


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
        text += ": it is an input or inside a branch"
        text += "".join(f"; the cut point before it is {other!r}" for other in before)
        text += "".join(f"; the cut point after it is {other!r}" for other in after)
    else:
        choices = [block.name for block in found] + cuts
        near = difflib.get_close_matches(name, choices, n=1)
        text += f"; did you mean {near[0]!r}?" if near else ""
    ends = ", ".join(f"{block.name} ({block.cut})" for block in found)
    return f"{text}; valid: a share in 0..1, a block (or its last layer): {ends}"
