"""Finds likely problems in the data of any modality: rare answers, doubtful labels, copies."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tl_keras import tasks
from tl_keras.data.examples import SPLITS, Dataset, Example
from tl_keras.data.inputs import Inputs

MAX_FEATURES = 1e8  # examples x channels; comparing them takes about 2.5 GB


def rare_answers(dataset: Dataset) -> list[dict[str, Any]]:
    """Returns answers with few training examples; empty if the task does not compare labels."""
    labels = tasks.maybe(dataset.task, "labels")
    return labels.rare(dataset.labels("train"), dataset.classes) if labels else []


def copied(pairs: Sequence[dict[str, Any]], split: str) -> set[str]:
    """Returns the files of a split that have a near-duplicate in an earlier split."""
    earlier = SPLITS[: SPLITS.index(split)]
    return {
        pair["files"][i]
        for pair in pairs
        for i in (0, 1)
        if pair["splits"][i] == split and pair["splits"][1 - i] in earlier
    }


def suspected(dataset: Dataset, features: dict[str, Inputs]) -> dict[str, Any]:
    """Returns `suspects`, the examples whose label may be wrong, or `suspects_note` with the reason
    why labels were not compared.

    Each suspect has `file`, `split`, `label`, `suggested`, `probability` (of `suggested`) and
    `label_probability` (of `label`).

    Args:
      features: by split, inputs with features as array, `(n, channels) float32`.
    """
    labels_of = tasks.maybe(dataset.task, "labels")
    if labels_of is None:
        return {"suspects_note": f"labels of the task {dataset.task} are not compared"}
    pooled = np.concatenate([inputs.array for inputs in features.values()])
    labels = np.concatenate([inputs.labels for inputs in features.values()])
    if why := labels_of.incomparable(labels, dataset.classes):
        return {"suspects_note": why}
    if pooled.size > MAX_FEATURES:
        return {"suspects_note": "labels were not compared: the data set is too large"}
    examples = [(split, example) for split in features for example in dataset.splits[split]]
    answers = labels_of.left_out_answers(pooled, labels)
    suspects = _listed(labels_of.doubtful(answers, labels), examples, dataset, answers)
    return suspects | labels_of.judged(answers, labels)


def suspected_by(answers: np.ndarray, dataset: Dataset) -> dict[str, Any]:
    """Returns `suspects` of train in the form of `suspected`, but computed from given answers.

    The list is empty if the task does not judge labels.

    Args:
      answers: `(train, width)`, each by a model that has not seen the example.
    """
    labels_of = tasks.maybe(dataset.task, "labels")
    if labels_of is None:
        return {"suspects": []}
    examples = [("train", example) for example in dataset.splits["train"]]
    labels = dataset.labels("train")
    suspects = _listed(labels_of.doubtful(answers, labels), examples, dataset, answers)
    return suspects | labels_of.judged(answers, labels)


def _listed(
    suspects: Sequence[tuple[int, int, float]],
    examples: Sequence[tuple[str, Example]],
    dataset: Dataset,
    answers: np.ndarray,
) -> dict[str, Any]:
    return {
        "suspects": [
            {
                "file": examples[i][1].file,
                "split": examples[i][0],
                "label": dataset.classes[examples[i][1].label],
                "suggested": dataset.classes[suggested],
                "probability": round(probability, 4),
                "label_probability": round(float(answers[i, examples[i][1].label]), 4),
            }
            for i, suggested, probability in suspects
        ]
    }
