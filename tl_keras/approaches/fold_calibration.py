"""Calibrates the answers of folds like the final model, and measures abstaining on them."""

from collections.abc import Sequence

import numpy as np

from tl_keras import tasks
from tl_keras.approaches import folds
from tl_keras.approaches.folds import Fold
from tl_keras.config.whole import RunConfig
from tl_keras.data.prepared import Data
from tl_keras.run.result.exports import Abstaining


def correction(data: Data, agreeing: Sequence[Fold]) -> float:
    """Returns the factor by which the folds' temperatures change to fit their held-out examples.

    Args:
      agreeing: the folds that keep the same candidate as the final model; 1.0 if there are none.
    """
    if not agreeing:
        return 1.0
    answers = np.concatenate([folds.answers(fold) for fold in agreeing])
    rows = np.concatenate([fold.rows for fold in agreeing])
    losses = tasks.of(data.dataset.task, "losses")
    return losses.fit_temperature(losses.raw_of(answers), data.inputs["train"].labels[rows])


def held_out(data: Data, every: Sequence[Fold]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the held-out answers to all examples, calibrated as the final model, and the labels.

    A threshold of probability suits an exported file only if it is chosen on answers with the
    calibration of that file. Each fold has a temperature of its own, which was fitted to few
    examples. A refitted model has that of `correction`; other final models have no such correction.
    """
    config = every[0].run.config
    answers, labels = folds.out_of_fold(data, every, 0), data.inputs["train"].labels
    if config.export.abstain is None or not is_corrected(config):
        return answers, labels
    losses = tasks.of(config.task, "losses")
    alike: dict[str, list[Fold]] = {}
    for fold in every:
        alike.setdefault(fold.run.result.chosen.kept, []).append(fold)
    for agreeing in alike.values():
        factor = correction(data, agreeing)
        for fold in agreeing:
            if fold.repeat == 0:
                raw = losses.raw_of(answers[fold.rows])
                answers[fold.rows] = losses.answers(raw / factor)
    return answers, labels


def is_corrected(config: RunConfig) -> bool:
    """Returns whether the final model has a temperature that is fitted to held-out answers."""
    return config.cross_validate.final == "refit" and not config.search.wanted


def abstaining(data: Data, every: Sequence[Fold]) -> Abstaining | None:
    """Returns how often the models of the folds decide on what they held out, and are right.

    The threshold for a fold is chosen on the other folds. Returns None without `export.abstain`, or
    if the other folds have too few examples for its level.
    """
    config = every[0].run.config
    level = config.export.abstain
    if level is None:
        return None
    fold_of = np.empty(len(data.inputs["train"]), np.int64)
    for number, fold in enumerate(every):
        if fold.repeat == 0:
            fold_of[fold.rows] = number
    measure = tasks.of(config.task, "abstain").measure_in_folds
    return measure(*held_out(data, every), fold_of, level)
