"""Fits the head on stored features; the validation set chooses the strength of regularisation."""

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
WORSE = 2  # Stop after this many strengths in a row that validate worse than the best one.


def fit_head(features: Sequence[np.ndarray], labels: Sequence[np.ndarray], recipe: Recipe) -> Head:
    """Fits heads on pooled features; returns the one with the lowest validation loss.

    The heads differ in the strength of regularisation. The choice has one exception: if the head of
    an earlier run (`recipe.earlier`) was trained on more examples than train has, that head
    deserves trust. In this case, of all heads whose validation loss is not clearly higher than the
    lowest, the one with the strongest regularisation is returned: regularisation pulls the
    weights towards those of the earlier head.

    Args:
      features: features of train and val, `(examples, channels) float32` each.
      labels: targets of train and val, `(examples,)` each. For classification, train contains
        every class.
      recipe: the settings of the head.
    """
    mean, deviation = _moments(features[0])
    train, val = ((split - mean) / deviation for split in features)
    # A hidden layer takes about a second per fit, so fewer strengths are tried.
    strengths = STRENGTHS[::2] if recipe.width else STRENGTHS
    how = _of_standardised(recipe, mean, deviation)
    fits = tasks.of(recipe.task, "head").fits(train, labels[0], how, strengths)
    # An earlier head from more examples deserves trust: on a few dozen validation examples another
    # kernel may look better by luck.
    earlier_examples = recipe.earlier.examples if recipe.earlier else 0
    margin = tasks.of(recipe.task, "choice").MARGIN if earlier_examples > len(train) else 0.0
    with _threads(train, labels[0], recipe.task):
        best, history, chosen = _best(fits, val, labels[1], margin, recipe.task)
    return Head(_of_features(best, mean, deviation), history, chosen)


def refit_head(
    features: np.ndarray, labels: np.ndarray, recipe: Recipe, regularisation: float
) -> Head:
    """Fits a head with a given strength of regularisation, such as one chosen by cross-validation.

    Args:
      features: features of train, `(examples, channels) float32`.
      labels: targets of train, `(examples,)`. For classification, every class is present.
      regularisation: strength of regularisation, scikit-learn's 1/C.
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
    """Limits BLAS to one thread for small products, where more threads cost more than they save."""
    units = tasks.of(task, "head").units(labels)
    return threadpool_limits(1 if x.size * units < SMALL else None)


def _of_standardised(recipe: Recipe, mean: np.ndarray, deviation: np.ndarray) -> Recipe:
    """Returns the recipe with its earlier head rescaled, to give the same outputs as before.

    The earlier head takes raw features; the returned one takes standardised features.
    """
    earlier = recipe.earlier
    if earlier is None:
        return recipe
    kernel, bias = earlier.kernel * deviation[:, None], earlier.bias + mean @ earlier.kernel
    return replace(recipe, earlier=replace(earlier, kernel=kernel, bias=bias))


def _of_features(layers: Layers, mean: np.ndarray, deviation: np.ndarray) -> Layers:
    """Rescales the layers of a head, so that they take raw instead of standardised features.

    The outputs stay the same.
    """
    (kernel, bias), *others = layers
    kernel = kernel / deviation[:, None]
    layers = [(kernel, bias - mean @ kernel), *others]
    return [(kernel.astype(np.float32), bias.astype(np.float32)) for kernel, bias in layers]


SMALL = 1e9  # One thread is faster if a pass over the examples has fewer multiplications.


def _best(
    fits: Iterator[tuple[float, Layers]],
    x: np.ndarray,
    labels: np.ndarray,
    margin: float,
    task: str,
) -> tuple[Layers, list[dict[str, Any]], float]:
    """Returns the layers of the best head, a record of each head, and the best regularisation.

    Args:
      fits: pairs of strength (scikit-learn's C) and layers of a head, by falling regularisation.
      x: validation features, `(examples, channels)`.
      margin: how much higher than the lowest the summed validation loss may be. Of the heads within
        this margin, the one with the most regularisation is chosen.
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
        if i - losses.index(min(losses)) >= WORSE:  # Weakly regularised fits take the longest.
            break
    bound = min(losses) + margin / len(labels)
    chosen = next(i for i, loss in enumerate(losses) if loss <= bound)
    return tried[chosen], history, history[chosen]["regularisation"]


def save(file: Path, head: Head) -> None:
    """Writes a fitted head to a file, for a job in another process that trains from this head."""
    metadata = json.dumps({"history": head.history, "regularisation": head.regularisation})
    flat = [array for layer in head.layers for array in layer]
    with replacing(file) as temporary, temporary.open("wb") as stream:
        np.savez(stream, *flat, told=np.array(metadata))


def load(file: Path) -> Head | None:
    """Returns the head that `save` wrote, bit for bit, or None if the file does not exist."""
    if not file.is_file():
        return None
    with np.load(file, allow_pickle=False) as stored:
        metadata = json.loads(str(stored["told"]))
        flat = [stored[f"arr_{i}"] for i in range(len(stored.files) - 1)]
    layers = list(zip(flat[::2], flat[1::2], strict=True))
    return Head(layers, metadata["history"], metadata["regularisation"])
