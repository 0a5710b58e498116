"""What finetune would do with a config, and how long it would take, without a run folder."""

import time
from collections import defaultdict
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from tl_keras import tasks
from tl_keras.config import space
from tl_keras.config.whole import RunConfig
from tl_keras.data import batches
from tl_keras.data.examples import SPLITS
from tl_keras.data.load import load
from tl_keras.data.prepared import Data, prepared
from tl_keras.data.record import refuse_leaks
from tl_keras.data.wording import left_out, shortened
from tl_keras.modalities import part
from tl_keras.training import adapt, architecture, features, suffix
from tl_keras.training.architecture import HEAD_SPLITS
from tl_keras.training.learner import Settings, learner
from tl_keras.training.network import freeze
from tl_keras.training.network import model as models
from tl_keras.training.network.fold_batch_norm import Inference
from tl_keras.training.plan import Plan, num_views

TIMED_STEPS = 3
CONVERSION = 2.0  # seconds a format; MobileNetV2 took 5 for all, and as much to time them
# Bytes a weight in the files of a run: model.keras, and each exported format.
BYTES = {"keras": 4, "saved_model": 4, "onnx": 4, "float32": 4, "float16": 2, "dynamic": 1}
BYTES |= {"int8": 1, "int16x8": 1}


def estimate(config: RunConfig) -> list[str]:
    """Lines for people: the data, the plan, seconds by phase, disk.

    The data are audited and decoded as a run does it (the audit is remembered), then one batch is
    timed forwards and a few steps of training.

    Raises:
      ValueError: what a run would refuse: the data, the weights, what of them it was trained on,
        the freeze depth.
    """
    backbone = models.pretrained(config.model, config.settings)
    started = time.monotonic()
    dataset = load(config)
    adapt.check_answers(dataset)
    for trial in space.first_trials(config):
        refuse_leaks(dataset, trial.model)
    data = prepared(dataset, config)
    found = part(config.modality, "examine").examine(dataset, data.inputs, config.settings)
    seconds = {"data": time.monotonic() - started}
    plan = architecture.plan_of(config, dataset, pretrained=config.model.is_pretrained)
    depth = adapt.depth_of(config, backbone, plan)
    seconds |= _seconds(config, data, backbone, plan, depth.cut)
    return [
        *_of_data(data, found),
        f"model: {config.model.backbone}, {backbone.count_params():,} parameters below the head, "
        f"{_frozen(depth)}",
        f"training: at most {plan.epochs} epochs of {plan.steps} steps of "
        f"{min(config.fit.batch_size, len(data.inputs['train']))} {dataset.nouns[1]}, peak "
        f"learning rate {plan.learning_rate:g}",
        *_times(seconds, plan),
        *_of_search(config),
        *_disk(config, data, backbone),
    ]


def _of_data(data: Data, found: dict) -> list[str]:
    dataset = data.dataset
    counts = ", ".join(f"{len(dataset.splits[split])} {split}" for split in SPLITS)
    what = tasks.of(dataset.task, "words").counted(dataset.classes)
    lines = [f"data: {what}; {counts} {dataset.nouns[1]}"]
    lines += [f"  {line}" for line in left_out(dataset.quarantined)]
    lines += [f"  {warning}" for warning in dataset.warnings]
    one, many = tasks.of(dataset.task, "names").NOUNS
    rare = defaultdict(list)
    for entry in found["rare"]:
        rare[entry["why"]].append(entry)
    for why, entries in rare.items():
        if len(entries) == 1:
            lines.append(f"  {one} {entries[0]['class']!r}: {entries[0]['n']}, {why}")
        else:
            named = shortened([entry["class"] for entry in entries])
            lines.append(f"  {len(entries)} {many}, each {why}: {named}")
    if pairs := found.get("near_duplicates"):
        lines.append(f"  {len(pairs)} pairs of near-duplicates across splits or labels")
    return lines


def _frozen(depth: freeze.Freeze) -> str:
    return f"frozen up to {depth.block or depth.cut}" if depth.cut else "nothing frozen"


