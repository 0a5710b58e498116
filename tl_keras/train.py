"""fit: the head on kept features, then the layers above the freeze depth, epoch by epoch.

The loop over epochs is ours, each epoch is Keras's `fit`: what an epoch needs to be repeated
(weights, optimiser, kept weights, history) is written at its end, and all that is random is a
function of (seed, epoch), so a killed run ends bit-equal to an unbroken one.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging
from sklearn.linear_model import LogisticRegression
from tqdm import tqdm

from tl_keras.config import FitConfig
from tl_keras.data.batches import class_weights
from tl_keras.evaluate import log_loss, softmax
from tl_keras.files import replacing


@dataclass(frozen=True)
class Plan:
    """What `auto` came to, and what follows from the size of the data."""

    freeze: float | str
    epochs: int
    learning_rate: float  # the peak
    steps: int  # an epoch
    keep: str  # `average` or `best`
    patience: int  # epochs without a better one, after which a fit that keeps the best ends


def plan(config: FitConfig, num_train: int, steps: int, pretrained: bool) -> Plan:
    """Resolves `auto` by the number of training examples: a pure function.

    After BiT-HyperRule (arXiv 1912.11370): depth and steps grow with the data, the rate stays.
    Epochs fall with the root of the number: 30 up to 222 images, 20 for 500, 5 from 8,000 on.
    Without pretrained weights nothing is frozen, the schedule is long, and so is the patience:
    validation may stay at chance for hundreds of steps.
    """
    if pretrained:
        freeze = 0.5 if num_train < 500 else 0.25 if num_train < 5000 else 0.0
        epochs, learning_rate = np.clip(20 * np.sqrt(500 / num_train), 5, 30), 3e-4
    else:
        freeze, epochs, learning_rate = 0.0, np.clip(3000 / steps, 5, 300), 2e-3
    return Plan(
        freeze if config.freeze == "auto" else config.freeze,
        round(float(epochs)) if config.epochs == "auto" else config.epochs,
        learning_rate if config.learning_rate == "auto" else config.learning_rate,
        steps,
        ("average" if pretrained else "best") if config.keep == "auto" else config.keep,
        max(10, round(300 / steps)) if config.patience == "auto" else config.patience,
    )


# nats: what a likelihood-ratio test at 1% asks for, half of chi-square's quantile at one degree of
# freedom. On 20 development splits of two data sets those that gained nothing by fine-tuning came
# to 1.3 at most, the others to 5.3 at least.
MARGIN = 3.32
MAX_VIEWS, VIEWED = 8, 400  # views of an image; images in all


def num_views(num_val: int) -> int:
    """How many augmented views of each validation image the choice of `choose` leans on."""
    return int(np.clip(VIEWED // num_val, 0, MAX_VIEWS))


def choose(losses: Mapping[str, np.ndarray]) -> str:
    """Which candidate is kept: by validation, and the first one unless another is clearly better.

    On the images as they are it must be no worse, and over all their views it must make the labels
    more likely by `MARGIN`, all images together. Of twenty that are all right, whatever trained
    longest is the surest and loses on others; and twenty seen once are called well by luck, which
    views of them, rotated and zoomed as in training, average out.

    Args:
      losses: candidates from simple to complex, `(1 + views, examples)` log losses in nats, those
        of the images as they are first.
    """
    first, *others = losses
    better = [
        name
        for name in others
        if losses[name][0].sum() <= losses[first][0].sum() and gain(losses, name) > MARGIN
    ]
    return max(better, key=lambda name: gain(losses, name), default=first)


def most_accurate(accuracies: Mapping[str, float]) -> str:
    """The candidate with the best accuracy on validation; of equals the first, the simplest."""
    return max(accuracies, key=accuracies.get)


def gain(losses: Mapping[str, np.ndarray], name: str) -> float:
    """Nats by which a candidate makes all labels more likely than the first does, views' mean."""
    first = next(iter(losses))
    return float((losses[first] - losses[name]).mean(0).sum())


