"""Folds as jobs: each is trained, and predicts what it held out, which no other model does."""

import functools
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import keras
import numpy as np
from absl import logging

from tl_keras import tasks
from tl_keras.config.whole import RunConfig
from tl_keras.data.prepared import Data, prepared_again
from tl_keras.export import proof
from tl_keras.jobs import job
from tl_keras.run import folder as runs
from tl_keras.run.files import replacing, write_csv
from tl_keras.run.quiet import only_warnings
from tl_keras.run.result.training import Counts
from tl_keras.run.run import Run
from tl_keras.search.loop import best_model
from tl_keras.training import adapt, evaluation, features
from tl_keras.training.activations import decisions
from tl_keras.training.architecture import HEAD_SPLITS, Architecture, architecture, plan_of
from tl_keras.training.backbone import check_began, digests_of
from tl_keras.training.dealing import data_of, deal
from tl_keras.training.network import model as models
from tl_keras.training.network.fold_batch_norm import Inference


@dataclass(frozen=True)
class Fold:
    """A fold: what is trained on, what choices are made on, and what is held out, its test.

    Attributes:
      run: its folder, and the config that is the same for all folds.
      repeat: which time the examples are dealt out.
      rows: positions of the held-out examples among all.
    """

    run: Run
    repeat: int
    data: Data
    rows: np.ndarray


def folds_of(run: Run, data: Data) -> list[Fold]:
    """All folds, repeat by repeat; `folds.csv` says which example is held out where.

    Raises:
      ValueError: an answer has too few examples.
    """
    config, asked = run.config, run.config.cross_validate
    examples = data.dataset.splits["train"]
    _check_sizes(data, asked.folds)
    parts, found = deal(data, config), []
    dealt = np.empty((len(examples), asked.repeats), np.int64)
    for number, part in enumerate(parts):
        dealt[part.rows, part.repeat] = number
        own = config if config.search.wanted else settled(config, part.data)
        folder = run.workdir / f"fold_{number}"
        found.append(Fold(Run(folder, own, "fold"), part.repeat, part.data, part.rows))
    header = ["file", *(f"repeat_{repeat}" for repeat in range(asked.repeats))]
    lines = [[e.file, *map(str, own)] for e, own in zip(examples, dealt, strict=True)]
    write_csv(run.workdir / "folds.csv", [header, *lines])
    first = found[0].run.config  # Others may have an example more or less, and all train alike.
    return [replace(fold, run=replace(fold.run, config=first)) for fold in found]


def _check_sizes(data: Data, count: int) -> None:
    units = {(example.label, example.unit) for example in data.dataset.splits["train"]}
    sizes = Counter(label for label, _ in units)
    noun = tasks.of(data.dataset.task, "names").NOUNS[0]
    for label, name in enumerate(
        data.dataset.classes
    ):  # Empty for tasks whose answers have no names.
        if sizes[label] < count:
            raise ValueError(
                f"cross_validate.folds: {noun} {name!r} has {sizes[label]} independent "
                f"training {data.dataset.nouns[1]} (copies and groups count as one); expected at "
                f"least one a fold, received {count} folds"
            )


def settled(config: RunConfig, data: Data) -> RunConfig:
    """The config with what `auto` comes to on a fold, so that the final model is trained alike."""
    plan = plan_of(config, data.dataset, config.model.is_pretrained)
    auto = {name: getattr(plan, name) for name in ("freeze", "epochs", "learning_rate")}
    return config.model_copy(update={"fit": config.fit.model_copy(update=auto)})


def train_fold(run: Run, fold: Fold, number: int, arch: Architecture | None) -> None:
    """Trains a fold of a run, unless it was trained.

    Args:
      arch: what the folds share, if all of them train the same pretrained architecture.
    """
    if fold.run.result:
        return
    with run.timed("folds"), only_warnings():
        job.prepare(
            fold.run,
            {"features": decisions(arch)} if arch else {},
            part=number,
            fingerprint=fold.data.dataset.fingerprint,
            began=began(run),
            cuts=arch.cuts if arch else [],
        )
        work = functools.partial(run_job, found=(arch, fold.data))
        job.account(run, job.do(fold.run, work))


def began(run: Run) -> dict[str, str]:
    """Digests of the backbone that a run began with."""
    return digests_of(run.record.get("model", {}))


