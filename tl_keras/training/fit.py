"""fit: what `auto` comes to, and training epoch by epoch.

What a run needs to go on (weights, optimiser, kept weights, history) is written when an epoch ends,
and in the middle of a long one every `fit.checkpoint_minutes`, beside the training of what follows.
All that is random is a function of (seed, epoch, step), so a killed run ends bit-equal to an
unbroken one.
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
    """The number, from 1, of the epoch with the least validation loss."""
    return min(range(len(history)), key=lambda i: history[i]["val_loss"]) + 1


# From an epoch and the step that it begins at, its batches of (inputs, targets, weights).
Epochs = Callable[[int, int], Iterable[tuple[tf.Tensor, ...]]]


@dataclass(frozen=True)
class Fit:
    """One training of a network.

    Attributes:
      stage: `finetune` or `scratch`, as metrics.jsonl names it.
      learner: what is trained.
      data: the batches of an epoch.
      validate: gives `val_loss` and the task's `val_...` of the network as it is now; None where
        there is nothing to validate on.
      plan: epochs, steps and peak rate.
      config: the other choices.
      seed: with the epoch, decides dropout.
    """

    stage: str
    learner: Learner
    data: Epochs
    validate: Callable[[], dict[str, float]] | None
    plan: Plan
    config: FitConfig
    seed: int


def fit(run: Fit, checkpoint: Path, publish: Callable[[list[dict]], None]) -> list[dict[str, Any]]:
    """Trains and leaves the network with the weights that the plan keeps.

    Either of its best epoch by validation loss, and it stops after `fit.patience` epochs without a
    better one; or the average over the last half of all epochs (SWA, arXiv 1803.05407), which
    leans on no validation: a few dozen examples call one epoch in sixty best by luck.

    After `fit.minutes` no other epoch begins.

    Goes on from what `checkpoint` holds. `publish` gets the history, one record an epoch, after
    each epoch and at the start.

    Raises:
      FloatingPointError: the loss is no longer a number.
    """
    learner = run.learner
    learner.begin()
    state = State.load(checkpoint, learner) or State([], learner.values())
    publish(state.history)
    if state.history or state.losses:
        step = f", step {len(state.losses) + 1}" if state.losses else ""
        logging.info("%s: going on with epoch %d%s", run.stage, len(state.history) + 1, step)
    # Written while training goes on: a short epoch would take half as long again.
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
                logging.info("%s: fit.minutes are spent", run.stage)
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
    """In this order: an epoch that was published is never trained again."""
    state.save(checkpoint, now)
    publish(state.history)


def _train_epoch(run: Fit, epoch: int, state: "State", save: Callable[["State"], None]) -> "State":
    started = time.monotonic() - state.seconds
    loss, rate = _steps(run, epoch, state, save)
    values = run.learner.values()
    if run.learner.average is not None:
        run.learner.set(values)
    metrics = run.validate() if run.validate else {}
    if not np.isfinite(
        metrics.get("val_loss", 0.0)
    ):  # The last step's weights were no numbers any more.
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
    if run.learner.average is not None:  # Training goes on from the weights, not their average.
        run.learner.set([run.learner.parameters.numpy(), *values[1:]])
    _log(record, run.plan.epochs)
    return State([*state.history, record], kept)


def _diverged(loss: float, epoch: int, plan: Plan) -> FloatingPointError:
    return FloatingPointError(
        f"fit.learning_rate: the loss became {loss} in epoch {epoch + 1} at the peak rate "
        f"{plan.learning_rate}; choose a lower one, and another --workdir"
    )


def _steps(
    run: Fit, epoch: int, state: "State", save: Callable[["State"], None]
) -> tuple[float, float]:
    """Trains for what is left of an epoch; its mean loss, and the last step's rate."""
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
                taken = state.seconds + now - started
                save(replace(state, losses=tuple(map(float, losses)), seconds=taken))
                saved = now
            rate = rate_of(plan, run.config.warmup, step)
            settings = Settings(rate, decay, smoothing, clip_norm, run.config.ema)
            losses.append(run.learner.step(*batch, settings.tensor()))
            bar.update(1)
    return _mean(losses, epoch, plan), rate


def _mean(losses: Sequence[tf.Tensor | float], epoch: int, plan: Plan) -> float:
    """The mean loss. Raises FloatingPointError where it is no number."""
    loss = float(np.mean([float(loss) for loss in losses]))
    if not np.isfinite(loss):
        raise _diverged(loss, epoch, plan)
    return loss