def can_lose(losses: np.ndarray) -> bool:
    """Whether `choose` would leave a first candidate with these losses for a perfect one."""
    perfect = np.zeros_like(losses)
    return choose({"first": losses, "perfect": perfect}) == "perfect"


@dataclass(frozen=True)
class Head:
    """A converged linear head.

    Attributes:
      kernel: `(channels, classes) float32`.
      bias: `(classes,) float32`.
      history: one record for each strength of regularisation, as metrics.jsonl takes it.
    """

    kernel: np.ndarray
    bias: np.ndarray
    history: list[dict[str, Any]]


STRENGTHS = tuple(10.0**power for power in np.arange(-4, 2.5, 0.5))  # scikit-learn's C


def fit_head(
    features: tuple[np.ndarray, np.ndarray], labels: tuple[np.ndarray, np.ndarray], balance: str
) -> Head:
    """Logistic regression on pooled features; the strength with the best validation log loss.

    Args:
      features: train and val, `(examples, channels) float32`.
      labels: train and val, `(examples,) int64`; train has every class.
      balance: `none`; `weights` and `oversample` both weigh examples by their class.
    """
    num_classes = int(labels[0].max()) + 1
    mean, deviation = features[0].mean(0), features[0].std(0) + 1e-3
    train, val = ((split - mean) / deviation for split in features)
    basis = _span(train)
    train, val = train @ basis, val @ basis
    weights = class_weights(labels[0], num_classes, "none" if balance == "none" else "weights")
    # Warm starts along increasing C: each solution is near the next.
    regression = LogisticRegression(max_iter=300, tol=1e-4, warm_start=True)
    best, history, started = None, [], time.monotonic()
    for i, strength in enumerate(tqdm(STRENGTHS, "head", unit=" fits", leave=False)):
        regression.C = strength / len(train)
        regression.fit(train, labels[0], sample_weight=weights.numpy()[labels[0]])
        kernel, bias = _both_classes(regression)
        probabilities = softmax(val @ kernel + bias)
        record = {
            "stage": "head",
            "epoch": i,
            "seconds": round(time.monotonic() - started, 3),
            "regularisation": float(1 / strength),
            "val_loss": log_loss(probabilities, labels[1]),
            "val_accuracy": float((probabilities.argmax(-1) == labels[1]).mean()),
        }
        history.append(record)
        if best is None or record["val_loss"] < best[0]:
            best = record["val_loss"], kernel, bias
    kernel = basis @ best[1] / deviation[:, None]
    bias = best[2] - mean @ kernel
    return Head(kernel.astype(np.float32), bias.astype(np.float32), history)


def _span(features: np.ndarray) -> np.ndarray:
    """`(channels, examples)` orthonormal basis of the examples, where those are fewer.

    The penalty is the same in each basis, and the solution lies in what the examples span: 150
    examples of 1280 channels are fitted in a tenth of the time.
    """
    if len(features) >= features.shape[1]:
        return np.eye(features.shape[1], dtype=features.dtype)
    return np.linalg.qr(features.T)[0]


