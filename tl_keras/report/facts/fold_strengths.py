"""Warns if the folds of a cross-validation chose very different regularisation strengths."""

from collections.abc import Sequence

from tl_keras.report.drawings.words import is_number, number
from tl_keras.run.result.folds import FoldRecord
from tl_keras.run.result.training import Chosen

FAR_APART = 100  # highest / lowest strength; the strengths that are tried go from 0.01 to 10,000


def far_apart(folds: Sequence[FoldRecord], chosen: Chosen | None) -> str:
    """Returns a warning if the folds chose very different regularisation strengths, else "".

    Only folds that kept the head-only model count.

    Args:
      folds: the record of each fold.
      chosen: the settings of the final model, which all folds together chose.
    """
    heads = [fold for fold in folds if fold.kept == "head"]
    known = [fold.regularisation for fold in heads if is_number(fold.regularisation)]
    low, high = min(known, default=0), max(known, default=0)
    if not low > 0 or high < FAR_APART * low * (1 - 1e-6):
        return ""
    own = chosen.regularisation if chosen else None
    final = f"; the final model has {written(own)}" if is_number(own) else ""
    few = min(fold.val for fold in heads)
    return (
        f"The folds chose very different regularisation, from {written(low)} to {written(high)}"
        f"{final}. Each fold chose by its score on few examples, one fold on only {few}. The final "
        "model may therefore be much better or worse than the models of the folds, whose score is "
        "reported."
    )


def written(strength: float | None) -> str:
    """Returns a strength with three significant digits, without trailing zeros."""
    return f"{strength:.3g}" if is_number(strength) and strength < 1 else number(strength)
