"""Where a functional model can be cut in two: the graph alone says so.

What follows a cut reads one tensor and, where it wants, the model's own input: as it is, or through
operations without weights that compute masks, positions and the like from it, and do so anew.
"""

import itertools
from collections.abc import Collection
from dataclasses import dataclass

import keras


@dataclass(frozen=True)
class Graph:
    """A model's graph: an entry for each of its operations, in their order.

    Attributes:
      last: position of the last operation that reads its output; its own if none does.
      alone: whether it computes from the model's one input alone, and has no weights.
      made_of: what it is computed by, bit i for the operation at position i: itself and all that
        it comes from, but none of those that are `alone`.
      entries: bits of the operations that read the input, and nothing that has weights behind it.
    """

    last: tuple[int, ...]
    alone: tuple[bool, ...]
    made_of: tuple[int, ...]
    entries: int


def graph_of(model: keras.Model) -> Graph:
    """The graph of a functional model.

    Raises:
      ValueError: the model calls a layer twice, or holds a tensor of another model.
    """
    operations, several = model.operations, len(model.inputs) > 1
    producer: dict[int, int] = {}  # By the id of a tensor.
    last = list(range(len(operations)))
    alone: list[bool] = []
    made_of: list[int] = []
    entries = 0
    for position, operation in enumerate(operations):
        tensors = keras.tree.flatten(operation.input)
        if any(id(tensor) not in producer for tensor in tensors):
            raise ValueError(
                f"{operation.name!r} reads a tensor of another model or of a layer's second "
                "call: only a flat model that calls each layer once has cut points"
            )
        sources = [producer[id(tensor)] for tensor in tensors]
        # Variables are weights, or the state of something random.
        fixed = not several and not getattr(operation, "variables", ())
        alone.append(fixed and all(alone[source] for source in sources))
        # Several inputs are as one operation that everything comes from: none of them may cross.
        own, below = 0 if alone[-1] else 1 << position | several, 0
        for source in sources:
            last[source] = position
            below |= made_of[source]
        made_of.append(own | below)
        entries |= 0 if below else own
        for tensor in keras.tree.flatten(operation.output):
            producer[id(tensor)] = position
    return Graph(tuple(last), tuple(alone), tuple(made_of), entries)


def cuts_of(model: keras.Model) -> dict[str, bool]:
    """By cut point, inputs first: whether what follows it reads the model's input, too.

    Raises:
      ValueError: see `graph_of`.
    """
    operations, graph, cuts = model.operations, graph_of(model), {}
    inputs = [isinstance(operation, keras.layers.InputLayer) for operation in operations]
    unread = set(itertools.compress(range(len(operations)), inputs))  # There from the beginning.
    before = 0  # What the last cut point is made of.
    for position, operation in enumerate(operations):
        unread = {i for i in unread if graph.last[i] > position}
        free = not inputs[position] and not _crossing(graph, position, unread)
        trunk = not unread or _is_trunk(graph, position, before)
        if free and trunk and _is_whole(operation, position == len(operations) - 1):
            cuts[operation.name] = bool(unread)
            before = graph.made_of[position]
        unread.add(position)
    return cuts


def _is_trunk(graph: Graph, position: int, before: int) -> bool:
    """Whether it comes after the last cut point, and is not in one of several branches that begin
    at the input: they would be frozen one after the other."""
    made = graph.made_of[position]
    inside = made & graph.entries
    single = not inside & (inside - 1)
    return not before & ~made and not (single and graph.entries & ~made)


def _crossing(graph: Graph, position: int, unread: Collection[int]) -> list[int]:
    """Of what is read behind an operation, what keeps it from being a cut point.

    Not what comes from the input alone, nor what has no weights in common with the operation: what
    follows a cut makes both anew.
    """
    made = graph.made_of[position]
    return sorted(i for i in unread if graph.alone[position] or graph.made_of[i] & made)


def _is_whole(operation: keras.Operation, last: bool) -> bool:
    """Whether its output is one tensor, and no mask of Keras's goes along unseen."""
    single = not isinstance(operation.output, list | tuple | dict)
    return single and (last or not _has_mask(operation))


def _has_mask(operation: keras.Operation) -> bool:
    """Whether Keras hands a mask on with its output, as from `mask_zero` or Masking."""
    return getattr(operation.output, "_keras_mask", None) is not None


def why_not(model: keras.Model, position: int) -> str:
    """Why the operation at a position is no cut point."""
    operations, graph = model.operations, graph_of(model)
    operation = operations[position]
    if isinstance(operation, keras.layers.InputLayer):
        return "it is an input"
    if isinstance(operation.output, list | tuple | dict):
        return "it gives several tensors"
    if _has_mask(operation):
        return (
            "a Keras mask goes on behind it unseen (mask_zero, Masking), which a cut would lose; "
            "build the model with a mask that keras.ops compute from its input instead"
        )
    if graph.alone[position]:
        return "it computes from the input alone and has no weights to freeze"
    unread = [
        i
        for i, other in enumerate(operations)
        if graph.last[i] > position and (i < position or isinstance(other, keras.layers.InputLayer))
    ]
    crossing = [operations[i].name for i in _crossing(graph, position, unread)]
    if not crossing:
        return "it is inside a branch that begins at the input"
    return (
        f"what follows also reads {crossing[-1]!r}, which does not come from the model's input "
        "alone or has weights: it is inside a branch"
    )
