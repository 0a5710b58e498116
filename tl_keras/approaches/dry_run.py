"""finetune --dry_run: estimates what finetune does with a config, without writing a run folder."""

import time
from collections import defaultdict
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from tl_keras import tasks
from tl_keras.config import space, text
from tl_keras.config.export import BYTES_PER_WEIGHT
from tl_keras.config.whole import RunConfig
from tl_keras.data.batching import batches
from tl_keras.data.examples import SPLITS
from tl_keras.data.load import load
from tl_keras.data.prepared import Data, prepared
from tl_keras.data.record import refuse_leaks
from tl_keras.data.wording import count_of, left_out, number_of, shortened
from tl_keras.modalities import part
from tl_keras.report.advice import few_examples
from tl_keras.run.budget import limits
from tl_keras.training import adapt, architecture, features, suffix
from tl_keras.training.architecture import HEAD_SPLITS
from tl_keras.training.learner import Settings, learner
from tl_keras.training.network import freeze
from tl_keras.training.network import model as models
from tl_keras.training.network.fold_batch_norm import Inference
from tl_keras.training.plan import Plan, num_views

TIMED_STEPS = 3
# Seconds to convert, check and time a format, apart from its answers. On two cores, a format took
# 2 s with MobileNetV2 (2.3 million weights), and 7 s with MiniLM-L6 or ResNet50 (23 million).
CONVERSION = 1.5
CONVERSION_PER_WEIGHT = 0.25e-6
KERAS_BYTES = 4  # per weight in model.keras


def estimate(config: RunConfig) -> list[str]:
    """Returns lines about the data, the training, the seconds of each phase and the disk space.

    The data are checked and decoded as in a run, and the results of the check are cached. Then one
    forward pass of a batch and a few training steps are timed.

    Raises:
      ValueError: a run would fail: the data, the weights or the freeze depth cannot be used, or the
        weights were trained on validation or test examples.
    """
    backbone = models.pretrained(config.model, config.settings)
    started = time.monotonic()
    dataset = load(config)
    adapt.check_answers(dataset)
    for trial in space.first_trials(config):
        refuse_leaks(dataset, trial.model)
    data = prepared(dataset, config)
    findings = part(config.modality, "examine").examine(dataset, data.inputs, config.settings)
    seconds = {"data": time.monotonic() - started}
    plan = architecture.plan_of(config, dataset, pretrained=config.model.is_pretrained)
    depth = adapt.depth_of(config, backbone, plan)
    seconds |= _seconds(config, data, backbone, plan, depth.cut)
    batch_size = min(config.fit.batch_size, len(data.inputs["train"]))
    return [
        *_of_data(data, findings),
        f"model: {config.model.backbone} with {backbone.count_params():,} parameters (without the "
        f"head), {_frozen(depth)}",
        f"training: at most {number_of(plan.epochs, 'epoch')} of {number_of(plan.steps, 'step')} "
        f"with {number_of(batch_size, *dataset.nouns)} each, peak learning rate "
        f"{plan.learning_rate:g}",
        *_times(seconds, plan),
        *_of_search(config),
        *_disk(config, data, backbone),
        *_if_few(config, data, findings),
    ]


def _if_few(config: RunConfig, data: Data, findings: dict) -> list[str]:
    """Returns lines that advise cross-validation if there are few examples; else none."""
    sizes = {split: len(data.inputs[split]) for split in SPLITS}
    n, measured = sum(sizes.values()), sizes["test"] or sizes["val"]
    line = few_examples.cross_validation(n, text.to_tree(config), findings)
    why = few_examples.sentence(n, measured, config.nouns)
    return [f"advice: {why}", f"  {line}"] if line else []


def _of_data(data: Data, findings: dict) -> list[str]:
    dataset = data.dataset
    counts = ", ".join(f"{len(dataset.splits[split])} {split}" for split in SPLITS)
    answers = tasks.of(dataset.task, "words").counted(dataset.classes)
    lines = [f"data: {answers}; {counts} {dataset.nouns[1]}"]
    lines += [f"  {line}" for line in left_out(dataset.quarantined)]
    lines += [f"  {line}" for line in (*dataset.warnings, *dataset.notes)]
    noun, nouns = tasks.of(dataset.task, "names").NOUNS
    rare = defaultdict(list)
    for entry in findings["rare"]:
        rare[entry["why"]].append(entry)
    for why, entries in rare.items():
        if len(entries) == 1:
            name, n = entries[0]["class"], entries[0]["n"]
            count = number_of(n, *dataset.nouns)
            lines.append(f"  {noun} {name!r} has {count} in train ({why})")
        else:
            names = shortened([entry["class"] for entry in entries])
            lines.append(
                f"  {len(entries)} {nouns} have few examples in train (each {why}): {names}"
            )
    if pairs := findings.get("near_duplicates"):
        lines.append(
            f"  {count_of(pairs, 'pair')} of near-duplicates in two splits or with two labels"
        )
    return lines


