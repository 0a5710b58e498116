"""Types for converged heads: a task's `head` fits them, and `training.head` chooses one."""

from dataclasses import dataclass
from typing import Any

import numpy as np

Layers = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Head:
    """A converged head.

    Attributes:
      layers: kernel `(inputs, outputs)` and bias `(outputs,)` of each dense layer, `float32`. A
        ReLU follows each layer except the last.
      history: one record for each strength of regularisation, for metrics.jsonl.
      regularisation: the chosen strength, 1/C in scikit-learn.
    """

    layers: Layers
    history: list[dict[str, Any]]
    regularisation: float

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Returns raw outputs `(examples, width)` of features `(examples, channels) float32`."""
        return raw_of(self.layers, features)


@dataclass(frozen=True)
class Earlier:
    """The head of an earlier run whose backbone computed the features.

    Attributes:
      kernel: `(channels, width)`; zero for answers that the earlier run did not have.
      bias: `(width,)`.
      names: names of the answers that the earlier run had; empty if answers have no names.
      examples: number of examples on which the head was trained.
    """

    kernel: np.ndarray
    bias: np.ndarray
    names: tuple[str, ...] = ()
    examples: int = 0


@dataclass(frozen=True)
class Recipe:
    """The settings of a head.

    Attributes:
      balance: `none`, `weights` or `oversample`; the last two weight examples by their class.
      width: units of a hidden layer; None for no hidden layer.
      seed: seed of the hidden layer's initial weights.
      earlier: an earlier head. Regularisation pulls the kernel towards that head's kernel
        instead of towards zero. Ignored with a hidden layer.
      task: the task of the head.
    """

    balance: str = "none"
    width: int | None = None
    seed: int = 0
    earlier: Earlier | None = None
    task: str = "classification"


def raw_of(layers: Layers, x: np.ndarray) -> np.ndarray:
    """Returns the raw outputs of a head's layers on features `x`."""
    for i, (kernel, bias) in enumerate(layers):
        x = (np.maximum(x, 0) if i else x) @ kernel + bias
    return x


def span(features: np.ndarray) -> np.ndarray:
    """Returns an orthonormal basis of the space that the examples span, `(channels, examples)`.

    The basis is the identity if there are at least as many examples as channels. The penalty has
    the same value in each orthonormal basis, and the solution lies in the spanned space, so the
    head can be fitted there: 150 examples of 1280 channels take a tenth of the time.
    """
    if len(features) >= features.shape[1]:
        return np.eye(features.shape[1], dtype=features.dtype)
    return np.linalg.qr(features.T)[0]