def _seconds(
    config: RunConfig, data: Data, backbone: keras.Model, plan: Plan, cut: str | None
) -> dict[str, float]:
    """Seconds by phase: measured a batch or step, times their number."""
    inputs = data.inputs
    sizes = {split: len(inputs[split]) for split in SPLITS}
    batch = next(iter(batches.evaluation(inputs["train"], features.BATCH_SIZE)))
    infer = Inference(backbone)
    forward = _timed(lambda: infer(batch).numpy())[1] / len(batch)
    seconds = {}
    if config.model.is_pretrained:
        seconds["features"] = forward * (sizes["train"] + sizes["val"])
    if cut != backbone.operations[-1].name:
        first, step = _step(config, data, backbone, plan, cut)
        epoch = plan.steps * step + sizes["val"] * forward
        seconds["finetune"] = first + plan.epochs * epoch
    # Three candidates on validation in its views, then both splits in as many as asked for.
    measured = sizes["val"] + sizes["test"]
    chosen = 3 * (1 + num_views(sizes["val"])) * sizes["val"]
    seconds["evaluate"] = forward * (chosen + config.evaluate.views * measured)
    a_format = CONVERSION + forward * measured
    seconds["export"] = len(config.export.formats) * a_format
    return seconds


def _step(
    config: RunConfig, data: Data, backbone: keras.Model, plan: Plan, cut: str | None
) -> tuple[float, float]:
    model = architecture.with_random_head(backbone, config, data.dataset)
    logits = models.logits_of(architecture.to_train(model, config, data.dataset))
    network = logits  # From scratch all of it is trained.
    if config.model.is_pretrained:
        prefix, above = suffix.halves(logits, cut)
        network = above if prefix is None else suffix.with_prefix(prefix, above, "float32")
    step = learner(network, config.fit, task=config.task).step
    place = tf.Variable([0, 0], dtype=tf.int64, trainable=False)
    how = architecture.reading(config, data.dataset)
    batch = next(iter(batches.training(data.inputs["train"], how, place)))
    settings = Settings(plan.learning_rate, config.fit.weight_decay).tensor()
    return _timed(lambda: step(*batch, settings).numpy())


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the first call, which traces, and of one later, the median of a few."""
    seconds = []
    for _ in range(1 + TIMED_STEPS):
        started = time.monotonic()
        work()
        seconds.append(time.monotonic() - started)
    return seconds[0], float(np.median(seconds[1:]))


def _of_search(config: RunConfig) -> list[str]:
    search = config.search
    if not search.wanted:
        return []
    budget = [f"{search.trials} trials"] if search.trials else []
    budget += [f"{search.minutes:g} minutes"] if search.minutes else []
    return [
        f"search: {' or '.join(budget)} over {', '.join(search.space)}; one at the config's own "
        "values takes what the training above does, or less where activations are kept"
    ]


def _times(seconds: dict[str, float], plan: Plan) -> list[str]:
    phases = ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items())
    total = sum(seconds.values())
    about = f"{total:.0f} s" if total < 120 else f"{total / 60:.0f} min"
    early = f"; it stops after {plan.patience} epochs without gain"
    return [
        f"time: about {about} ({phases}), from a timed batch{early if plan.keep == 'best' else ''}"
    ]


def _disk(config: RunConfig, data: Data, backbone: keras.Model) -> list[str]:
    weights = backbone.count_params()
    files = sum(weights * BYTES[name] for name in ("keras", *config.export.formats))
    # While it trains: weights now and best, two moments of the optimiser.
    checkpoint = 16 * weights
    channels = backbone.output.shape[-1]
    kept = sum(4 * channels * len(data.inputs[split]) for split in HEAD_SPLITS)
    kept = 0 if not config.model.is_pretrained else kept
    return [
        f"disk: run folder {files / 1e6:.0f} MB, {checkpoint / 1e6:.0f} MB more while it trains; "
        f"cache {kept / 1e6:.0f} MB of features, at most {config.cache.max_bytes / 1e9:g} GB in all"
    ]
