"""Another data set than the model's own, whose classes may have other names."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tl_keras.tasks.classification.losses import EPSILON
from tl_keras.tasks.classification.metrics import IN_SHORT, measure
from tl_keras.tasks.classification.record import Scores, SharedClassScores


def coded(names: Sequence[str], renamed: Mapping[str, str]) -> Callable[[str], int | None]:
    """What gives a label's place among the classes that are told apart; None of a strange label.

    Args:
      names: of the model's classes.
      renamed: what names count as, the model's and the set's; equal ones are one class.
    """
    ours = _together(names, renamed)
    places = {name: i for i, name in enumerate(ours)}
    return lambda label: places.get(renamed.get(label, label))


def _together(names: Sequence[str], renamed: Mapping[str, str]) -> list[str]:
    return sorted({renamed.get(name, name) for name in names})


def measured(
    probabilities: np.ndarray, labels: np.ndarray, names: Sequence[str], renamed: Mapping[str, str]
) -> Scores:
    """Metrics as in `result.json`, of classes whose probability is the sum of those that are one;
    where the set lacks some, `among_shared` has the scores of a model that could only answer with
    one that the set has.

    Args:
      probabilities: the model's, `(n, names)`.
      labels: as `coded` gives them.
    """
    ours = _together(names, renamed)
    rows = [ours.index(renamed.get(name, name)) for name in names]
    together = np.eye(len(ours), dtype=probabilities.dtype)[rows]
    probabilities = np.minimum(probabilities @ together, 1)
    found = measure(probabilities, labels, ours)
    shared = np.unique(labels)
    if 1 < len(shared) < len(ours):
        some = probabilities[:, shared] + EPSILON
        some /= some.sum(1, keepdims=True)
        places = np.searchsorted(shared, labels)
        among = measure(some, places, [ours[i] for i in shared])
        shared_scores = SharedClassScores(**{name: among[name] for name in IN_SHORT})
        return found.model_copy(update={"among_shared": shared_scores})
    return found