def _both_classes(regression: LogisticRegression) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias with a column a class; scikit-learn keeps one for two classes."""
    kernel, bias = regression.coef_.T, regression.intercept_
    if kernel.shape[1] == 1:
        kernel, bias = np.hstack([-kernel, kernel]) / 2, np.hstack([-bias, bias]) / 2
    return kernel, bias


@dataclass(frozen=True)
class Fit:
    """One training of a network.

    Attributes:
      stage: `finetune` or `scratch`, as metrics.jsonl names it.
      network: inputs to logits `(batch, classes)`; its trainable weights are trained.
      data: one epoch of (inputs, targets, weights); reads the epoch from `epoch`.
      epoch: the variable that `data` reads.
      validate: gives `val_loss` and `val_accuracy` of the network as it is now.
      plan: epochs, steps and peak rate.
      config: the other choices.
      seed: with the epoch, decides dropout.
    """

    stage: str
    network: keras.Model
    data: tf.data.Dataset
    epoch: tf.Variable
    validate: Callable[[], dict[str, float]]
    plan: Plan
    config: FitConfig
    seed: int


def fit(run: Fit, checkpoint: Path, publish: Callable[[list[dict]], None]) -> list[dict[str, Any]]:
    """Trains and leaves the network with the weights that the plan keeps.

    Either of its best epoch by validation loss, and it stops after `fit.patience` epochs without a
    better one; or the average over the last half of all epochs (SWA, arXiv 1803.05407), which
    leans on no validation: a few dozen examples call one epoch in sixty best by luck.

    Goes on after the last epoch that `checkpoint` holds. `publish` gets the history, one record
    an epoch, after each epoch and at the start.

    Raises:
      FloatingPointError: the loss is no longer a number.
    """
    network = run.network
    compiled(network, run.config, run.plan)
    state = State.load(checkpoint, network) or State([], _values(network))
    publish(state.history)
    if state.history:
        logging.info("%s: going on after epoch %d", run.stage, len(state.history))
    for epoch in range(len(state.history), run.plan.epochs):
        if run.plan.keep == "best" and _is_exhausted(state.history, run.plan.patience):
            break
        state = _train_epoch(run, epoch, state)
        state.save(checkpoint, network)
        publish(state.history)
    _assign(network.variables, state.kept)
    return state.history


def compiled(network: keras.Model, config: FitConfig, plan: Plan) -> None:
    """Compiles a network, to logits, for training by a plan."""
    network.compile(optimizer(config, plan), _loss(config), jit_compile=False)
    network.optimizer.build(network.trainable_variables)


def _train_epoch(run: Fit, epoch: int, state: "State") -> "State":
    started = time.monotonic()
    run.epoch.assign(epoch)
    _seed_dropout(run.network, run.seed, epoch)
    progress = Progress(f"{run.stage} {epoch + 1}/{run.plan.epochs}", run.plan.steps)
    record = run.network.fit(run.data, shuffle=False, verbose=0, callbacks=[progress])
    raw = progress.last
    loss = record.history["loss"][0]
    if not np.isfinite(loss):
        raise FloatingPointError(
            f"fit.learning_rate: the loss became {loss} in epoch {epoch + 1} at the peak rate "
            f"{run.plan.learning_rate}; choose a lower one, and another --workdir"
        )
    metrics = run.validate()
    record = {
        "stage": run.stage,
        "epoch": epoch,
        "seconds": round(_elapsed(state.history) + time.monotonic() - started, 3),
        "learning_rate": float(run.network.optimizer.learning_rate),
        "loss": float(loss),
        **metrics,
    }
    kept = _kept(run, record, state)
    if run.config.ema:  # Training goes on from the weights, not from their average.
        _assign(run.network.trainable_variables, raw)
    _log(record, run.plan.epochs)
    return State([*state.history, record], kept)


def _kept(run: Fit, record: dict[str, Any], state: "State") -> list[np.ndarray]:
    """The weights to keep after an epoch."""
    if run.plan.keep == "best":
        better = all(record["val_loss"] < old["val_loss"] for old in state.history)
        return _values(run.network) if better else state.kept
    count = record["epoch"] + 1 - run.plan.epochs // 2
    if count <= 1:
        return _values(run.network)
    pairs = zip(state.kept, _values(run.network), strict=True)
    # Counters, such as those of dropout, stay what they are.
    return [
        old + (new - old) / np.float32(count) if new.dtype.kind == "f" else new
        for old, new in pairs
    ]


def _values(network: keras.Model) -> list[np.ndarray]:
    return [v.numpy() for v in network.variables]


def _log(record: dict[str, Any], epochs: int) -> None:
    logging.info(
        "%s %d/%d: loss %.3f, validation loss %.3f, validation accuracy %.3f",
        record["stage"],
        record["epoch"] + 1,
        epochs,
        record["loss"],
        record["val_loss"],
        record["val_accuracy"],
    )


def _elapsed(history: list[dict[str, Any]]) -> float:
    return history[-1]["seconds"] if history else 0.0


def _is_exhausted(history: list[dict[str, Any]], patience: int) -> bool:
    losses = [record["val_loss"] for record in history]
    return len(losses) > patience and min(losses[:-patience]) <= min(losses[-patience:])


def _seed_dropout(network: keras.Model, seed: int, epoch: int) -> None:
    """Neither .keras nor .weights.h5 files save these states, so they are set anew."""
    for i, variable in enumerate(network.variables):
        if variable.path.endswith("seed_generator_state"):
            variable.assign(np.array([(seed * 7919 + i) % 2**32, epoch], np.uint32))


def optimizer(config: FitConfig, plan: Plan) -> keras.optimizers.Optimizer:
    """The optimiser of `fit.optimizer`: linear warm-up, cosine decay to zero, clipping, EMA."""
    total = max(1, plan.epochs * plan.steps)
    warmup = max(1, round(config.warmup * total))
    schedule = keras.optimizers.schedules.CosineDecay(
        plan.learning_rate / warmup,
        decay_steps=max(1, total - warmup),
        warmup_target=plan.learning_rate,
        warmup_steps=warmup,
    )
    shared = {
        "learning_rate": schedule,
        "global_clipnorm": config.clip_norm,
        "use_ema": config.ema > 0,
        "ema_momentum": config.ema or 0.99,
    }
    if config.optimizer == "sgd":
        return keras.optimizers.SGD(momentum=0.9, nesterov=True, **shared)
    if config.optimizer == "adam":
        return keras.optimizers.Adam(**shared)
    return keras.optimizers.AdamW(weight_decay=config.weight_decay, **shared)


def _loss(config: FitConfig) -> keras.losses.Loss:
    return keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=config.label_smoothing
    )


def quicken_batch_norm(model: keras.Model, total_steps: int) -> None:
    """Lets batch norm's moving averages keep up with a short training from scratch.

    Keras Applications' momentum of .99 and .999 needs thousands of steps.
    """
    momentum = 1 - 1 / np.clip(0.05 * total_steps, 5, 100)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = float(min(layer.momentum, momentum))


class Progress(keras.callbacks.Callback):
    """A progress bar of an epoch's steps; with a moving average, also the weights before it.

    Keras puts the average in the weights' place at the end of `fit`.
    """

    def __init__(self, title: str, steps: int):
        super().__init__()
        self.steps = steps
        self.last: list[np.ndarray] = []
        self.bar = tqdm(total=steps, desc=title, unit=" steps", leave=False)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.bar.update(1)
        if batch == self.steps - 1 and self.model.optimizer.use_ema:
            self.last = [v.numpy() for v in self.model.trainable_variables]
        if logs:
            self.bar.set_postfix(loss=f"{logs['loss']:.3f}", refresh=False)

    def on_train_end(self, logs: dict | None = None) -> None:
        self.bar.close()


@dataclass(frozen=True)
class State:
    """What goes on after a kill: history and kept weights; the rest is in the network."""

    history: list[dict[str, Any]]
    kept: list[np.ndarray]

    def save(self, file: Path, network: keras.Model) -> None:
        """Writes history, kept weights, and the network's and its optimiser's variables."""
        arrays = _numbered("now", [v.numpy() for v in _all_variables(network)])
        arrays |= _numbered("kept", self.kept)
        with replacing(file) as temporary, temporary.open("wb") as stream:
            np.savez(stream, history=np.array(json.dumps(self.history)), **arrays)

    @classmethod
    def load(cls, file: Path, network: keras.Model) -> "State | None":
        """Restores the network; None where there is no state yet."""
        if not file.exists():
            return None
        with np.load(file, allow_pickle=False) as arrays:
            history = json.loads(str(arrays["history"]))
            now = [name for name in arrays.files if name.startswith("now")]
            kept = [name for name in arrays.files if name.startswith("kept")]
            _assign(_all_variables(network), [arrays[name] for name in sorted(now)])
            return cls(history, [arrays[name] for name in sorted(kept)])


def _all_variables(network: keras.Model) -> list[keras.Variable]:
    return [*network.variables, *network.optimizer.variables]


def _numbered(prefix: str, values: list[np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{prefix}{i:05d}": value for i, value in enumerate(values)}


def _assign(variables: list[keras.Variable], values: list[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