def _kept(
    plan: Plan, values: list[np.ndarray], record: dict[str, Any], state: "State"
) -> list[np.ndarray]:
    """The weights to keep after an epoch that ended with `values`."""
    if plan.keep == "last":
        return values
    if plan.keep == "best":
        better = all(record["val_loss"] < old["val_loss"] for old in state.history)
        return values if better else state.kept
    count = record["epoch"] + 1 - plan.epochs // 2
    if count <= 1:
        return values
    # Counters, such as those of dropout, stay what they are.
    return [
        old + (new - old) / np.float32(count) if new.dtype.kind == "f" else new
        for old, new in zip(state.kept, values, strict=True)
    ]


def _log(record: dict[str, Any], epochs: int) -> None:
    line = f"{record['stage']} {record['epoch'] + 1}/{epochs}: loss {record['loss']:.3f}"
    logging.info("%s", ", ".join([line, *validated(record)]))


def validated(record: Mapping[str, Any]) -> list[str]:
    """What a record of metrics.jsonl says of validation, as in `validation loss 0.123`."""
    measured = {name.removeprefix("val_"): record[name] for name in record if name[:4] == "val_"}
    return [f"validation {name} {value:.3f}" for name, value in measured.items()]


def _elapsed(history: list[dict[str, Any]]) -> float:
    return history[-1]["seconds"] if history else 0.0


def _is_exhausted(history: list[dict[str, Any]], patience: int) -> bool:
    losses = [record["val_loss"] for record in history]
    return len(losses) > patience and min(losses[:-patience]) <= min(losses[-patience:])


def _seed_dropout(network: keras.Model, seed: int, epoch: int) -> None:
    """Neither .keras nor .weights.h5 files save these states, so they are set anew."""
    for i, variable in _seeds(network).items():
        variable.assign(np.array([(seed * 7919 + i) % 2**32, epoch], np.uint32))


def _seeds(network: keras.Model) -> dict[int, keras.Variable]:
    """States of dropout, by their places among the variables."""
    variables = enumerate(network.variables)
    return {i: own for i, own in variables if own.path.endswith("seed_generator_state")}


def _resumed(learner: Learner) -> list[Any]:
    """What a training goes on from: in the middle of an epoch dropout's states, too."""
    return [*learner.state, *_seeds(learner.network).values()]


def quicken_batch_norm(model: keras.Model, total_steps: int) -> None:
    """Lets batch norm's moving averages keep up with a short training from scratch.

    Keras Applications' momentum of .99 and .999 needs thousands of steps. Where the averages are
    those of a twentieth of all steps, validation stays at chance while the weights still move fast.
    """
    momentum = 1 - 1 / np.clip(0.01 * total_steps, 5, 100)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = float(min(layer.momentum, momentum))


def _append(stream: BinaryIO, array: np.ndarray, file: Path) -> None:
    """Adds an array to an open file."""
    try:
        np.save(stream, array, allow_pickle=False)
    except OSError as error:
        if error.errno is not None:
            raise
        # NumPy counts the bytes that found no room, and does not say why.
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file)) from error


@dataclass(frozen=True)
class State:
    """What goes on after a kill: history and kept weights; the rest is in the learner.

    Attributes:
      history: a record for each epoch that is done.
      kept: weights, as `Learner.values` gives them.
      losses: of the steps that are done of the epoch under way.
      seconds: that these took.
    """

    history: list[dict[str, Any]]
    kept: list[np.ndarray]
    losses: tuple[float, ...] = ()
    seconds: float = 0.0

    def save(self, file: Path, now: list[np.ndarray]) -> None:
        """Writes history, kept weights, and the values of the learner's state as it is now."""
        # One array after the other: a zip file's checksums take longer than the writing.
        with replacing(file) as temporary, temporary.open("wb") as stream:
            told = {"history": self.history, "losses": self.losses, "seconds": self.seconds}
            for array in (np.array(json.dumps(told)), *self.kept, *now):
                _append(stream, array, file)

    @classmethod
    def load(cls, file: Path, learner: Learner) -> "State | None":
        """Restores the learner and its network; None where there is no state yet."""
        if not file.exists():
            return None
        variables = _resumed(learner)
        count = len(learner.values()), len(variables)
        with file.open("rb") as stream:
            told = json.loads(str(np.load(stream, allow_pickle=False)))
            if not isinstance(told, dict):
                raise ValueError(
                    f"--workdir: {str(file)!r} was written by another version of tl_keras; finish "
                    "the run with that, or choose another --workdir"
                )
            kept, now = (
                [np.load(stream, allow_pickle=False) for _ in range(number)] for number in count
            )
        for variable, value in zip(variables, now, strict=True):
            variable.assign(value)
        others = [variable.numpy() for variable in learner.others]
        learner.set([learner.parameters.numpy(), *others])
        return cls(told["history"], kept, tuple(told["losses"]), told["seconds"])
