"""Finds likely problems in the data: rare classes, doubtful labels, near-duplicates across splits.

The functions work for every modality.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tl_keras import tasks
from tl_keras.data.batching.inputs import Inputs
from tl_keras.data.examples import SPLITS, Dataset, Example

MAX_FEATURES = 1e8  # examples x channels; comparing them takes about 2.5 GB


def rare_answers(dataset: Dataset) -> list[dict[str, Any]]:
    """Returns one record for each class with few training examples: `class`, `n` and `why`.

    `n` is the number of training examples, and `why` the reason in words. The list is empty for
    tasks such as regression, whose answers are not classes.
    """
    labels = tasks.maybe(dataset.task, "labels")
    return labels.rare(dataset.labels("train"), dataset.classes) if labels else []


def copied(pairs: Sequence[dict[str, Any]], split: str) -> set[str]:
    """Returns the files of `split` that have a near-duplicate in an earlier split.

    The order of the splits is train, val, test.
    """
    earlier = SPLITS[: SPLITS.index(split)]
    return {
        pair["files"][i]
        for pair in pairs
        for i in (0, 1)
        if pair["splits"][i] == split and pair["splits"][1 - i] in earlier
    }


def suspected(dataset: Dataset, features: dict[str, Inputs]) -> dict[str, Any]:
    """Returns the fields of `findings.json` about examples whose label may be wrong.

    The field `suspects` lists these examples. Each has `file`, `split`, `label`, the `suggested`
    class, the `probability` of that class, and the `label_probability` of `label`. The
    probabilities come from heads that were not fitted on the example. A second field,
    `suspects_judge`, says how good these heads are. Its `agreement` is the share of examples whose
    label is also the likeliest class. If labels cannot be compared with predictions, the only field
    is `suspects_note`, the reason.

    Args:
      features: for each split, `Inputs` whose array holds features, `(n, channels) float32`.
    """
    labels_of = tasks.maybe(dataset.task, "labels")
    if labels_of is None:
        why = f"the task {dataset.task} does not support this comparison"
        return {"suspects_note": f"labels were not compared with predictions: {why}"}
    pooled = np.concatenate([inputs.array for inputs in features.values()])
    labels = np.concatenate([inputs.labels for inputs in features.values()])
    if why := labels_of.incomparable(labels, dataset.classes):
        return {"suspects_note": why}
    if pooled.size > MAX_FEATURES:
        why = (
            f"the data set is too large: {len(pooled)} examples with {pooled.shape[1]} features "
            f"each; at most {MAX_FEATURES:.0f} feature values in all can be compared"
        )
        return {"suspects_note": f"labels were not compared with predictions: {why}"}
    examples = [(split, example) for split in features for example in dataset.splits[split]]
    answers = labels_of.left_out_answers(pooled, labels)
    suspects = _listed(labels_of.doubtful(answers, labels), examples, dataset, answers)
    return suspects | labels_of.judged(answers, labels)


def suspected_by(answers: np.ndarray, dataset: Dataset) -> dict[str, Any]:
    """Finds training examples whose label may be wrong, from given predictions.

    Returns a dict with the same keys as that of `suspected`.

    For tasks such as regression, whose answers are not classes, the only field is `suspects`, an
    empty list.

    Args:
      answers: the predicted probabilities, `(examples, classes)`, in the order of train. The
        probabilities of an example come from a model that was not trained on it.
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
