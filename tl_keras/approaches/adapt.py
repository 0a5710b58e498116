"""Adapts a model to a data set: head first, then the suffix (LP-FT); or all of it from scratch."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from tl_keras import backbones, features, freeze, metrics, train
from tl_keras import model as models
from tl_keras.config import RunConfig
from tl_keras.data import augment, batches, doctor
from tl_keras.data.batches import Inputs, Training
from tl_keras.data.examples import SPLITS, Dataset
from tl_keras.evaluate import fit_temperature, log_loss, log_losses, softmax
from tl_keras.features import Activations, Worth
from tl_keras.files import replacing
from tl_keras.fold import Inference, fold_batch_norm
from tl_keras.freeze import Freeze, FrozenPrefix
from tl_keras.run import Run
from tl_keras.train import Fit, Head, Plan


@dataclass(frozen=True)
class Data:
    """A data set with its prepared images by split."""

    dataset: Dataset
    inputs: dict[str, Inputs]


def prepared(dataset: Dataset, config: RunConfig) -> Data:
    """A data set with its images decoded and resized, or how to get them."""
    inputs = {
        split: batches.prepared(dataset, split, config.data, config.cache) for split in SPLITS
    }
    return Data(dataset, inputs)


def adapt(run: Run, data: Data, backbone: keras.Model) -> keras.Model:
    """The trained, calibrated model, `(size, size, 3) uint8` to probabilities.

    From scratch without pretrained weights, else LP-FT. Goes on where a killed run stopped.
    """
    if run.config.model.weights == "none":
        return from_scratch(run, data, backbone)
    return head_then_suffix(run, data, backbone)


def from_scratch(run: Run, data: Data, backbone: keras.Model) -> keras.Model:
    """Trains everything, batch norm too, starting at the backbone's weights."""
    config = run.config
    model = add_head(backbone, config, data.dataset)
    plan = plan_of(config, data.dataset, pretrained=False)
    network = models.logits_of(in_precision(model, config, data.dataset))
    train.quicken_batch_norm(network, plan.steps * plan.epochs)
    history = _fit(run, data, network, plan)
    model.set_weights(network.get_weights())
    _calibrate(model, data.inputs["val"])
    run.add(model=_describe(model, config, Freeze(0.0, None, None, 0, 0), "scratch"))
    logging.info("trained %d epochs from scratch", len(history))
    return model


def _fit(run: Run, data: Data, network: keras.Model, plan: Plan) -> list[dict]:
    config, how = run.config, reading(run.config, data.dataset)
    epoch = tf.Variable(0, dtype=tf.int64, trainable=False)
    if data.dataset.drawn_seed is None:
        batches_of_epoch = batches.training(data.inputs["train"], how, epoch)
    else:
        batches_of_epoch = batches.drawn(data.dataset, how, config.data.image_size, epoch)
    validate = _validation(network, data.inputs["val"])
    fit = Fit("scratch", network, batches_of_epoch, epoch, validate, plan, config.fit, config.seed)
    with run.timed("finetune"), metrics.publisher(run.workdir, []) as publish:
        return train.fit(fit, run.checkpoint / "scratch.npz", publish)


def head_then_suffix(run: Run, data: Data, backbone: keras.Model) -> keras.Model:
    """LP-FT (arXiv 2202.10054): a converged head, then the layers above the freeze depth.

    Head alone, fine-tuned, and the mean of their weights (WiSE-FT, arXiv 2109.01903) stand on
    validation; the head is kept unless validation speaks clearly for another, see `train.choose`.
    """
    config, val = run.config, data.inputs["val"]
    check_classes(data.dataset)
    model = add_head(backbone, config, data.dataset)
    plan = plan_of(config, data.dataset, pretrained=True)
    depth = depth_of(config, backbone, plan)
    head = _fit_head(run, data, backbone)
    models.set_head(model, head.kernel, head.bias)
    tunes = depth.cut != backbone.operations[-1].name and plan.epochs > 0
    infer = Inference(models.logits_of(model))
    seen = _seen_for_choice(config, data) if tunes else val
    candidates = {"head": _candidate(model, infer, seen, len(val))}
    if tunes and _may_gain(run, candidates):
        _fit_suffix(run, data, model, head, depth, plan)
        tuned = model.get_weights()
        pairs = zip(candidates["head"].weights, tuned, strict=True)
        model.set_weights([(before + after) / 2 for before, after in pairs])
        candidates["mix"] = _candidate(model, infer, seen, len(val))
        model.set_weights(tuned)
        candidates["finetuned"] = _candidate(model, infer, seen, len(val))
    kept = _keep_best(run, model, candidates)
    run.add(model=_describe(model, config, depth, kept))
    return model


