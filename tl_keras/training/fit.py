"""Trains a network epoch by epoch, with checkpoints from which a killed run resumes.

A checkpoint holds the current weights, the optimiser state, the weights to keep (such as those of
the best epoch) and the history of epochs. It is written at the end of each epoch and, during a long
epoch, every `fit.checkpoint_minutes`; training continues meanwhile.
All randomness is a function of (seed, epoch, step), so a killed and resumed run ends with exactly
the same bits as an uninterrupted one.
"""

import errno
import json
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from tl_keras.config.fit import FitConfig
from tl_keras.run.files import replacing
from tl_keras.run.progress import progress
from tl_keras.training.learner import Learner, Settings
from tl_keras.training.plan import Plan, rate_of


def best_epoch(history: list[dict[str, Any]]) -> int:
    """Returns the number (counted from 1) of the epoch with the lowest validation loss."""
    return min(range(len(history)), key=lambda i: history[i]["val_loss"]) + 1


# Maps an epoch and its first step to the remaining batches of (inputs, targets, weights).
Epochs = Callable[[int, int], Iterable[tuple[tf.Tensor, ...]]]


@dataclass(frozen=True)
class Fit:
    """The network, data and settings of one training.

    Attributes:
      stage: name of the stage in metrics.jsonl, `finetune` or `scratch`.
      learner: the network and its optimiser.
      data: a function from an epoch and its first step to the batches that remain in the epoch.
      validate: returns `val_loss` and the task's other `val_...` metrics for the network's current
        weights; None without a validation set.
      plan: number of epochs and steps, peak learning rate, and which weights to keep.
      config: the other settings, such as optimiser and weight decay.
      seed: seed of dropout, which also depends on the epoch.
    """

    stage: str
    learner: Learner
    data: Epochs
    validate: Callable[[], dict[str, float]] | None
    plan: Plan
    config: FitConfig
    seed: int


def fit(run: Fit, checkpoint: Path, publish: Callable[[list[dict]], None]) -> list[dict[str, Any]]:
    """Trains the network and returns the history: one record per epoch.

    At the end, the network has the weights that `plan.keep` names. With `best`, these are the
    weights of the epoch with the lowest validation loss, and training stops after `fit.patience`
    epochs without improvement. With `average`, they are the average over the last half of all
    epochs (SWA, arXiv 1803.05407). The average does not depend on validation: on a few dozen
    examples, the best of sixty epochs may be best by luck. With `last`, they are the weights of the
    last epoch.

    No epoch starts once `fit.minutes` have passed. A training that was killed resumes from
    `checkpoint`.

    Args:
      checkpoint: file to resume from and to write to.
      publish: called with the history at the start and after each epoch, to write it to files.

    Raises:
      FloatingPointError: the loss became NaN or infinite.
    """
    learner = run.learner
    learner.begin()
    state = State.load(checkpoint, learner) or State([], learner.values())
    publish(state.history)
    if state.history or state.losses:
        step = f", step {len(state.losses) + 1}" if state.losses else ""
        logging.info("%s: resuming at epoch %d%s", run.stage, len(state.history) + 1, step)
    # A thread writes checkpoints during training; waiting would add half to a short epoch's time.
    with ThreadPoolExecutor(1) as writer:
        written: list[Future] = []

        def save(state: State) -> None:
            for earlier in written:
                earlier.result()
            now = [variable.numpy() for variable in _resumed(learner)]
            written[:] = [writer.submit(_write, state, checkpoint, now, publish)]

        for epoch in range(len(state.history), run.plan.epochs):
            if run.plan.keep == "best" and _is_exhausted(state.history, run.plan.patience):
                break
            if run.config.minutes and _elapsed(state.history) >= 60 * run.config.minutes:
                logging.info("%s: stopping, because the time limit fit.minutes is over", run.stage)
                break
            state = _train_epoch(run, epoch, state, save)
            save(state)
        for last in written:
            last.result()
    learner.end(state.kept)
    return state.history


def _write(
    state: "State", checkpoint: Path, now: list[np.ndarray], publish: Callable[[list[dict]], None]
) -> None:
    """Writes the checkpoint, then publishes the history of epochs.

    In this order, a resumed run never trains an epoch again that was already published.
    """
    state.save(checkpoint, now)
    publish(state.history)


