"""KerasTuner behind a few functions: a search's state in, the next trial's values out.

Its oracles are asked directly: trials are runs of ours, and there is no model to build. What they
know is kept in one file that is replaced as a whole; KerasTuner's own are cut in half by a kill.
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
EPOCHS_FIELD = "fit.epochs"  # What Hyperband gives a trial less of.
COLLISIONS = 500
FACTOR = 3  # Of Hyperband: epochs of a round over those of the one before it.
DIGITS = 4  # Of a value from a range: more say nothing, and are hard to read.


def oracle(config: RunConfig, epochs: int, values: Mapping[str, tuple | Range], folder: str):
    """A new KerasTuner oracle for `search.space`.

    Args:
      epochs: of a whole trial.
      values: `search.space` with nothing left to resolve.
      folder: where KerasTuner writes what nobody reads.
    """
    parameters = keras_tuner.HyperParameters()
    for name, entry in values.items():
        if isinstance(entry, tuple):  # By position: KerasTuner takes one type of value alone.
            parameters.Choice(name, list(range(len(entry))), ordered=True)
        elif space.takes_whole_numbers(config, name, entry):
            parameters.Int(name, entry.min, entry.max, sampling=entry.scale)
        else:
            parameters.Float(name, float(entry.min), float(entry.max), sampling=entry.scale)
    shared = {
        "objective": keras_tuner.Objective(SCORE, "max"),
        "hyperparameters": parameters,
        "seed": config.seed + 1,  # Of 0 it would make a random one.
    }
    if config.search.tuner == "hyperband":
        made = keras_tuner.oracles.HyperbandOracle(
            max_epochs=epochs, factor=FACTOR, hyperband_iterations=1000, **shared
        )
    else:
        kind = {
            "random": keras_tuner.oracles.RandomSearchOracle,
            "bayesian": keras_tuner.oracles.BayesianOptimizationOracle,
        }[config.search.tuner]
        made = kind(max_trials=10**6, **shared)
    made.verbose = 0
    # Draws in a row that were drawn before. Of its 20, one of twelve points left is often missed.
    made._max_collisions = COLLISIONS
    made._set_project_dir(folder, "tuner")
    return made


def state(made: Any) -> dict[str, Any]:
    """What an oracle knows, as plain JSON values."""
    trials = {name: trial.get_state() for name, trial in made.trials.items()}
    return {"oracle": made.get_state(), "trials": trials}


def restore(made: Any, known: Mapping[str, Any]) -> None:
    """Gives a new oracle what another one knew."""
    made.trials = {name: Trial.from_state(trial) for name, trial in known["trials"].items()}
    made.set_state(known["oracle"])


def propose(made: Any) -> Any | None:
    """The trial that is next, or was begun before a kill; None where the space is exhausted."""
    if hasattr(made, "_random_state"):
        # Of the number of trials alone: a resumed search proposes what an unbroken one does.
        made._random_state = np.random.RandomState(made.seed + len(made.trials))
    # A Gaussian process on a few dozen trials is too small for more threads. It warns where a field
    # makes no difference, which is no fault.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        trial = made.create_trial(TUNER)
    return trial if trial.status == TrialStatus.RUNNING else None


def trials_until_whole(made: Any, epochs: int) -> int | None:
    """How many trials a new Hyperband takes until one has all epochs; it is used up by asking.

    None where the space has fewer points than its first round wants: it would end there.
    """
    for count in itertools.count(1):
        trial = propose(made)
        if trial is None:
            return None
        if trial.hyperparameters.values["tuner/epochs"] == epochs:
            break
        tell(made, trial, float(-count))
    return count


def values_of(trial: Any, entries: Mapping[str, tuple | Range]) -> dict[str, Any]:
    """The fields of a trial; with Hyperband also its epochs."""
    found = {}
    for name, entry in entries.items():
        value = trial.hyperparameters.values[name]
        if isinstance(entry, tuple):
            found[name] = entry[value]
        else:
            shortened = float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
            # Neither digits nor KerasTuner's rounding may lead out of the range.
            found[name] = min(max(shortened, entry.min), entry.max)
    if epochs := trial.hyperparameters.values.get("tuner/epochs"):
        found[EPOCHS_FIELD] = epochs
    return found


def tell(made: Any, trial: Any, score: float) -> None:
    """Ends a trial. A higher score is better; it is finite."""
    made.update_trial(trial.trial_id, {SCORE: score})
    trial.status = TrialStatus.COMPLETED
    made.end_trial(trial)
