"""A converged head, as every task's `head` makes it and `training.head` chooses it."""

from dataclasses import dataclass
from typing import Any

import numpy as np

Layers = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Head:
    """A converged head.

    Attributes:
      layers: kernel `(inputs, outputs)` and bias `(outputs,)` of each dense layer, `float32`;
        between two of them a ReLU.
      history: one record for each strength of regularisation, as metrics.jsonl takes it.
      regularisation: the strength that was chosen, scikit-learn's 1/C.
    """

    layers: Layers
    history: list[dict[str, Any]]
    regularisation: float

    def logits(self, features: np.ndarray) -> np.ndarray:
        """`(examples, width) float32` raw outputs of `(examples, channels) float32`."""
        return raw_of(self.layers, features)


@dataclass(frozen=True)
class Earlier:
    """The head of an earlier run, whose backbone the features are of.

    Attributes:
      kernel: `(channels, width)`; zero for answers that it does not know.
      bias: `(width,)`.
      names: of the answers that it knows, where they have names.
      examples: how many it was trained on.
    """

    kernel: np.ndarray
    bias: np.ndarray
    names: tuple[str, ...] = ()
    examples: int = 0


@dataclass(frozen=True)
class Recipe:
    """What decides a head beside its examples.

    Attributes:
      balance: `none`; `weights` and `oversample` both weigh examples by their class.
      width: units of a hidden layer, if there is to be one.
      seed: of the hidden layer's first weights.
      earlier: from which the kernel is kept near, instead of zero; not with a hidden layer.
      task: whose head it is.
    """

    balance: str = "none"
    width: int | None = None
    seed: int = 0
    earlier: Earlier | None = None
    task: str = "classification"


def raw_of(layers: Layers, x: np.ndarray) -> np.ndarray:
    """Raw outputs of a head's layers."""
    for i, (kernel, bias) in enumerate(layers):
        x = (np.maximum(x, 0) if i else x) @ kernel + bias
    return x


def span(features: np.ndarray) -> np.ndarray:
    """`(channels, examples)` orthonormal basis of the examples, where those are fewer.

    The penalty is the same in each basis, and the solution lies in what the examples span: 150
    examples of 1280 channels are fitted in a tenth of the time.
    """
    if len(features) >= features.shape[1]:
        return np.eye(features.shape[1], dtype=features.dtype)
    return np.linalg.qr(features.T)[0]
