"""Types for heads that are fitted on stored features until they converge.

The part `head` of a task fits one head for each of several strengths of regularisation, and
`training.head` chooses one of these heads.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

Layers = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Head:
    """A head that was fitted until it converged, with a chosen strength of regularisation.

    Attributes:
      layers: kernel `(inputs, outputs)` and bias `(outputs,)` of each dense layer, `float32`. A
        ReLU follows each layer except the last.
      history: one record for each strength of regularisation that was tried, for metrics.jsonl.
      regularisation: the chosen strength, 1/C in scikit-learn.
    """

    layers: Layers
    history: list[dict[str, Any]]
    regularisation: float

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Returns the head's raw outputs `(examples, columns)`, such as the logits of each class.

        Args:
          features: `(examples, channels) float32`.
        """
        return raw_of(self.layers, features)


@dataclass(frozen=True)
class Earlier:
    """The head of an earlier run, with columns for the answers (such as classes) of this run.

    The backbone of the earlier run also computes the features of this run.

    Attributes:
      kernel: `(channels, columns)`, one column per answer (such as a class) of this run; zero for
        answers that the earlier run did not have.
      bias: `(columns,)`; zero for answers that the earlier run did not have.
      names: names of the answers that both runs have; empty if answers have no names.
      examples: number of examples on which the head was trained.
    """

    kernel: np.ndarray
    bias: np.ndarray
    names: tuple[str, ...] = ()
    examples: int = 0


@dataclass(frozen=True)
class Recipe:
    """The settings with which a head is fitted.

    Attributes:
      balance: the value of `data.balance`. If it is `weights` or `oversample`, rare classes weigh
        more in the loss; if it is `none`, all examples weigh the same.
      width: units of a hidden layer; None for no hidden layer.
      seed: seed of the hidden layer's initial weights.
      earlier: the head of an earlier run. Regularisation pulls the kernel towards that head's
        kernel instead of towards zero. Ignored with a hidden layer.
      task: the task, such as `classification`.
    """

    balance: str = "none"
    width: int | None = None
    seed: int = 0
    earlier: Earlier | None = None
    task: str = "classification"


def raw_of(layers: Layers, x: np.ndarray) -> np.ndarray:
    """Returns the raw outputs, such as logits, of a head with these layers on features `x`."""
    for i, (kernel, bias) in enumerate(layers):
        x = (np.maximum(x, 0) if i else x) @ kernel + bias
    return x


def span(features: np.ndarray) -> np.ndarray:
    """Returns an orthonormal basis of the subspace that the examples span, `(channels, examples)`.

    The basis is the identity if there are at least as many examples as channels. A head can be
    fitted in coordinates of this basis: its L2 penalty is the same in each orthonormal basis, and
    the optimal kernel lies in the subspace. For 150 examples of 1280 channels, fitting in these
    coordinates takes a tenth of the time that it takes in the 1280 channels.
    """
    if len(features) >= features.shape[1]:
        return np.eye(features.shape[1], dtype=features.dtype)
    return np.linalg.qr(features.T)[0]