def run_job(fold: Run, found: tuple[Architecture | None, Data] | None = None) -> None:
    """Trains a fold that was prepared; leaves `predictions.csv`, `result.json`, maybe its model.

    Args:
      found: in memory, what other folds left there.
    """
    fold = replace(fold, began=time.monotonic())  # A search reckons with its own minutes alone.
    arch, data = found or _opened(fold)
    config, model = fold.config, None
    if config.search.wanted:
        adapt.check_answers(data.dataset)
        searched = models.load(best_model(fold, data, new_backbone(config)))
        data = prepared_again(data, runs.as_trained(fold).config)
        probabilities = features.outputs(Inference(searched), data.inputs["test"])
    elif arch is None:
        model = adapt.from_scratch(fold, data, new_backbone(config))
        probabilities = features.outputs(Inference(model), data.inputs["test"])
    else:
        own = replace(arch, run=fold, data=data, shared=replace(arch.shared, heads={}))
        adapted = adapt.head_then_suffix(fold, own, holds_out=True)
        model, probabilities = adapted.model, adapted.held_out
    is_first = job.needs(fold)["part"] == 0
    if model is not None and (config.cross_validate.final != "refit" or is_first):
        with replacing(fold.workdir / "model.keras") as temporary:
            model.save(temporary)
    _finish(fold, data, probabilities)


def _opened(fold: Run) -> tuple[Architecture | None, Data]:
    """What is to be found in memory, made anew of what is on disk."""
    config, needs = fold.config, job.needs(fold)
    data = data_of(config, needs["part"], needs["fingerprint"])
    if not config.model.is_pretrained or config.search.wanted:
        return None, data
    backbone = new_backbone(config)
    check_began(fold, config.model, backbone, needs["began"])
    return architecture(fold, config, data, backbone, needs["cuts"]), data


def new_backbone(config: RunConfig) -> keras.Model:
    """The backbone as no training has changed it yet."""
    keras.utils.set_random_seed(config.seed)
    return models.pretrained(config.model, config.settings)


def _finish(fold: Run, data: Data, probabilities: np.ndarray) -> None:
    """Writes the fold's `predictions.csv` and `result.json`."""
    names, labels = data.dataset.classes, data.inputs["test"].labels
    task, files = fold.config.task, [e.file for e in data.dataset.splits["test"]]
    evaluation.write_predictions(fold, names, {"held_out": (files, labels, probabilities)})
    counts = Counts(**{name: len(data.inputs[name]) for name in HEAD_SPLITS})
    held_out = tasks.of(task, "metrics").measure(probabilities, labels, names)
    fold.finish(fold.outcome(data=counts, held_out=held_out))


def log(fold: Fold, number: int, count: int) -> None:
    """Logs what a fold came to."""
    result = fold.run.result
    scores, model = result.held_out, result.model
    names = tasks.of(fold.run.config.task, "names")
    main, other = names.MAIN, names.OBJECTIVE
    logging.info(
        "fold %d/%d: %s %.3f on %d that are held out, %s %.3f, kept: %s",
        *(number + 1, count, main.replace("_", " "), scores[main], scores.n),
        *(other.replace("_", " "), scores[other], model.kept),
    )


def answers(fold: Fold) -> np.ndarray:
    """`(rows, width)` answers on what a fold held out."""
    return np.stack(list(evaluation.read_answers(fold.run).values()))


def out_of_fold(data: Data, every: Sequence[Fold], repeat: int) -> np.ndarray:
    """`(examples, width)` answers on each example by the model that held it out."""
    width = tasks.of(data.dataset.task, "targets").width(data.dataset.classes)
    found = np.empty((len(data.inputs["train"]), width))
    for fold in every:
        if fold.repeat == repeat:
            found[fold.rows] = answers(fold)
    return found


def held_out(run: Run) -> dict[str, np.ndarray]:
    """`(width,)` answers by file, of folds that held it out: the first time, of repeats."""
    found: dict[str, np.ndarray] = {}
    for number in range(run.config.cross_validate.folds):
        fold = replace(run, workdir=run.workdir / f"fold_{number}")
        found |= evaluation.read_answers(fold)
    return found


def held_out_of(data: Data, every: Sequence[Fold]) -> tuple[np.ndarray, np.ndarray]:
    """Answers on all examples by models that had not seen them, and their labels."""
    return out_of_fold(data, every, 0), data.inputs["train"].labels


def judge(fold: Fold) -> proof.Subject | None:
    """A fold's model and what it held out: the final model has seen all of that, and would not show
    what quantising costs. None of other models than the final one: of searches and ensembles."""
    file = fold.run.workdir / "model.keras"
    if not file.exists() or fold.run.config.cross_validate.final == "ensemble":
        return None
    inputs = {"train": fold.data.inputs["train"], "val": fold.data.inputs["test"]}
    found = models.load(file)
    answers = features.outputs(Inference(found), inputs["val"])
    return proof.Subject(found, inputs, {"val": answers}, on="what a fold held out")


def judged(fold: Fold, data: Data) -> Data:
    """Exports are compared with the model on the examples of one fold, and on test."""
    splits = {**data.dataset.splits, "val": fold.data.dataset.splits["test"]}
    inputs = {**data.inputs, "val": data.inputs["train"].part(fold.rows)}
    return Data(replace(data.dataset, splits=splits), inputs)
