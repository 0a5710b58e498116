"""Freezes a functional model at a depth: cuts it into a frozen prefix and a trainable suffix.

A cut point is an operation whose output is the only tensor that the rest of the graph needs. The
rest may read the model's input as well, and compute masks, positions and the like from it again.

A share of the model is frozen in whole blocks, because the cut points at the ends of blocks are the
useful ones. In MobileNetV2, three quarters of the cut points lie inside a block, where the
activations are six times as large as at the block's end.
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
    """The name of a block of layers, and the cut point at its end."""

    name: str
    cut: str


@dataclass(frozen=True)
class Freeze:
    """A freeze depth, resolved to a cut between frozen and trained operations of a model.

    Attributes:
      share: the depth as requested: a share of the blocks, 0..1, or the name of the last block or
        operation to freeze.
      block: name of the last block that is frozen completely; None if there is none.
      cut: name of the last frozen operation; None if nothing is frozen.
      index: number of blocks that are frozen completely.
      count: number of blocks of the model.
    """

    share: float | str
    block: str | None
    cut: str | None
    index: int
    count: int


def cut_points(model: keras.Model) -> list[str]:
    """Returns the names of the operations after which a model can be cut, from input to output.

    The layers after a cut point read its output. In a model with one input they may also read the
    input, directly or through operations that have no weights and depend on the input alone. Each
    cut point depends on the one before it. Inputs are not cut points. In a model with one output,
    the output is the last cut point.

    Raises:
      ValueError: the model calls a layer twice, or is a part that `split` returned.
    """
    return list(cuts_of(model))


def reads_input(model: keras.Model, cut: str) -> bool:
    """Returns True if the part of the model after a cut point also reads the model's input."""
    return cuts_of(model)[cut]


