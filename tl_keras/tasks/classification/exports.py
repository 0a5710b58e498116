"""A file of another format beside the model: what it loses, and whether that is sound."""

from typing import Any

import numpy as np

from tl_keras.run.result.exports import FileLoss
from tl_keras.tasks.shares import paired_interval, wilson

# Probability that goes to other classes, over which a file is mended whatever its accuracy: of a
# few dozen examples as many may be won by chance as lost. Sound MobileNets had .001 to .05.
MOST_MOVED = 0.08
ANSWERS = "probabilities"


def of_file(found: np.ndarray, reference: np.ndarray, targets: np.ndarray) -> dict[str, Any]:
    """Accuracy with its 95% interval, agreement of decisions, largest difference of a
    probability."""
    right = found.argmax(-1) == targets
    return {
        "accuracy": float(right.mean()),
        "interval": list(wilson(int(right.sum()), len(targets))),
        "agreement": float((found.argmax(-1) == reference.argmax(-1)).mean()),
        "max_abs_diff": float(np.abs(found - reference).max()),
        "n": len(targets),
    }


def lost(found: np.ndarray, reference: np.ndarray, targets: np.ndarray, on: str) -> FileLoss:
    """What a file loses against the model on the same examples, paired by example.

    Args:
      on: what the examples are, in words.
    """
    right, before = found.argmax(-1) == targets, reference.argmax(-1) == targets
    spoiled, mended = int((before & ~right).sum()), int((right & ~before).sum())
    return FileLoss(
        accuracy=float(right.mean()),
        lost=(spoiled - mended) / len(targets),
        interval=list(paired_interval(spoiled, mended, len(targets))),
        agreement=float((found.argmax(-1) == reference.argmax(-1)).mean()),
        moved=moved(found, reference),
        n=len(targets),
        on=on,
    )


def moved(found: np.ndarray, reference: np.ndarray) -> float:
    """How much probability goes to other classes, 0 to 1 (total variation), mean over examples."""
    return float(np.abs(found - reference).sum(-1).mean() / 2)


def is_sound(verdict: FileLoss, bound: float) -> bool:
    """Whether a file needs no mending, as far as validation shows: one example is no loss yet."""
    return verdict.lost <= max(bound, 1 / verdict.n) and verdict.moved <= MOST_MOVED


def status(verdict: FileLoss, bound: float) -> str:
    """What is wrong with a file; "ok" if nothing is shown to be."""
    low, high = verdict.interval
    if low > bound:
        return (
            f"loses {verdict.lost:.3f} of accuracy on {verdict.on} (95% interval {low:.3f} "
            f"to {high:.3f}), over export.max_accuracy_drop {bound:g}"
        )
    if verdict.moved > MOST_MOVED:
        return (
            f"moves {verdict.moved:.2f} of the probability to other classes on {verdict.on}, "
            f"mean over the examples; at most {MOST_MOVED:g} is sound"
        )
    return "ok"