def _train_epoch(run: Fit, epoch: int, state: "State", save: Callable[["State"], None]) -> "State":
    started = time.monotonic() - state.seconds
    loss, rate = _steps(run, epoch, state, save)
    values = run.learner.values()
    if run.learner.average is not None:
        run.learner.set(values)
    metrics = run.validate() if run.validate else {}
    # The last step may have made the weights NaN after a finite training loss.
    if not np.isfinite(metrics.get("val_loss", 0.0)):
        raise _diverged(metrics["val_loss"], epoch, run.plan)
    record = {
        "stage": run.stage,
        "epoch": epoch,
        "seconds": round(_elapsed(state.history) + time.monotonic() - started, 3),
        "learning_rate": rate,
        "loss": loss,
        **metrics,
    }
    kept = _kept(run.plan, values, record, state)
    if run.learner.average is not None:  # Training continues from the weights, not their average.
        run.learner.set([run.learner.parameters.numpy(), *values[1:]])
    _log(record, run.plan.epochs)
    return State([*state.history, record], kept)


def _diverged(loss: float, epoch: int, plan: Plan) -> FloatingPointError:
    return FloatingPointError(
        f"fit.learning_rate: the loss became {loss} in epoch {epoch + 1} at the peak learning rate "
        f"{plan.learning_rate}; choose a lower learning rate and another --workdir"
    )


def _steps(
    run: Fit, epoch: int, state: "State", save: Callable[["State"], None]
) -> tuple[float, float]:
    """Trains the remaining steps of an epoch; returns its mean loss and last learning rate."""
    plan, losses, rate, first = run.plan, [*state.losses], 0.0, len(state.losses)
    if not first:
        _seed_dropout(run.learner.network, run.seed, epoch)
    started = saved = time.monotonic()
    decay = run.config.weight_decay if run.config.optimizer == "adamw" else 0.0
    smoothing, clip_norm = run.config.label_smoothing, run.config.clip_norm or math.inf
    title = f"{run.stage} {epoch + 1}/{plan.epochs}"
    with progress(None, title, plan.steps, " steps", first) as bar:
        for step, batch in enumerate(run.data(epoch, first), epoch * plan.steps + first):
            now = time.monotonic()
            if losses and now - saved >= 60 * run.config.checkpoint_minutes:
                _mean(losses, epoch, plan)
                seconds = state.seconds + now - started
                save(replace(state, losses=tuple(map(float, losses)), seconds=seconds))
                saved = now
            rate = rate_of(plan, run.config.warmup, step)
            settings = Settings(rate, decay, smoothing, clip_norm, run.config.ema)
            losses.append(run.learner.step(*batch, settings.tensor()))
            bar.update(1)
    return _mean(losses, epoch, plan), rate


def _mean(losses: Sequence[tf.Tensor | float], epoch: int, plan: Plan) -> float:
    """Returns the mean loss. Raises FloatingPointError if it is NaN or infinite."""
    loss = float(np.mean([float(loss) for loss in losses]))
    if not np.isfinite(loss):
        raise _diverged(loss, epoch, plan)
    return loss


def _kept(
    plan: Plan, values: list[np.ndarray], record: dict[str, Any], state: "State"
) -> list[np.ndarray]:
    """Returns the weights to keep (see `plan.keep`), updated with the weights `values` of an epoch.

    Args:
      values: the weights at the end of the epoch, see `Learner.values`.
      record: the epoch's record in the history.
      state: the state before this epoch, with the weights kept so far.
    """
    if plan.keep == "last":
        return values
    if plan.keep == "best":
        better = all(record["val_loss"] < old["val_loss"] for old in state.history)
        return values if better else state.kept
    count = record["epoch"] + 1 - plan.epochs // 2
    if count <= 1:
        return values
    # Integer counters, such as those of dropout, are not averaged.
    return [
        old + (new - old) / np.float32(count) if new.dtype.kind == "f" else new
        for old, new in zip(state.kept, values, strict=True)
    ]


def _log(record: dict[str, Any], epochs: int) -> None:
    line = f"{record['stage']} {record['epoch'] + 1}/{epochs}: loss {record['loss']:.3f}"
    logging.info("%s", ", ".join([line, *validated(record)]))


def validated(record: Mapping[str, Any]) -> list[str]:
    """Returns the validation metrics of a metrics.jsonl record as text: `validation loss 0.123`."""
    measured = {name.removeprefix("val_"): record[name] for name in record if name[:4] == "val_"}
    return [f"validation {name} {value:.3f}" for name, value in measured.items()]