def check_classes(dataset: Dataset) -> None:
    """Glyphs are drawn at random: a few hundred leave out some class, which a head cannot fit.

    Raises:
      ValueError: a class has no training image.
    """
    present = {example.label for example in dataset.splits["train"]}
    missing = [name for label, name in enumerate(dataset.classes) if label not in present]
    if missing:
        raise ValueError(
            f"data.num_examples: expected images of all {len(dataset.classes)} classes in train; "
            f"{len(missing)} have none, {missing[0]!r} among them; set it higher"
        )


def add_head(backbone: keras.Model, config: RunConfig, dataset: Dataset) -> keras.Model:
    """The backbone with a random head for the data set's classes; see `model.add_head`."""
    keras.utils.set_random_seed(config.seed)
    return models.add_head(backbone, dataset.classes, config.model.dropout)


def plan_of(config: RunConfig, dataset: Dataset, pretrained: bool) -> Plan:
    """What the config's `auto` fields come to on a data set."""
    count = len(dataset.splits["train"])
    steps = batches.num_steps(count, config.fit.batch_size)
    plan = train.plan(config.fit, count, steps, pretrained)
    logging.info(
        "plan: freeze %s, %d epochs of %d steps, peak learning rate %g",
        *(plan.freeze, plan.epochs, plan.steps, plan.learning_rate),
    )
    return plan


def depth_of(config: RunConfig, backbone: keras.Model, plan: Plan) -> Freeze:
    """Where the plan's freeze depth cuts the backbone."""
    return freeze.resolve(backbone, backbones.block_pattern(config.model.backbone), plan.freeze)


def reading(config: RunConfig, dataset: Dataset) -> Training:
    """How the config has the training images read."""
    return Training(
        config.fit.batch_size,
        config.seed,
        config.data.augment,
        config.fit.views,
        config.data.balance,
        len(dataset.classes),
    )


def in_precision(model: keras.Model, config: RunConfig, dataset: Dataset) -> keras.Model:
    """The model, or one of equal weights that computes in half precision."""
    if not config.fit.mixed_precision:
        return model
    # Not float16, which would need loss scaling and is slow on CPUs.
    return models.in_precision(model, config.model, dataset.classes, "mixed_bfloat16")


HEAD_SPLITS = ("train", "val")


def _fit_head(run: Run, data: Data, backbone: keras.Model) -> Head:
    file = run.checkpoint / "head.npz"
    if file.exists():
        with np.load(file, allow_pickle=False) as saved:
            head = Head(saved["kernel"], saved["bias"], json.loads(str(saved["history"])))
    else:
        with run.timed("features"):
            splits = [_activations(run, data, backbone, split) for split in HEAD_SPLITS]
        with run.timed("head"):
            inputs = [activations.inputs for activations in splits]
            head = train.fit_head(
                (inputs[0].array, inputs[1].array),
                (inputs[0].labels, inputs[1].labels),
                run.config.data.balance,
            )
            run.find(**doctor.suspected(data.dataset, dict(zip(HEAD_SPLITS, inputs, strict=True))))
        with replacing(file) as temporary, temporary.open("wb") as stream:
            history = np.array(json.dumps(head.history))
            np.savez(stream, kernel=head.kernel, bias=head.bias, history=history)
    with metrics.publisher(run.workdir, []) as publish:
        publish(head.history)
    best = min(head.history, key=lambda record: record["val_loss"])
    logging.info("head: validation accuracy %.3f", best["val_accuracy"])
    return head


