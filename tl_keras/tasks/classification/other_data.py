"""Evaluation on another data set, whose classes may have other names than the model's."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tl_keras.tasks.classification.losses import EPSILON
from tl_keras.tasks.classification.metrics import IN_SHORT, measure
from tl_keras.tasks.classification.record import Scores, SharedClassScores


def coded(names: Sequence[str], renamed: Mapping[str, str]) -> Callable[[str], int | None]:
    """Returns a function that maps a label's text to the index of its class.

    The index is the position in the sorted list of the model's class names after renaming. The
    function returns None for a label that is not in this list.

    Args:
      names: names of the model's classes.
      renamed: {class name: new name}, for classes of the model and of the data set. Classes with
        the same new name become one class.
    """
    merged = _merged_names(names, renamed)
    places = {name: i for i, name in enumerate(merged)}
    return lambda label: places.get(renamed.get(label, label))


def _merged_names(names: Sequence[str], renamed: Mapping[str, str]) -> list[str]:
    return sorted({renamed.get(name, name) for name in names})


def measured(
    probabilities: np.ndarray, labels: np.ndarray, names: Sequence[str], renamed: Mapping[str, str]
) -> Scores:
    """Returns the scores of the model on another data set, after classes were renamed and merged.

    The probability of a merged class is the sum of the probabilities of its classes. If the data
    set lacks some of the merged classes, `among_shared` has the scores that the model would get if
    it could answer only with classes that the data set has.

    Args:
      probabilities: answers of the model, `(n, len(names))`.
      labels: results of the function that `coded` returns, `(n,) int`.
      names, renamed: see `coded`.
    """
    merged = _merged_names(names, renamed)
    rows = [merged.index(renamed.get(name, name)) for name in names]
    merging = np.eye(len(merged), dtype=probabilities.dtype)[rows]
    probabilities = np.minimum(probabilities @ merging, 1)
    scores = measure(probabilities, labels, merged)
    shared = np.unique(labels)
    if 1 < len(shared) < len(merged):
        among_shared = probabilities[:, shared] + EPSILON
        among_shared /= among_shared.sum(1, keepdims=True)
        places = np.searchsorted(shared, labels)
        all_scores = measure(among_shared, places, [merged[i] for i in shared])
        shared_scores = SharedClassScores(**{name: all_scores[name] for name in IN_SHORT})
        return scores.model_copy(update={"among_shared": shared_scores})
    return scores
