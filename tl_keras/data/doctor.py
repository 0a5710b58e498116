"""What looks wrong in examples of any kind: rare answers, doubtful labels, copies elsewhere."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tl_keras import tasks
from tl_keras.data.examples import SPLITS, Dataset, Example
from tl_keras.data.inputs import Inputs

MAX_FEATURES = 1e8  # examples x channels; about 2.5 GB while they are compared


def rare_answers(dataset: Dataset) -> list[dict[str, Any]]:
    """Answers with few training examples; none where the task compares no labels."""
    labels = tasks.maybe(dataset.task, "labels")
    return labels.rare(dataset.labels("train"), dataset.classes) if labels else []


def copied(pairs: Sequence[dict[str, Any]], split: str) -> set[str]:
    """Files of a split that have a near-duplicate in a split that came before it."""
    earlier = SPLITS[: SPLITS.index(split)]
    return {
        pair["files"][own]
        for pair in pairs
        for own in (0, 1)
        if pair["splits"][own] == split and pair["splits"][1 - own] in earlier
    }


def suspected(dataset: Dataset, features: dict[str, Inputs]) -> dict[str, Any]:
    """`suspects` of the splits that `features` holds, `(n, channels) float32`; or, under
    `suspects_note`, why nobody looked.

    Each suspect has `file`, `split`, `label`, `suggested`, and `probability` of the suggested.
    """
    of = tasks.maybe(dataset.task, "labels")
    if of is None:
        return {"suspects_note": f"labels of {dataset.task} are not compared"}
    pooled = np.concatenate([inputs.array for inputs in features.values()])
    labels = np.concatenate([inputs.labels for inputs in features.values()])
    if why := of.incomparable(labels, dataset.classes):
        return {"suspects_note": why}
    if pooled.size > MAX_FEATURES:
        return {"suspects_note": "the data set is too large to compare all labels"}
    examples = [(split, example) for split in features for example in dataset.splits[split]]
    answers = of.left_out_answers(pooled, labels)
    return _listed(of.doubtful(answers, labels), examples, dataset) | of.judged(answers, labels)


def suspected_by(answers: np.ndarray, dataset: Dataset) -> dict[str, Any]:
    """`suspects` of train, as `suspected` gives them, by models that had not seen the examples.

    Args:
      answers: `(train, width)`; of a task without doubts about labels there are none.
    """
    of = tasks.maybe(dataset.task, "labels")
    if of is None:
        return {"suspects": []}
    examples = [("train", example) for example in dataset.splits["train"]]
    labels = dataset.labels("train")
    return _listed(of.doubtful(answers, labels), examples, dataset) | of.judged(answers, labels)


def _listed(
    found: Sequence[tuple[int, int, float]],
    examples: Sequence[tuple[str, Example]],
    dataset: Dataset,
) -> dict[str, Any]:
    return {
        "suspects": [
            {
                "file": examples[i][1].file,
                "split": examples[i][0],
                "label": dataset.classes[examples[i][1].label],
                "suggested": dataset.classes[suggested],
                "probability": round(probability, 4),
            }
            for i, suggested, probability in found
        ]
    }