def _elapsed(history: list[dict[str, Any]]) -> float:
    return history[-1]["seconds"] if history else 0.0


def _is_exhausted(history: list[dict[str, Any]], patience: int) -> bool:
    losses = [record["val_loss"] for record in history]
    return len(losses) > patience and min(losses[:-patience]) <= min(losses[-patience:])


def _seed_dropout(network: keras.Model, seed: int, epoch: int) -> None:
    """Sets the random states of the dropout layers as a function of seed and epoch.

    This is necessary because .keras and .weights.h5 files do not contain these states.
    """
    for i, variable in _seeds(network).items():
        variable.assign(np.array([(seed * 7919 + i) % 2**32, epoch], np.uint32))


def _seeds(network: keras.Model) -> dict[int, keras.Variable]:
    """Returns the random states of dropout layers, by position among the network's variables."""
    variables = enumerate(network.variables)
    return {i: state for i, state in variables if state.path.endswith("seed_generator_state")}


def _resumed(learner: Learner) -> list[Any]:
    """Returns the variables that a checkpoint saves and restores.

    They include the random states of dropout, for checkpoints in the middle of an epoch.
    """
    return [*learner.state, *_seeds(learner.network).values()]


def speed_up_batch_norm(model: keras.Model, total_steps: int) -> None:
    """Lowers the momentum of batch norm, so that a short training is enough for its statistics.

    Batch norm averages its statistics over the last steps, and the momentum of Keras Applications
    (0.99 or 0.999) needs thousands of steps. Even an average over a twentieth of all steps is too
    old while the weights still change fast: validation stays at chance level.

    Args:
      total_steps: number of steps of the whole training.
    """
    momentum = 1 - 1 / np.clip(0.01 * total_steps, 5, 100)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = float(min(layer.momentum, momentum))


def _append(stream: BinaryIO, array: np.ndarray, file: Path) -> None:
    """Appends an array to an open file; a full disk raises OSError with the right `errno`."""
    try:
        np.save(stream, array, allow_pickle=False)
    except OSError as error:
        if error.errno is not None:
            raise
        # On a full disk, NumPy reports how many bytes it wrote but sets no errno.
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file)) from error


@dataclass(frozen=True)
class State:
    """The part of a checkpoint that is not in variables of the learner.

    Attributes:
      history: one record per finished epoch.
      kept: the weights to keep so far (see `plan.keep`), in the form of `Learner.values`.
      losses: losses of the finished steps of the current epoch.
      seconds: duration of these steps.
    """

    history: list[dict[str, Any]]
    kept: list[np.ndarray]
    losses: tuple[float, ...] = ()
    seconds: float = 0.0

    def save(self, file: Path, now: list[np.ndarray]) -> None:
        """Writes the checkpoint: this state and the current values of variables.

        Args:
          now: values of the variables that `_resumed` returns, in the same order.
        """
        # Arrays are appended to one file; the checksums of a zip file take longer than the writing.
        with replacing(file) as temporary, temporary.open("wb") as stream:
            header = {"history": self.history, "losses": self.losses, "seconds": self.seconds}
            for array in (np.array(json.dumps(header)), *self.kept, *now):
                _append(stream, array, file)

    @classmethod
    def load(cls, file: Path, learner: Learner) -> "State | None":
        """Restores the learner and its network from a checkpoint; returns the rest as a `State`.

        Returns None if the checkpoint does not exist.

        Raises:
          ValueError: another version of tl_keras wrote the file.
        """
        if not file.exists():
            return None
        variables = _resumed(learner)
        count = len(learner.values()), len(variables)
        with file.open("rb") as stream:
            header = json.loads(str(np.load(stream, allow_pickle=False)))
            if not isinstance(header, dict):
                raise ValueError(
                    f"--workdir: {str(file)!r} was written by another version of tl_keras; finish "
                    "the run with that version, or choose another --workdir"
                )
            kept, now = (
                [np.load(stream, allow_pickle=False) for _ in range(number)] for number in count
            )
        for variable, value in zip(variables, now, strict=True):
            variable.assign(value)
        others = [variable.numpy() for variable in learner.others]
        learner.set([learner.parameters.numpy(), *others])
        return cls(header["history"], kept, tuple(header["losses"]), header["seconds"])
