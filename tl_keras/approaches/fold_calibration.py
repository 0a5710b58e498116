"""Calibrates the folds' predictions like those of the final model, and measures abstaining on them.

A model abstains from an example if its prediction is too uncertain; see the field `export.abstain`.
"""

from collections.abc import Sequence

import numpy as np

from tl_keras import tasks
from tl_keras.approaches import folds
from tl_keras.approaches.folds import Fold
from tl_keras.config.whole import RunConfig
from tl_keras.data.prepared import Data
from tl_keras.run.result.exports import Abstaining


def correction(data: Data, agreeing: Sequence[Fold]) -> float:
    """Returns the factor for the folds' temperatures that calibrates their held-out predictions.

    The factor is fitted to the predictions of the folds' models for their held-out examples.

    Args:
      agreeing: the folds that keep the same candidate (head-only, fine-tuned, ...) as the final
        model. If there are none, the factor is 1.0.
    """
    if not agreeing:
        return 1.0
    predictions = np.concatenate([folds.predictions_of(fold) for fold in agreeing])
    rows = np.concatenate([fold.rows for fold in agreeing])
    losses = tasks.of(data.dataset.task, "losses")
    return losses.fit_temperature(losses.raw_of(predictions), data.inputs["train"].labels[rows])


def held_out(data: Data, every: Sequence[Fold]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the folds' predictions for the examples that they held out, and the labels.

    With `export.abstain`, the predictions are calibrated like those of the final model. The
    threshold for abstaining is chosen on them, and suits an exported file only if the file is
    calibrated in the same way.

    The temperature of a final model that is refitted without a search is multiplied by the result
    of `correction`, since each fold's temperature was fitted to few examples. So the folds'
    temperatures are multiplied, too. `correction` gives one factor for all folds that keep the same
    candidate (head-only, fine-tuned, ...). For other final models, and without `export.abstain`,
    the predictions stay as they are.
    """
    config = every[0].run.config
    predictions, labels = folds.out_of_fold(data, every, 0), data.inputs["train"].labels
    if config.export.abstain is None or not is_corrected(config):
        return predictions, labels
    losses = tasks.of(config.task, "losses")
    by_candidate: dict[str, list[Fold]] = {}
    for fold in every:
        by_candidate.setdefault(fold.run.result.chosen.kept, []).append(fold)
    for agreeing in by_candidate.values():
        factor = correction(data, agreeing)
        for fold in agreeing:
            if fold.repeat == 0:
                raw = losses.raw_of(predictions[fold.rows])
                predictions[fold.rows] = losses.answers(raw / factor)
    return predictions, labels


def is_corrected(config: RunConfig) -> bool:
    """Returns True if the final model's temperature is corrected to fit held-out examples."""
    return config.cross_validate.final == "refit" and not config.search.wanted


def abstaining(
    every: Sequence[Fold], predictions: np.ndarray, labels: np.ndarray
) -> Abstaining | None:
    """Measures how often the folds' models answer instead of abstaining, and how often correctly.

    Each model is measured on the examples that its fold held out. Its threshold is chosen on the
    examples that the other folds held out. Returns None if `export.abstain` is not set, or if the
    other folds have too few examples for its value (0.95 needs at least 19).

    Args:
      predictions, labels: the result of `held_out`.
    """
    config = every[0].run.config
    level = config.export.abstain
    if level is None:
        return None
    fold_of = np.empty(len(labels), np.int64)
    for number, fold in enumerate(every):
        if fold.repeat == 0:
            fold_of[fold.rows] = number
    measure = tasks.of(config.task, "abstain").measure_in_folds
    return measure(predictions, labels, fold_of, level)
