"""Finds the operations after which a functional Keras model can be cut in two, from its graph.

The part after a cut is called the suffix. A suffix may read the activations at the cut and the
model's own input. Operations without weights that compute masks, positions and the like from the
input are repeated in the suffix.
"""

import itertools
from collections.abc import Collection
from dataclasses import dataclass

import keras


@dataclass(frozen=True)
class Graph:
    """The graph of a model: how its operations depend on each other.

    Each tuple has one value per operation, in the order of `model.operations`. In bit sets, bit i
    stands for the operation at position i.

    Attributes:
      last_reader: position of the last operation that reads this operation's output; this
        operation's position if none does.
      input_only: True if the operation depends on nothing but the model's single input, without any
        weights in between.
      ancestors: bit set of this operation and all operations on which it depends. Operations that
        are `input_only` are left out.
      entrances: bit set, one for the whole graph, of the operations that are not `input_only`, but
        read nothing except the input and `input_only` operations.
    """

    last_reader: tuple[int, ...]
    input_only: tuple[bool, ...]
    ancestors: tuple[int, ...]
    entrances: int


def graph_of(model: keras.Model) -> Graph:
    """Returns the graph of a functional model.

    Raises:
      ValueError: the model calls a layer twice, or contains a tensor of another model.
    """
    operations, several_inputs = model.operations, len(model.inputs) > 1
    producer: dict[int, int] = {}  # Position of the operation that returns a tensor, by its id.
    last_reader = list(range(len(operations)))
    input_only: list[bool] = []
    ancestors: list[int] = []
    entrances = 0
    for position, operation in enumerate(operations):
        tensors = keras.tree.flatten(operation.input)
        if any(id(tensor) not in producer for tensor in tensors):
            raise ValueError(
                f"{operation.name!r} reads a tensor of another model, or of a layer's second "
                "call; expected a flat model that calls each layer once: only such a model has cut "
                "points"
            )
        sources = [producer[id(tensor)] for tensor in tensors]
        # Variables are weights, or the state of a random operation.
        repeatable = not several_inputs and not getattr(operation, "variables", ())
        input_only.append(repeatable and all(input_only[source] for source in sources))
        # With several inputs, bit 0 makes everything depend on one operation: no input may cross.
        own_bits, below = 0 if input_only[-1] else 1 << position | several_inputs, 0
        for source in sources:
            last_reader[source] = position
            below |= ancestors[source]
        ancestors.append(own_bits | below)
        entrances |= 0 if below else own_bits
        for tensor in keras.tree.flatten(operation.output):
            producer[id(tensor)] = position
    return Graph(tuple(last_reader), tuple(input_only), tuple(ancestors), entrances)


def cuts_of(model: keras.Model) -> dict[str, bool]:
    """Returns {cut point: whether the suffix after it also reads the model's input}.

    The cut points are in order from input to output.

    Raises:
      ValueError: the model calls a layer twice, or contains a tensor of another model.
    """
    operations, graph, cuts = model.operations, graph_of(model), {}
    inputs = [isinstance(operation, keras.layers.InputLayer) for operation in operations]
    # Positions whose output a later operation still reads. Inputs exist from the start.
    open_positions = set(itertools.compress(range(len(operations)), inputs))
    last_cut = 0  # Ancestors of the last cut point.
    for position, operation in enumerate(operations):
        open_positions = {i for i in open_positions if graph.last_reader[i] > position}
        free = not inputs[position] and not _crossing(graph, position, open_positions)
        trunk = not open_positions or _is_trunk(graph, position, last_cut)
        if free and trunk and _is_whole(operation, position == len(operations) - 1):
            cuts[operation.name] = bool(open_positions)
            last_cut = graph.ancestors[position]
        open_positions.add(position)
    return cuts


def _is_trunk(graph: Graph, position: int, last_cut: int) -> bool:
    """Returns True if an operation depends on the last cut point and is outside of all branches.

    If several branches begin at the input, cuts inside of them would freeze one branch after the
    other, instead of freezing from the input on.

    Args:
      position: position of the operation.
      last_cut: bit set of the ancestors of the last cut point.
    """
    ancestors = graph.ancestors[position]
    inside = ancestors & graph.entrances
    single = not inside & (inside - 1)
    return not last_cut & ~ancestors and not (single and graph.entrances & ~ancestors)


def _crossing(graph: Graph, position: int, open_positions: Collection[int]) -> list[int]:
    """Returns the positions of the operations that prevent a cut after the one at `position`.

    If the operation at `position` is `input_only` (see `Graph`), all operations in `open_positions`
    prevent the cut. Otherwise, only those prevent it that the suffix cannot run again. The suffix
    can run an operation again if it is `input_only` or shares no ancestors with the operation at
    `position`.

    Args:
      open_positions: positions of operations, inputs included, whose outputs are read by operations
        after `position`.
    """
    ancestors = graph.ancestors[position]
    return sorted(
        i for i in open_positions if graph.input_only[position] or graph.ancestors[i] & ancestors
    )


def _is_whole(operation: keras.Operation, last: bool) -> bool:
    """Returns True if an operation's output is a single tensor without a hidden Keras mask."""
    single = not isinstance(operation.output, list | tuple | dict)
    return single and (last or not _has_mask(operation))


def _has_mask(operation: keras.Operation) -> bool:
    """Returns True if Keras attaches a hidden mask to an operation's output.

    `Embedding(mask_zero=True)` and `Masking` make such masks.
    """
    return getattr(operation.output, "_keras_mask", None) is not None


def why_not(model: keras.Model, position: int) -> str:
    """Returns the reason why a model cannot be cut after the operation at a position."""
    operations, graph = model.operations, graph_of(model)
    operation = operations[position]
    if isinstance(operation, keras.layers.InputLayer):
        return "it is an input"
    if isinstance(operation.output, list | tuple | dict):
        return "it returns several tensors"
    if _has_mask(operation):
        return (
            "its output carries a hidden Keras mask (mask_zero, Masking), which a cut would lose; "
            "build the model so that keras.ops compute the mask from the model's input instead"
        )
    if graph.input_only[position]:
        return "it computes from the input alone and has no weights to freeze"
    open_positions = [
        i
        for i, other in enumerate(operations)
        if graph.last_reader[i] > position
        and (i < position or isinstance(other, keras.layers.InputLayer))
    ]
    crossing = [operations[i].name for i in _crossing(graph, position, open_positions)]
    if not crossing:
        return "it is inside a branch that begins at the input"
    return (
        f"it is inside a branch: layers after it also read {crossing[-1]!r}, which has weights or "
        "depends on more than the model's input"
    )
