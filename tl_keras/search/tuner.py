"""Wraps KerasTuner: functions that propose the values of the next trial and report its score.

The functions call KerasTuner's oracles directly, because trials are runs of this package and
KerasTuner builds no model. The state of an oracle is kept in one file that is replaced atomically;
a kill can truncate the files that KerasTuner itself writes.
"""

import itertools
import warnings
from collections.abc import Mapping
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from tl_keras.config import space
from tl_keras.config.search import Range
from tl_keras.config.whole import RunConfig

SCORE = "score"
TUNER = "tl_keras"
EPOCHS_FIELD = "fit.epochs"  # the field that Hyperband reduces for most trials
COLLISIONS = 500
FACTOR = 3  # Hyperband: the epochs of a round divided by the epochs of the round before
DIGITS = 4  # significant digits of a value from a range; more are hard to read and change nothing


def oracle(config: RunConfig, epochs: int, values: Mapping[str, tuple | Range], folder: str) -> Any:
    """Returns a new KerasTuner oracle for `search.space`; an oracle proposes the values of trials.

    Args:
      epochs: number of epochs of a trial that Hyperband does not shorten.
      values: `search.space`, with `blocks` replaced by a list of freeze depths.
      folder: a folder in which KerasTuner writes files; they are never read.
    """
    parameters = keras_tuner.HyperParameters()
    for name, entry in values.items():
        if isinstance(entry, tuple):  # By position, since KerasTuner needs values of a single type.
            parameters.Choice(name, list(range(len(entry))), ordered=True)
        elif space.takes_whole_numbers(config, name, entry):
            parameters.Int(name, entry.min, entry.max, sampling=entry.scale)
        else:
            parameters.Float(name, float(entry.min), float(entry.max), sampling=entry.scale)
    shared = {
        "objective": keras_tuner.Objective(SCORE, "max"),
        "hyperparameters": parameters,
        "seed": config.seed + 1,  # For 0, KerasTuner would choose a random seed.
    }
    if config.search.tuner == "hyperband":
        built = keras_tuner.oracles.HyperbandOracle(
            max_epochs=epochs, factor=FACTOR, hyperband_iterations=1000, **shared
        )
    else:
        kind = {
            "random": keras_tuner.oracles.RandomSearchOracle,
            "bayesian": keras_tuner.oracles.BayesianOptimizationOracle,
        }[config.search.tuner]
        built = kind(max_trials=10**6, **shared)
    built.verbose = 0
    # The number of repeated draws in a row after which the space counts as exhausted. With
    # KerasTuner's default of 20, one of twelve remaining points is often missed.
    built._max_collisions = COLLISIONS
    built._set_project_dir(folder, "tuner")
    return built


def state(oracle: Any) -> dict[str, Any]:
    """Returns the state of an oracle as plain JSON values."""
    trials = {name: trial.get_state() for name, trial in oracle.trials.items()}
    return {"oracle": oracle.get_state(), "trials": trials}


def restore(oracle: Any, saved: Mapping[str, Any]) -> None:
    """Gives a new oracle the state of an earlier one.

    Args:
      saved: the state, as the function `state` returned it.
    """
    oracle.trials = {name: Trial.from_state(trial) for name, trial in saved["trials"].items()}
    oracle.set_state(saved["oracle"])


def propose(oracle: Any) -> Any | None:
    """Returns the next trial, or one that a kill interrupted; None if no new values are left."""
    if hasattr(oracle, "_random_state"):
        # The seed depends only on the number of trials, so that a resumed search proposes the same
        # trials as an unbroken one.
        oracle._random_state = np.random.RandomState(oracle.seed + len(oracle.trials))
    # One thread, since a Gaussian process on a few dozen trials is too small for more. Its warning
    # about fields that make no difference is harmless.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        trial = oracle.create_trial(TUNER)
    return trial if trial.status == TrialStatus.RUNNING else None


def trials_until_whole(oracle: Any, epochs: int) -> int | None:
    """Returns the number of the first trial that Hyperband trains for all epochs, counted from 1.

    Returns None if the space has fewer combinations of values than Hyperband's first round needs,
    since the search would end in that round.

    Args:
      oracle: a Hyperband oracle that is used for nothing else, since counting runs it.
    """
    for count in itertools.count(1):
        trial = propose(oracle)
        if trial is None:
            return None
        if trial.hyperparameters.values["tuner/epochs"] == epochs:
            break
        tell(oracle, trial, float(-count))
    return count


def values_of(trial: Any, entries: Mapping[str, tuple | Range]) -> dict[str, Any]:
    """Returns `{field: value}` for a trial of KerasTuner; with Hyperband also its `fit.epochs`."""
    values = {}
    for name, entry in entries.items():
        value = trial.hyperparameters.values[name]
        if isinstance(entry, tuple):
            values[name] = entry[value]
        else:
            shortened = float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
            # Rounding, here or in KerasTuner, must not leave the range.
            values[name] = min(max(shortened, entry.min), entry.max)
    if epochs := trial.hyperparameters.values.get("tuner/epochs"):
        values[EPOCHS_FIELD] = epochs
    return values


def tell(oracle: Any, trial: Any, score: float) -> None:
    """Reports a trial's score to the oracle; the score is finite, and higher is better."""
    oracle.update_trial(trial.trial_id, {SCORE: score})
    trial.status = TrialStatus.COMPLETED
    oracle.end_trial(trial)
