"""Lines of predictions.csv, and the output of `predict` for an example."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def header(names: Sequence[str]) -> list[str]:
    """Returns the names of the columns after `file` and `split`."""
    return ["label", "prediction", "probability", *(f"p:{name}" for name in names)]


def row(answer: np.ndarray, target: int, names: Sequence[str]) -> list[str]:
    """Returns the cells of a line after `file` and `split`."""
    return [
        names[target],
        names[int(np.argmax(answer))],
        f"{answer.max():.6f}",
        *(f"{value:.6f}" for value in answer),
    ]


def read(cells: Sequence[str]) -> np.ndarray:
    """Returns the probabilities from the cells of a line, `(classes,) float64`."""
    return np.array(cells[3:], np.float64)


def prediction_fields(answer: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """Returns `prediction` and `probabilities {class: p}` of an answer."""
    row = [round(float(value), 6) for value in answer]
    named = dict(zip(names, row, strict=True))
    return {"prediction": max(named, key=lambda name: named[name]), "probabilities": named}


def score_of(row: Mapping[str, str]) -> float:
    """Returns 1.0 if the prediction in a line of the file is right, else 0.0."""
    return float(row["prediction"] == row["label"])
