"""Compares answers of an exported file and of the model: how much accuracy does the file lose?"""

from typing import Any

import numpy as np

from tl_keras.run.result.exports import FileLoss
from tl_keras.tasks.shares import paired_interval, wilson

# A file that moves more probability to other classes is repaired whatever its accuracy, because on
# a few dozen examples gains and losses may cancel by chance. Sound MobileNets had 0.001 to 0.05.
MOST_MOVED = 0.08
ANSWERS = "probabilities"


def of_file(answers: np.ndarray, reference: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
    """Returns a file's accuracy with its 95% interval, and how its answers differ from the model's.

    Args:
      answers: probabilities of the file, `(n, classes)`.
      reference: probabilities of the model on the same examples, `(n, classes)`.
      targets: `(n,) int`.

    Returns:
      `accuracy` of the file; its `interval`; `agreement`, the share of examples for which file and
      model predict the same class; `max_abs_diff`, the largest difference of a probability; `n`.
    """
    right = answers.argmax(-1) == targets
    return {
        "accuracy": float(right.mean()),
        "interval": list(wilson(int(right.sum()), len(targets))),
        "agreement": float((answers.argmax(-1) == reference.argmax(-1)).mean()),
        "max_abs_diff": float(np.abs(answers - reference).max()),
        "n": len(targets),
    }


def lost(answers: np.ndarray, reference: np.ndarray, targets: np.ndarray, on: str) -> FileLoss:
    """Returns how much accuracy a file loses, and how far its answers are from the model's.

    The loss is the accuracy of the model minus that of the file, on the same examples.

    Args:
      answers, reference, targets: see `of_file`.
      on: a description of the examples, such as "validation".
    """
    right, right_before = answers.argmax(-1) == targets, reference.argmax(-1) == targets
    spoiled, gained = int((right_before & ~right).sum()), int((right & ~right_before).sum())
    return FileLoss(
        accuracy=float(right.mean()),
        lost=(spoiled - gained) / len(targets),
        interval=list(paired_interval(spoiled, gained, len(targets))),
        agreement=float((answers.argmax(-1) == reference.argmax(-1)).mean()),
        moved=moved(answers, reference),
        n=len(targets),
        on=on,
    )


def moved(answers: np.ndarray, reference: np.ndarray) -> float:
    """Returns the share of the probability mass that a file moves to other classes, 0..1.

    This is the total variation distance between the answers of the file and of the model, averaged
    over the examples.
    """
    return float(np.abs(answers - reference).sum(-1).mean() / 2)


def is_sound(verdict: FileLoss, bound: float) -> bool:
    """Returns True if a file needs no repair: little loss of accuracy, and similar answers.

    A loss of one right answer is always accepted. Answers are similar if the file moves at most
    `MOST_MOVED` of the probability mass to other classes.

    Args:
      verdict: the result of `lost`.
      bound: the largest accepted loss of accuracy, `export.max_accuracy_drop`.
    """
    return verdict.lost <= max(bound, 1 / verdict.n) and verdict.moved <= MOST_MOVED


def status(verdict: FileLoss, bound: float) -> str:
    """Returns "ok", or what is wrong with a file, as a phrase that follows its name.

    A file is wrong if the whole 95% interval of its loss of accuracy is above `bound`, or if it
    moves more than `MOST_MOVED` of the probability mass to other classes. The arguments are those
    of `is_sound`.
    """
    low, high = verdict.interval
    if low > bound:
        return (
            f"loses {verdict.lost:.3f} of accuracy on {verdict.on} (95% interval {low:.3f} "
            f"to {high:.3f}), more than export.max_accuracy_drop, {bound:g}"
        )
    if verdict.moved > MOST_MOVED:
        also = f" or on {verdict.also} training examples" if verdict.also else ""
        return (
            f"moves {verdict.moved:.2f} of the probability mass to other classes on {verdict.on}"
            f"{also} (mean over the examples); at most {MOST_MOVED:g} is acceptable"
        )
    return "ok"
