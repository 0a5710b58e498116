"""The head on kept features: the task fits it, validation chooses how strongly regularised."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from tl_keras import tasks
from tl_keras.run.files import replacing
from tl_keras.run.progress import progress
from tl_keras.tasks.heads import Earlier, Head, Layers, Recipe, raw_of

__all__ = ["STRENGTHS", "WORSE", "Earlier", "Head", "Recipe", "fit_head", "refit_head"]

STRENGTHS = tuple(10.0**power for power in np.arange(-4, 2.5, 0.5))  # scikit-learn's C
WORSE = 2  # Strengths in a row that are worse on validation than the best: the rest are too.


def fit_head(features: Sequence[np.ndarray], labels: Sequence[np.ndarray], recipe: Recipe) -> Head:
    """A head on pooled features, of the strength with the least validation loss; near an earlier
    head of more examples the strongest that is not clearly worse.

    Args:
      features: train and val, `(examples, channels) float32`.
      labels: targets of train and val, `(examples,)`; of classes train has every one.
    """
    mean, deviation = _moments(features[0])
    train, val = ((split - mean) / deviation for split in features)
    strengths = STRENGTHS[::2] if recipe.width else STRENGTHS  # Fewer: each takes a second.
    how = _of_standardised(recipe, mean, deviation)
    fits = tasks.of(recipe.task, "head").fits(train, labels[0], how, strengths)
    # A few dozen validation examples may call any kernel better by luck than one of more examples
    # than there are now.
    known = recipe.earlier.examples if recipe.earlier else 0
    least = tasks.of(recipe.task, "choice").MARGIN if known > len(train) else 0.0
    with _threads(train, labels[0], recipe.task):
        best, history, chosen = _best(fits, val, labels[1], least, recipe.task)
    return Head(_of_features(best, mean, deviation), history, chosen)


def refit_head(
    features: np.ndarray, labels: np.ndarray, recipe: Recipe, regularisation: float
) -> Head:
    """The head of a strength of regularisation that was chosen elsewhere, as by folds.

    Args as of `fit_head`, without val.
    """
    mean, deviation = _moments(features)
    train = (features - mean) / deviation
    recipe = _of_standardised(recipe, mean, deviation)
    with _threads(train, labels, recipe.task):
        head = tasks.of(recipe.task, "head")
        _, layers = next(head.fits(train, labels, recipe, (1 / regularisation,)))
    return Head(_of_features(layers, mean, deviation), [], regularisation)


def _moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return features.mean(0), features.std(0) + 1e-3


def _threads(x: np.ndarray, labels: np.ndarray, task: str) -> threadpool_limits:
    """Of small products threads take most of their time to find each other."""
    units = tasks.of(task, "head").units(labels)
    return threadpool_limits(1 if x.size * units < SMALL else None)


def _of_standardised(recipe: Recipe, mean: np.ndarray, deviation: np.ndarray) -> Recipe:
    """The same, with an earlier head that takes standardised features."""
    earlier = recipe.earlier
    if earlier is None:
        return recipe
    kernel, bias = earlier.kernel * deviation[:, None], earlier.bias + mean @ earlier.kernel
    return replace(recipe, earlier=replace(earlier, kernel=kernel, bias=bias))


def _of_features(layers: Layers, mean: np.ndarray, deviation: np.ndarray) -> Layers:
    """Layers that take features as they are, from those that take standardised ones."""
    (kernel, bias), *others = layers
    kernel = kernel / deviation[:, None]
    layers = [(kernel, bias - mean @ kernel), *others]
    return [(kernel.astype(np.float32), bias.astype(np.float32)) for kernel, bias in layers]


SMALL = 1e9  # Multiplications of a pass over the examples, below which one thread is faster.


def _best(
    fits: Iterator[tuple[float, Layers]],
    x: np.ndarray,
    labels: np.ndarray,
    margin: float,
    task: str,
) -> tuple[Layers, list[dict[str, Any]], float]:
    """The layers with the least validation loss, a record of all that were tried, and the
    regularisation that was chosen.

    Args:
      margin: by which the losses of all examples together must be less for less regularisation.
    """
    losses_of = tasks.of(task, "losses")
    tried, history, started = [], [], time.monotonic()
    for i, (strength, layers) in enumerate(progress(fits, "head", unit=" fits")):
        record = {
            "stage": "head",
            "epoch": i,
            "seconds": round(time.monotonic() - started, 3),
            "regularisation": float(1 / strength),
            **losses_of.validated(raw_of(layers, x), labels),
        }
        tried.append(layers)
        history.append(record)
        losses = [earlier["val_loss"] for earlier in history]
        if i - losses.index(min(losses)) >= WORSE:  # The weakest take the longest.
            break
    bound = min(losses) + margin / len(labels)
    chosen = next(i for i, loss in enumerate(losses) if loss <= bound)
    return tried[chosen], history, history[chosen]["regularisation"]


def save(file: Path, head: Head) -> None:
    """Writes a head for a job that starts from it."""
    told = json.dumps({"history": head.history, "regularisation": head.regularisation})
    flat = [array for layer in head.layers for array in layer]
    with replacing(file) as temporary, temporary.open("wb") as stream:
        np.savez(stream, *flat, told=np.array(told))


def load(file: Path) -> Head | None:
    """What `save` wrote, to the bit; None if there is no such file."""
    if not file.is_file():
        return None
    with np.load(file, allow_pickle=False) as stored:
        told = json.loads(str(stored["told"]))
        flat = [stored[f"arr_{i}"] for i in range(len(stored.files) - 1)]
    layers = list(zip(flat[::2], flat[1::2], strict=True))
    return Head(layers, told["history"], told["regularisation"])
