"""Combines models of one architecture into one, by averaging their weights or their answers."""

from collections.abc import Sequence

import keras
import numpy as np

from tl_keras.training.network.model import output_of


def average(models: Sequence[keras.Model]) -> keras.Model:
    """Returns the first model, with its weights replaced by the mean of all models' weights.

    The mean is useful only for models whose trainings started from the same weights (model soups,
    arXiv 2203.05482).
    """
    merged, weights = models[0], [model.get_weights() for model in models]
    merged.set_weights(
        [
            np.mean(values, axis=0, dtype=np.float64).astype(values[0].dtype)
            for values in zip(*weights, strict=True)
        ]
    )
    return merged


def ensemble(models: Sequence[keras.Model]) -> keras.Model:
    """Returns a model that averages the answers of all models.

    The returned model is as large and as slow as all models together.
    """
    name = output_of(models[0])
    inputs = keras.Input(
        models[0].input.shape[1:], dtype=models[0].input.dtype, name=models[0].input.name
    )
    answers = []
    for i, model in enumerate(models):
        model.name = f"member_{i}"
        answers.append(model(inputs))
    return keras.Model(inputs, keras.layers.Average(name=name)(answers), name="tl_keras")
