"""One model from several of one architecture: the mean of their weights, or of their answers."""

from collections.abc import Sequence

import keras
import numpy as np

from tl_keras.training.network.model import output_of


def average(models: Sequence[keras.Model]) -> keras.Model:
    """The first model with the mean of all weights.

    For models that were trained from one starting point (model soups, arXiv 2203.05482).
    """
    merged, every = models[0], [model.get_weights() for model in models]
    merged.set_weights(
        [
            np.mean(values, axis=0, dtype=np.float64).astype(values[0].dtype)
            for values in zip(*every, strict=True)
        ]
    )
    return merged


def ensemble(models: Sequence[keras.Model]) -> keras.Model:
    """A model that gives the mean of all answers: as large and slow as all together."""
    name = output_of(models[0])
    inputs = keras.Input(
        models[0].input.shape[1:], dtype=models[0].input.dtype, name=models[0].input.name
    )
    answers = []
    for i, model in enumerate(models):
        model.name = f"member_{i}"
        answers.append(model(inputs))
    return keras.Model(inputs, keras.layers.Average(name=name)(answers), name="tl_keras")
