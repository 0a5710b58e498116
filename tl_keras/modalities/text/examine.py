"""Lists texts that people should look at, such as very long ones; all stay in the data set."""

from collections.abc import Mapping
from typing import Any

from tl_keras.data.doctor import rare_answers
from tl_keras.data.examples import Dataset
from tl_keras.data.inputs import Inputs
from tl_keras.modalities.text.config import TextConfig


def examine(dataset: Dataset, inputs: dict[str, Inputs], settings: TextConfig) -> dict[str, Any]:
    """Returns findings on the texts of a data set, ready for JSON."""
    return {"rare": rare_answers(dataset)}


def lines(findings: Mapping[str, Any]) -> list[str]:
    """Returns the findings as lines of the log."""
    return []