def _activations(run: Run, data: Data, prefix: keras.Model, split: str) -> Activations:
    found = features.compute(prefix, data.inputs[split], data.dataset, split, run.config)
    key = f"{prefix.operations[-1].name}/{split}"
    decided = run.record.get("features", {}).get(key, asdict(features.ONE_VIEW))
    measured = {
        "cached": found.cached,
        "bytes": found.bytes,
        "seconds": round(found.seconds, 3),
    }
    run.add(features={key: {**decided, **measured}})
    return found


def _fit_suffix(
    run: Run, data: Data, model: keras.Model, head: Head, depth: Freeze, plan: Plan
) -> None:
    """Fine-tunes the layers above the freeze depth, in place."""
    config = run.config
    twin = in_precision(model, config, data.dataset)
    logits = models.logits_of(twin)
    prefix, suffix = halves(logits, depth.cut)
    networks, inputs = {"train": suffix, "val": suffix}, dict(data.inputs)
    if prefix is not None:
        with run.timed("features"):
            for split, keeps in _keeps_activations(run, prefix, data.inputs, plan).items():
                if keeps:
                    inputs[split] = _activations(run, data, prefix, split).inputs
                else:
                    networks[split] = behind(prefix, suffix)
    epoch = tf.Variable(0, dtype=tf.int64, trainable=False)
    training = batches.training(inputs["train"], reading(config, data.dataset), epoch)
    validate = _validation(networks["val"], inputs["val"])
    network = networks["train"]
    fit = Fit("finetune", network, training, epoch, validate, plan, config.fit, config.seed)
    with run.timed("finetune"), metrics.publisher(run.workdir, head.history) as publish:
        train.fit(fit, run.checkpoint / "finetune.npz", publish)
    model.set_weights(twin.get_weights())


def halves(network: keras.Model, cut: str | None) -> tuple[keras.Model | None, keras.Model]:
    """Prefix up to `cut` (None: nothing is frozen), and suffix with its batch norm frozen."""
    prefix, suffix = freeze.split(network, cut) if cut else (None, network)
    # Statistics of a few hundred examples are worse than those of the pretraining.
    freeze.freeze_batch_norm(suffix)
    return prefix, fold_batch_norm(suffix)


def behind(prefix: keras.Model, suffix: keras.Model) -> keras.Model:
    """The suffix with the prefix run before it at each step, in inference mode."""
    inputs = keras.Input(prefix.input.shape[1:], dtype=prefix.input.dtype)
    return keras.Model(inputs, suffix(FrozenPrefix(prefix)(inputs)))


def _keeps_activations(
    run: Run, prefix: keras.Model, inputs: dict[str, Inputs], plan: Plan
) -> dict[str, bool]:
    """By split, whether the prefix's activations are kept."""
    max_bytes, cut = run.config.cache.max_bytes, prefix.operations[-1].name

    def train() -> Worth:
        if run.config.data.augment:
            return Worth(False, "augmentation shows another view each time")
        return features.worth_keeping(prefix, inputs["train"], plan.epochs, max_bytes)

    keeps = {"train": _decided(run, f"{cut}/train", train)}
    taken = features.bytes_of(prefix, inputs["train"]) if keeps["train"] else 0
    keeps["val"] = _decided(
        run, f"{cut}/val", lambda: features.fitting(prefix, inputs["val"], max_bytes - taken)
    )
    return keeps


def _decided(run: Run, key: str, decide: Callable[[], Worth]) -> bool:
    """Decides once whether activations are kept; the record repeats it in a resumed run."""
    recorded = run.record.get("features", {}).get(key)
    if recorded:
        return recorded["keep"]
    worth = decide()
    nothing_yet = {"cached": False, "bytes": 0, "seconds": 0.0}
    run.add(features={key: {**asdict(worth), **nothing_yet}})
    logging.info("activations %s are %s: %s", key, KEPT[worth.keep], worth.why)
    return worth.keep


KEPT = {True: "kept", False: "computed at each step"}


