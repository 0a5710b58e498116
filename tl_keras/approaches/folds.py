"""Trains the folds of cross-validation as jobs, each of which predicts its held-out examples."""

import functools
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from absl import logging

from tl_keras import tasks
from tl_keras.config.whole import RunConfig
from tl_keras.data import run_data
from tl_keras.data.prepared import Data
from tl_keras.export.subject import Subject
from tl_keras.jobs import job
from tl_keras.run.files import replacing, write_csv
from tl_keras.run.quiet import only_warnings
from tl_keras.run.result.training import Counts
from tl_keras.run.run import Run
from tl_keras.search.loop import best_model
from tl_keras.training import adapt, evaluation, features
from tl_keras.training.activations import decisions
from tl_keras.training.architecture import HEAD_SPLITS, Architecture, architecture, plan_of
from tl_keras.training.backbone import check_began, digests_of, initial
from tl_keras.training.dealing import data_of, deal
from tl_keras.training.network import model as models
from tl_keras.training.network.fold_batch_norm import Inference


@dataclass(frozen=True)
class Fold:
    """A fold of cross-validation, which holds out some of the examples.

    Attributes:
      run: the folder of the fold, and the config, which is the same for all folds.
      repeat: the index of the repetition. Each repetition divides all examples into new folds.
      data: the fold's splits: train; val, on which settings are chosen; and the held-out examples
        as test.
      rows: positions of the held-out examples among all examples.
    """

    run: Run
    repeat: int
    data: Data
    rows: np.ndarray


def folds_of(run: Run, data: Data) -> list[Fold]:
    """Returns all folds, one repetition after the other, and writes `folds.csv`.

    `folds.csv` has a line for each example, with the fold that holds the example out in each
    repetition.

    Raises:
      ValueError: an answer, such as a class, has too few examples.
    """
    config, section = run.config, run.config.cross_validate
    examples = data.dataset.splits["train"]
    _check_sizes(data, section.folds)
    folds = []
    fold_of = np.empty((len(examples), section.repeats), np.int64)
    for number, part in enumerate(deal(data, config)):
        fold_of[part.rows, part.repeat] = number
        resolved = config if config.search.wanted else with_auto_resolved(config, part.data)
        folder = run.workdir / f"fold_{number}"
        folds.append(Fold(Run(folder, resolved, "fold"), part.repeat, part.data, part.rows))
    header = ["file", *(f"repeat_{repeat}" for repeat in range(section.repeats))]
    lines = [[e.file, *map(str, numbers)] for e, numbers in zip(examples, fold_of, strict=True)]
    write_csv(run.workdir / "folds.csv", [header, *lines])
    # Fold sizes differ by an example, so `auto` may differ; all folds train like the first one.
    first = folds[0].run.config
    return [replace(fold, run=replace(fold.run, config=first)) for fold in folds]


def _check_sizes(data: Data, count: int) -> None:
    units = {(example.label, example.unit) for example in data.dataset.splits["train"]}
    sizes = Counter(label for label, _ in units)
    noun = tasks.of(data.dataset.task, "names").NOUNS[0]
    # `classes` is empty for tasks whose answers have no names.
    for label, name in enumerate(data.dataset.classes):
        if sizes[label] < count:
            raise ValueError(
                f"cross_validate.folds: {noun} {name!r} has {sizes[label]} independent "
                f"{data.dataset.nouns[1]} in train and val (equal files, near-duplicates and the "
                f"files of a group count as one); expected at least one for each of {count} folds"
            )


def with_auto_resolved(config: RunConfig, data: Data) -> RunConfig:
    """Returns the config with `auto` in three fields replaced by its value for a fold's data.

    The fields are `fit.freeze`, `fit.epochs` and `fit.learning_rate`. The final model has more
    data, but must train with the values that the folds were scored with.
    """
    plan = plan_of(config, data.dataset, config.model.is_pretrained)
    auto = {name: getattr(plan, name) for name in ("freeze", "epochs", "learning_rate")}
    return config.model_copy(update={"fit": config.fit.model_copy(update=auto)})


def train_fold(run: Run, fold: Fold, number: int, arch: Architecture | None) -> None:
    """Trains a fold of a run, unless it is finished.

    Args:
      arch: the architecture that all folds share; None if each fold builds its own.
    """
    if fold.run.result:
        return
    with run.timed("folds"), only_warnings():
        job.prepare(
            fold.run,
            {"features": decisions(arch)} if arch else {},
            part=number,
            fingerprint=fold.data.dataset.fingerprint,
            began=digests_at_start(run),
            cuts=arch.cuts if arch else [],
        )
        work = functools.partial(run_job, in_memory=(arch, fold.data))
        job.account(run, job.do(fold.run, work))


def digests_at_start(run: Run) -> dict[str, str]:
    """Returns the digests that identify the backbone with which a run started."""
    return digests_of(run.record.get("model", {}))


