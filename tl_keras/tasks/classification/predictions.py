"""The rows of predictions.csv, and the output of the command `predict` for an example."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def header(names: Sequence[str]) -> list[str]:
    """Returns the names of the columns of predictions.csv after `file` and `split`."""
    return ["label", "prediction", "probability", *(f"p:{name}" for name in names)]


def row(answer: np.ndarray, target: int, names: Sequence[str]) -> list[str]:
    """Returns the cells of an example's row in predictions.csv, after `file` and `split`."""
    return [
        names[target],
        names[int(np.argmax(answer))],
        f"{answer.max():.6f}",
        *(f"{value:.6f}" for value in answer),
    ]


def read(cells: Sequence[str]) -> np.ndarray:
    """Returns the probabilities of an example, `(classes,) float64`, from the cells of its row."""
    return np.array(cells[3:], np.float64)


def prediction_fields(answer: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """Returns `prediction`, the likeliest class, and `probabilities`, {class: probability}."""
    rounded = [round(float(value), 6) for value in answer]
    named = dict(zip(names, rounded, strict=True))
    return {"prediction": max(named, key=lambda name: named[name]), "probabilities": named}


def score_of(row: Mapping[str, str]) -> float:
    """Returns 1.0 if the prediction in a row of predictions.csv is right, else 0.0."""
    return float(row["prediction"] == row["label"])