def _validation(network: keras.Model, inputs: Inputs) -> Callable[[], dict[str, float]]:
    """A function that measures a network, to logits, as its weights are when it is called."""

    infer = Inference(network)

    def validate() -> dict[str, float]:
        probabilities = softmax(features.outputs(infer, inputs))
        right = probabilities.argmax(-1) == inputs.labels
        return {
            "val_loss": log_loss(probabilities, inputs.labels),
            "val_accuracy": float(right.mean()),
        }

    return validate


@dataclass(frozen=True)
class Candidate:
    """Weights that may be kept, and what they come to on validation, calibrated."""

    weights: list[np.ndarray]
    losses: np.ndarray  # (1 + views, val), see `train.choose`
    right: np.ndarray  # (val,) bool
    temperature: float

    @property
    def accuracy(self) -> float:
        """On the images as they are."""
        return float(self.right.mean())


def _seen_for_choice(config: RunConfig, data: Data) -> Inputs:
    """The validation images as they are and in their views, one after the other."""
    how, val = reading(config, data.dataset), data.inputs["val"]
    if config.fit.choose_by == "accuracy" or not augment.num_columns(how.augmentations):
        return val
    return batches.with_views(val, how, train.num_views(len(val)))


def _candidate(model: keras.Model, infer: Inference, seen: Inputs, num_val: int) -> Candidate:
    """The model's weights as they are; `infer` gives its logits."""
    logits, labels = features.outputs(infer, seen), seen.labels[:num_val]
    temperature = fit_temperature(logits[:num_val], labels)
    probabilities = softmax(logits / temperature)
    losses = log_losses(probabilities, seen.labels).reshape(-1, num_val)
    right = probabilities[:num_val].argmax(-1) == labels
    return Candidate(model.get_weights(), losses, right, temperature)


def _may_gain(run: Run, candidates: dict[str, Candidate]) -> bool:
    """Whether fine-tuning could be chosen over the head alone; if not, the record says so."""
    (head,) = candidates.values()
    by_accuracy = run.config.fit.choose_by == "accuracy"
    if head.accuracy < 1 if by_accuracy else train.can_lose(head.losses):
        return True
    why = (
        f"left out: the head alone is so good on the {len(head.right)} validation examples that no "
        "other could be chosen over it"
    )
    run.add(model={"fine_tuning": why})
    logging.info("fine-tuning is %s", why)
    return False


def _keep_best(run: Run, model: keras.Model, candidates: dict[str, Candidate]) -> str:
    """Leaves the model with the chosen candidate's weights, calibrated."""
    losses, head = {name: c.losses for name, c in candidates.items()}, candidates["head"].right
    if run.config.fit.choose_by == "accuracy":
        kept = train.most_accurate({name: c.accuracy for name, c in candidates.items()})
    else:
        kept = train.choose(losses)
    model.set_weights(candidates[kept].weights)
    models.fold_temperature(model, candidates[kept].temperature)
    record = {
        name: {
            "log_loss": float(candidate.losses[0].mean()),
            "accuracy": candidate.accuracy,
            "temperature": candidate.temperature,
            "views": len(candidate.losses),
            "gain": train.gain(losses, name),
            # Examples that it alone has right, and that the head alone has: a paired comparison.
            "won": int((candidate.right & ~head).sum()),
            "lost": int((head & ~candidate.right).sum()),
        }
        for name, candidate in candidates.items()
    }
    run.add(model={"candidates": record})
    by = run.config.fit.choose_by
    listed = ", ".join(f"{name} {scores[by]:.3f}" for name, scores in record.items())
    logging.info("validation %s: %s; kept: %s", by, listed, kept)
    return kept


def _calibrate(model: keras.Model, val: Inputs) -> None:
    logits = features.outputs(Inference(models.logits_of(model)), val)
    models.fold_temperature(model, fit_temperature(logits, val.labels))


def _describe(model: keras.Model, config: RunConfig, depth: Freeze, kept: str) -> dict:
    return {
        "backbone": config.model.backbone,
        "weights": config.model.weights,
        "parameters": model.count_params(),
        "freeze": depth.share,
        "block": depth.block,
        "cut": depth.cut,
        "kept": kept,
    }
