"""What `auto` comes to on a data set: depth, epochs, rates. Resolved once, then handed on."""

import math
from dataclasses import dataclass

import numpy as np

from tl_keras.config.fit import FitConfig


@dataclass(frozen=True)
class Plan:
    """What `auto` came to, and what follows from the size of the data."""

    freeze: float | str
    epochs: int
    learning_rate: float  # the peak
    steps: int  # an epoch
    keep: str  # `average` or `best`; `last` where the epochs were chosen elsewhere
    patience: int  # epochs without a better one, after which a fit that keeps the best ends


def resolved(config: FitConfig, num_train: int, steps: int, pretrained: bool) -> Plan:
    """Resolves `auto` by the number of training examples: a pure function.

    After BiT-HyperRule (arXiv 1912.11370): depth and steps grow with the data, the rate stays.
    Epochs fall with the root of the number: 30 up to 222 examples, 20 for 500, 5 from 8,000 on.
    Without pretrained weights nothing is frozen, the schedule is long, and so is the patience:
    validation may stay at chance for hundreds of steps.
    """
    if pretrained:
        freeze: float | str = 0.5 if num_train < 500 else 0.25 if num_train < 5000 else 0.0
        epochs, learning_rate = np.clip(20 * np.sqrt(500 / num_train), 5, 30), 3e-4
    else:
        freeze, epochs, learning_rate = 0.0, np.clip(3000 / steps, 5, 300), 2e-3
    epochs = round(float(epochs)) if config.epochs == "auto" else config.epochs
    if config.freeze != "auto":
        freeze = config.freeze
    return Plan(
        freeze if epochs else 1.0,  # Without epochs the head alone is trained.
        epochs,
        learning_rate if config.learning_rate == "auto" else config.learning_rate,
        steps,
        ("average" if pretrained else "best") if config.keep == "auto" else config.keep,
        max(10, round(300 / steps)) if config.patience == "auto" else config.patience,
    )


MAX_VIEWS, VIEWED = 8, 400  # views of an example; examples in all


def num_views(num_val: int) -> int:
    """How many augmented views of each validation example the choice of a candidate leans on."""
    return int(np.clip(VIEWED // num_val, 0, MAX_VIEWS))


def rate_of(plan: Plan, warmup: float, step: int) -> float:
    """The learning rate of a step: up to the peak in equal steps, then down to zero by a cosine.

    Args:
      warmup: share of all steps in which it rises.
    """
    total = max(1, plan.epochs * plan.steps)
    rising = max(1, round(warmup * total))
    if step < rising:
        return plan.learning_rate * (step + 1) / (rising + 1)
    done = min(1.0, (step - rising) / max(1, total - rising))
    return plan.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