def run_job(fold: Run, in_memory: tuple[Architecture | None, Data] | None = None) -> None:
    """Trains a prepared fold and writes `predictions.csv`, `result.json` and maybe `model.keras`.

    The model of the first fold is written, to measure how much quantising worsens scores. If the
    final model combines the models of all folds, all of them are written. With a search, the search
    writes the best trial's model of each fold.

    Args:
      in_memory: the architecture and the fold's data, if this process has them; None to load both
        from the files on disk.
    """
    fold = replace(fold, began=time.monotonic())  # The minutes of a search count from here.
    arch, data = in_memory or _loaded(fold)
    config, model = fold.config, None
    if config.search.wanted:
        adapt.check_answers(data.dataset)
        best = models.load(best_model(fold, data, initial(config)))
        _, data = run_data.for_model(fold, data)
        probabilities = features.outputs(Inference(best), data.inputs["test"])
    elif arch is None:
        model = adapt.from_scratch(fold, data, initial(config))
        probabilities = features.outputs(Inference(model), data.inputs["test"])
    else:
        of_fold = replace(arch, run=fold, data=data, shared=replace(arch.shared, heads={}))
        adapted = adapt.head_then_suffix(fold, of_fold, holds_out=True)
        model, probabilities = adapted.model, adapted.held_out
    is_first = job.needs(fold)["part"] == 0
    if model is not None and (config.cross_validate.final != "refit" or is_first):
        with replacing(fold.workdir / "model.keras") as temporary:
            model.save(temporary)
    _finish(fold, data, probabilities)


def _loaded(fold: Run) -> tuple[Architecture | None, Data]:
    """Returns the architecture and the data of a fold, made from the files on disk."""
    config, needs = fold.config, job.needs(fold)
    data = data_of(config, needs["part"], needs["fingerprint"])
    if not config.model.is_pretrained or config.search.wanted:
        return None, data
    backbone = initial(config)
    check_began(fold, config.model, backbone, needs["began"])
    return architecture(fold, config, data, backbone, needs["cuts"]), data


def _finish(fold: Run, data: Data, probabilities: np.ndarray) -> None:
    """Writes `predictions.csv` and `result.json` of a fold."""
    names, labels = data.dataset.classes, data.inputs["test"].labels
    task, files = fold.config.task, [e.file for e in data.dataset.splits["test"]]
    evaluation.write_predictions(fold, names, {"held_out": (files, labels, probabilities)})
    counts = Counts(**{name: len(data.inputs[name]) for name in HEAD_SPLITS})
    held_out = tasks.of(task, "metrics").measure(probabilities, labels, names)
    fold.finish(fold.outcome(data=counts, held_out=held_out))


def log(fold: Fold, number: int, count: int) -> None:
    """Logs the scores of a fold."""
    result = fold.run.result
    scores, model = result.held_out, result.model
    names = tasks.of(fold.run.config.task, "names")
    main, objective = names.MAIN, names.OBJECTIVE
    logging.info(
        "%s, %d of %d: %s %.3f on %d held-out examples, %s %.3f, chosen candidate model: %s",
        *(fold.run.workdir.name, number + 1, count, main.replace("_", " "), scores[main], scores.n),
        *(objective.replace("_", " "), scores[objective], model.kept),
    )


def predictions_of(fold: Fold) -> np.ndarray:
    """Returns the predictions of a fold's model for its held-out examples, `(rows, outputs)`."""
    return np.stack(list(evaluation.read_answers(fold.run).values()))


def out_of_fold(data: Data, every: Sequence[Fold], repeat: int) -> np.ndarray:
    """Returns a prediction for each example, `(examples, outputs)`.

    The prediction is made by the model of the fold that held the example out.

    Args:
      repeat: the repetition of cross-validation, from 0, whose folds are used.
    """
    num_outputs = tasks.of(data.dataset.task, "targets").width(data.dataset.classes)
    predictions = np.empty((len(data.inputs["train"]), num_outputs))
    for fold in every:
        if fold.repeat == repeat:
            predictions[fold.rows] = predictions_of(fold)
    return predictions


def held_out(run: Run) -> dict[str, np.ndarray]:
    """Returns `{file: prediction}`; each prediction has the shape `(outputs,)`.

    A prediction is made by the model of the fold that held the file out. Only the folds of the
    first repetition of cross-validation are used.
    """
    by_file: dict[str, np.ndarray] = {}
    for number in range(run.config.cross_validate.folds):
        fold = replace(run, workdir=run.workdir / f"fold_{number}")
        by_file |= evaluation.read_answers(fold)
    return by_file


def proof_subject(fold: Fold) -> Subject | None:
    """Returns a fold's model and held-out examples, to measure how much quantising worsens scores.

    The final model was trained on all examples. On these, quantising would worsen its scores less
    than on new examples. Returns None if the fold has no `model.keras`, or if the final model is an
    ensemble, whose architecture differs from that of the fold's model.
    """
    file = fold.run.workdir / "model.keras"
    if not file.exists() or fold.run.config.cross_validate.final == "ensemble":
        return None
    _, data = run_data.for_model(fold.run, fold.data)
    inputs = {"train": data.inputs["train"], "val": data.inputs["test"]}
    model = models.load(file)
    predictions = features.outputs(Inference(model), inputs["val"])
    return Subject(model, inputs, {"val": predictions}, on="what a fold held out")


def proof_data(fold: Fold, data: Data) -> Data:
    """Returns the data on which exported files are compared with the final model.

    Its val split is the examples that a fold held out; its test split is that of the run.
    """
    splits = {**data.dataset.splits, "val": fold.data.dataset.splits["test"]}
    inputs = {**data.inputs, "val": data.inputs["train"].part(fold.rows)}
    return Data(replace(data.dataset, splits=splits), inputs)