def blocks(model: keras.Model, pattern: str | None) -> list[Block]:
    """Returns the model's blocks from input to output; every block ends at a cut point.

    The group of `pattern` extracts the name of the block from the name of each operation. A block
    ends at the last cut point among its operations. If a block contains no cut point, because the
    addition at its end has another name, it ends at the first cut point before the next block. If
    there is no such cut point, it becomes part of the next block. Operations before the first block
    belong to the first block.

    Without a pattern, or if no name matches, the ends of blocks are derived from the graph, see
    `_ends`.

    Args:
      model: a functional model.
      pattern: a regular expression with one group, see `table.block_pattern`.
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
    for (name, positions), start in zip(members.items(), starts, strict=True):
        inside = [operations[i].name for i in positions if operations[i].name in cuts]
        after = [o.name for o in operations[positions[-1] + 1 : start] if o.name in cuts]
        if inside or after:
            result.append(Block(name, inside[-1] if inside else after[0]))
    return result


def resolve(model: keras.Model, pattern: str | None, freeze: float | str) -> Freeze:
    """Returns up to which operation of a model a given freeze depth freezes it.

    Args:
      model: a backbone: a functional model with one output.
      pattern: a regular expression for the names of its blocks, see `blocks`.
      freeze: the share of the blocks to freeze, 0..1, rounded to whole blocks, where 1 freezes
        everything up to the model's output; or the name of a block or of a cut point, see
        `cut_points`.

    Raises:
      ValueError: the share is outside 0..1, or the name is neither a block nor a cut point.
    """
    all_blocks = blocks(model, pattern)
    if isinstance(freeze, str):
        return _resolve_name(model, all_blocks, freeze)
    if not 0 <= freeze <= 1:
        raise ValueError(
            f"fit.freeze: expected a number in 0..1 or a layer's name; received {freeze!r}"
        )
    index = round(freeze * len(all_blocks))
    cut = all_blocks[index - 1].cut if index else None
    if index == len(all_blocks):
        cut = cut_points(model)[-1]  # Includes pooling and the like after the last block.
    block = all_blocks[index - 1].name if index else None
    return Freeze(freeze, block, cut, index, len(all_blocks))


def split(model: keras.Model, cut: str) -> tuple[keras.Model, keras.Model]:
    """Returns prefix and suffix of the model, which together compute exactly what the model does.

    The prefix is the part up to `cut` and takes the model's input. The suffix, the part after it,
    takes the prefix's output or, if it also reads the model's input, a list of both (see
    `suffix_inputs`). Both share the model's layers, so training the suffix trains the model.

    Raises:
      ValueError: `cut` is not a cut point, or is the model's output, after which no layer is left.
    """
    cuts = cuts_of(model)
    if cut not in [*cuts][:-1]:
        raise ValueError(
            f"{cut!r} does not cut {model.name} in two; expected a cut point before the model's "
            "output"
        )
    tensor = next(o for o in model.operations if o.name == cut).output
    prefix = keras.Model(model.input, tensor, name=f"{model.name}_prefix")
    start, end = tensor, model.output
    if cuts[cut]:
        twin, tensors = _called_again(model)
        start, end = [tensors[cut], twin.input], twin.output
    return prefix, keras.Model(start, end, name=f"{model.name}_suffix")


def suffix_inputs(suffix: keras.Model, activations: Any, inputs: Any) -> Any:
    """Returns what a suffix takes: `activations`, or [activations, inputs] if it has two inputs.

    `inputs` are the model's own inputs, see `split`.
    """
    return [activations, inputs] if len(suffix.inputs) > 1 else activations


def _called_again(model: keras.Model) -> tuple[keras.Model, dict[str, Any]]:
    """Builds a second model from the same layers with a new input.

    Returns the second model, and its tensors by name of the operation. The new input is necessary:
    once a model's input is one of two inputs of another model, Keras can no longer save the first
    model ("could not find node key").
    """
    tensors = {}

    def call(operation: keras.Operation, *args: Any, **kwargs: Any) -> Any:
        tensors[operation.name] = operation(*args, **kwargs)
        return tensors[operation.name]

    twin = keras.models.clone_model(model, clone_function=lambda x: x, call_function=call)
    return twin, tensors


def freeze_batch_norm(model: keras.Model) -> None:
    """Sets `trainable = False` on each BatchNormalization, which keeps it in inference mode.

    Calling the model with `training=False` is not enough, because Functional models pass
    `training=True` on to their layers (https://github.com/keras-team/keras/issues/20285). Compile
    the model afterwards.
    """
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
        elif isinstance(layer, keras.Model):
            freeze_batch_norm(layer)


class FrozenPrefix(keras.layers.Layer):
    """A layer that runs a prefix in inference mode, whatever `training` is, and stops gradients.

    It is the first layer of a network that takes examples instead of stored activations. The layer
    owns no weights, so neither checkpoints nor optimisers see the prefix. Activations are rounded
    to `dtype`, the dtype that stored activations would have.
    """

    def __init__(self, prefix: keras.Model, dtype: str = "float32"):
        super().__init__(autocast=False, trainable=False)
        # Keras tracks a model that is an attribute, but not one inside a `partial`.
        self._run = functools.partial(fold_batch_norm(prefix), training=False)
        self._rounded_to = dtype

    def call(self, inputs: Any) -> Any:
        activations = self._run(inputs)
        rounded = keras.ops.cast(keras.ops.cast(activations, self._rounded_to), activations.dtype)
        return keras.ops.stop_gradient(rounded)


def has_kernel(operation: keras.Operation) -> bool:
    """Returns True if a layer mixes channels or positions by weights, as Conv2D and Dense do."""
    # The weights of normalisation are vectors. PReLU's weights have the rank of its input.
    weights = getattr(operation, "weights", ())
    vectors = isinstance(operation, keras.layers.PReLU)
    return not vectors and any(len(weight.shape) > 1 for weight in weights)


def _ends(model: keras.Model, cuts: Mapping[str, bool]) -> list[str]:
    """Returns the cut points at which blocks end, for a model without named blocks.

    A block ends right before the next layer with a kernel, or before the padding of that layer.
    Normalisation, activation and pooling thus stay with the layer before them. A block does not end
    where activations are expanded: where they have more channels than at the ends of the blocks
    before and after.

    Args:
      cuts: {cut point: True if the suffix after it also reads the model's input}.
    """
    operations, ancestors = model.operations, graph_of(model).ancestors
    ends, done = [], 0  # `done`: the ancestors of the last end.
    positions = [i for i, operation in enumerate(operations) if operation.name in cuts]
    for position, following in itertools.pairwise(positions):
        cut_ancestors = ancestors[position]
        inside = [operations[i] for i in range(position + 1) if cut_ancestors & ~done & 1 << i]
        # Only operations that depend on the cut point; a branch from the input begins no block.
        dependent = [
            i for i in range(position + 1, following + 1) if not cut_ancestors & ~ancestors[i]
        ]
        after = [operations[i] for i in dependent]
        padding = isinstance(operations[position], keras.layers.ZeroPadding2D)
        if any(map(has_kernel, inside)) and any(map(_begins, after)) and not padding:
            ends.append(operations[position])
            done = cut_ancestors
    ends.append(operations[positions[-1]])
    # An input `(batch, numbers)` has no channels.
    first = operations[0] if len(operations[0].output.shape) > 2 else ends[0]
    widths = [operation.output.shape[-1] for operation in (first, *ends)]
    # If each block reads the model's input, all blocks may be wider than the model's output.
    return [o.name for i, o in enumerate(ends, start=1) if cuts[o.name] or not _is_peak(widths, i)]


def _begins(operation: keras.Operation) -> bool:
    return has_kernel(operation) or isinstance(operation, keras.layers.ZeroPadding2D)


def _is_peak(widths: Sequence[int], position: int) -> bool:
    width = widths[position]
    before = next((other for other in reversed(widths[:position]) if other != width), width)
    after = next((other for other in widths[position + 1 :] if other != width), width)
    return before < width > after


def _resolve_name(model: keras.Model, all_blocks: Sequence[Block], name: str) -> Freeze:
    cut = next((block.cut for block in all_blocks if block.name == name), name)
    cuts = cut_points(model)
    if cut not in cuts:
        hint = _hint(model, all_blocks, name)
        raise ValueError(f"fit.freeze: {name!r} is not a cut point {hint}")
    frozen = [block for block in all_blocks if cuts.index(block.cut) <= cuts.index(cut)]
    return Freeze(name, frozen[-1].name if frozen else None, cut, len(frozen), len(all_blocks))


def _hint(model: keras.Model, all_blocks: Sequence[Block], name: str) -> str:
    cuts = cut_points(model)
    names = [operation.name for operation in model.operations]
    text = f"of {model.name} (a layer up to which the model can be frozen)"
    if name in names:
        before = [other for other in names[: names.index(name)] if other in cuts][-1:]
        after = [other for other in names[names.index(name) :] if other in cuts][:1]
        text += f": {why_not(model, names.index(name))}"
        text += "".join(f"; the cut point before it is {other!r}" for other in before)
        text += "".join(f"; the cut point after it is {other!r}" for other in after)
    else:
        choices = [block.name for block in all_blocks] + cuts
        near = difflib.get_close_matches(name, choices, n=1)
        text += f"; did you mean {near[0]!r}?" if near else ""
    ends = ", ".join(f"{block.name} ({block.cut})" for block in all_blocks)
    return (
        f"{text}; expected a share in 0..1, or the name of a block or of its last layer; the "
        f"blocks, with their last layers in brackets, are {ends}"
    )
