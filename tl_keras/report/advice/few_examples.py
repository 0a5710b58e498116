"""Recommends cross-validation for a small data set."""

from collections.abc import Mapping
from typing import Any

from tl_keras.config.command_line import command_line
from tl_keras.report.drawings.words import count, counted

# Labelled examples. With the usual shares of 15%, fewer than 300 leave fewer than 45 to test on:
# the 95% interval of an accuracy of 80% is then wider than ±12 points, with cross-validation ±5.
FEW = 300
FOLDS = 5  # examples that each class needs for the usual number of folds


def cross_validation(n: int, tree: Mapping[str, Any], findings: Mapping[str, Any]) -> str:
    """Returns the command line of `cross_validate` if there are fewer than `FEW` labelled examples.

    Returns "" for `FEW` examples or more, or if a class has fewer than `FOLDS` examples.

    Args:
      n: number of labelled examples.
      tree: the config as nested dicts.
      findings: the content of findings.json; its field `rare` holds the sizes of small classes.
    """
    sizes = [entry.get("n", 0) for entry in findings.get("rare") or []]
    if not 0 < n < FEW or min(sizes, default=FOLDS) < FOLDS:
        return ""
    return command_line("cross_validate", tree, "data.test=0", folder="folds")


def sentence(n: int, measured: int, nouns: tuple[str, str]) -> str:
    """Returns the sentence that recommends cross-validation for few examples.

    Args:
      n: number of labelled examples.
      measured: number of these examples that `finetune` would hold out to measure the model.
      nouns: singular and plural noun for an example.
    """
    return (
        f"With only {counted(n, *nouns)}, the command finetune measures the model on "
        f"{count(measured)} of them, cross-validation on all."
    )
