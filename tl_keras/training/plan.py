"""Computes the values of `auto` fields of the config, such as freeze depth and number of epochs.

The values depend on the size of the data set. Each is computed once and passed on in a `Plan`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from tl_keras.config.fit import FitConfig

# Regularisation of a strongly regularised head, as scikit-learn's 1/C for the mean loss. Its
# outputs are almost 0.
STRONG = 1000.0


@dataclass(frozen=True)
class Plan:
    """The training settings of a run, without `auto`.

    Attributes:
      freeze: share of the backbone's blocks to freeze, 0..1, or the name of the last block or layer
        to freeze.
      epochs: number of fine-tuning epochs.
      learning_rate: peak learning rate.
      steps: steps per epoch.
      keep: the weights that the model gets: the `average` over the last half of the epochs, those
        of the `best` epoch, or of the `last` one, if cross-validation already chose the number of
        epochs.
      patience: with `keep="best"`, training stops after this many epochs without improvement.
      start: the head from which fine-tuning starts, `converged` or `regularised`.
      margin: how much lower the summed validation loss of a fine-tuned candidate must be than that
        of the head-only one; None for the margin of the task.
      strength: the least regularisation of a `regularised` head from which fine-tuning starts.
    """

    freeze: float | str
    epochs: int
    learning_rate: float
    steps: int
    keep: str
    patience: int
    start: str = "converged"
    margin: float | None = None
    strength: float = STRONG


def resolved(
    config: FitConfig,
    num_train: int,
    steps: int,
    pretrained: bool,
    of_backbone: Mapping[str, Any] = MappingProxyType({}),
) -> Plan:
    """Returns the training settings for `num_train` training examples; a pure function.

    The rule follows BiT-HyperRule (arXiv 1912.11370): larger data sets train more layers for more
    steps, at the same learning rate. The number of epochs falls with the square root of
    `num_train`: 30 for up to 222 examples, 20 for 500, 5 from 8,000 on.

    Without pretrained weights nothing is frozen, and both schedule and patience are long, because
    validation may stay at chance level for hundreds of steps.

    Args:
      num_train: number of training examples.
      steps: steps per epoch.
      pretrained: True if the backbone has pretrained weights.
      of_backbone: values for `auto` that the backbone has instead of this rule, if pretrained.
    """
    keep = "average" if pretrained else "best"
    start, margin = of_backbone.get("start", "converged"), of_backbone.get("margin")
    if pretrained:
        freeze: float | str = 0.5 if num_train < 500 else 0.25 if num_train < 5000 else 0.0
        epochs, learning_rate = np.clip(20 * np.sqrt(500 / num_train), 5, 30), 3e-4
    else:
        freeze, epochs, learning_rate = 0.0, np.clip(3000 / steps, 5, 300), 2e-3
    if pretrained:
        freeze = of_backbone.get("freeze", freeze)
        epochs = of_backbone.get("epochs", epochs)
        learning_rate = of_backbone.get("learning_rate", learning_rate)
    epochs = round(float(epochs)) if config.epochs == "auto" else config.epochs
    if config.freeze != "auto":
        freeze = config.freeze
    return Plan(
        freeze if epochs else 1.0,  # With 0 epochs only the head is trained.
        epochs,
        learning_rate if config.learning_rate == "auto" else config.learning_rate,
        steps,
        keep if config.keep == "auto" else config.keep,
        max(10, round(300 / steps)) if config.patience == "auto" else config.patience,
        start if config.start == "auto" else config.start,
        margin if config.margin == "auto" else config.margin,
        of_backbone.get("strength", STRONG) if pretrained else STRONG,
    )


MAX_VIEWS = 8  # augmented views per validation example
MAX_VIEWED = 400  # augmented views of all validation examples together


def num_views(num_val: int) -> int:
    """Returns how many augmented views each validation example gets when candidates are compared.

    The number is in 0..8.

    Args:
      num_val: number of validation examples; the more there are, the fewer views are needed.
    """
    return int(np.clip(MAX_VIEWED // num_val, 0, MAX_VIEWS))


def rate_of(plan: Plan, warmup: float, step: int) -> float:
    """Returns the learning rate of a step: linear warm-up to the peak, then cosine decay to zero.

    Args:
      warmup: length of the warm-up as a share of all steps, 0..1.
      step: number of the step, counted from 0 over all epochs.
    """
    total = max(1, plan.epochs * plan.steps)
    warmup_steps = max(1, round(warmup * total))
    if step < warmup_steps:
        return plan.learning_rate * (step + 1) / (warmup_steps + 1)
    progress = min(1.0, (step - warmup_steps) / max(1, total - warmup_steps))
    return plan.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