def _frozen(depth: freeze.Freeze) -> str:
    return f"frozen up to {depth.block or depth.cut}" if depth.cut else "nothing frozen"


def _seconds(
    config: RunConfig, data: Data, backbone: keras.Model, plan: Plan, cut: str | None
) -> dict[str, float]:
    """Returns the estimated seconds of each phase, such as seconds per step * number of steps."""
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
    # Three candidates are measured on the views of validation, then the model on the views of both
    # splits that `evaluate.views` asks for.
    num_measured = sizes["val"] + sizes["test"]
    candidates = 3 * (1 + num_views(sizes["val"])) * sizes["val"]
    seconds["evaluate"] = forward * (candidates + config.evaluate.views * num_measured)
    num_formats = len(config.export.formats)
    seconds["export"] = _export(num_formats, backbone.count_params(), forward * num_measured)
    return seconds


def _export(num_formats: int, num_weights: int, answers: float) -> float:
    """Returns the estimated seconds of the export.

    Args:
      answers: seconds in which a file answers the examples on which it is checked.
    """
    return num_formats * (CONVERSION + CONVERSION_PER_WEIGHT * num_weights + answers)


def _step(
    config: RunConfig, data: Data, backbone: keras.Model, plan: Plan, cut: str | None
) -> tuple[float, float]:
    """Returns the seconds of the first training step, including tracing, and of a later step."""
    model = architecture.with_random_head(backbone, config, data.dataset)
    logits = models.logits_of(architecture.to_train(model, config, data.dataset))
    network = logits  # All layers, for training from scratch.
    if config.model.is_pretrained:
        prefix, above = suffix.halves(logits, cut)
        network = above if prefix is None else suffix.with_prefix(prefix, above, "float32")
    step = learner(network, config.fit, layer=tasks.of(config.task, "layer")).step
    place = tf.Variable([0, 0], dtype=tf.int64, trainable=False)
    how = architecture.reading(config, data.dataset)
    batch = next(iter(batches.training(data.inputs["train"], how, place)))
    settings = Settings(plan.learning_rate, config.fit.weight_decay).tensor()
    return _timed(lambda: step(*batch, settings).numpy())


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    """Returns seconds: of the first call of `work`, with tracing, and the median of later calls."""
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
    return [
        f"search: {limits(search)}, which the time above does not include; fields: "
        f"{', '.join(search.space)}; a trial with the values of this config takes as long as the "
        "phase 'finetune' above, or less if its activations are cached"
    ]


def _times(seconds: dict[str, float], plan: Plan) -> list[str]:
    phases = ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items())
    total = sum(seconds.values())
    about = f"{total:.0f} s" if total < 120 else f"{total / 60:.0f} min"
    early = f"; training stops after {plan.patience} epochs without improvement"
    return [
        f"time: about {about} ({phases}), estimated from timed batches"
        f"{early if plan.keep == 'best' else ''}"
    ]


def _disk(config: RunConfig, data: Data, backbone: keras.Model) -> list[str]:
    weights = backbone.count_params()
    exported = sum(BYTES_PER_WEIGHT[name] for name in config.export.formats)
    files = weights * (KERAS_BYTES + exported)
    # During training: current and best weights, and two moments of the optimiser, 4 bytes each.
    checkpoint = 16 * weights
    channels = backbone.output.shape[-1]
    kept = sum(4 * channels * len(data.inputs[split]) for split in HEAD_SPLITS)
    kept = 0 if not config.model.is_pretrained else kept
    return [
        f"disk: run folder {files / 1e6:.0f} MB, and {checkpoint / 1e6:.0f} MB more during "
        f"training; {kept / 1e6:.0f} MB of features in the cache, which is limited to "
        f"{config.cache.max_bytes / 1e9:g} GB"
    ]
