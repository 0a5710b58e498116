"""cross_validate: k folds of a small set, each scored by a model that has not seen it; then a model
of everything, made as the folds chose. Nothing of the test split decides anything."""

import json
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from absl import logging

from tl_keras import tasks
from tl_keras.approaches import search, stages
from tl_keras.config import text as configs
from tl_keras.config.whole import RunConfig
from tl_keras.data.splits import folds, parted
from tl_keras.export import proof
from tl_keras.export import step as exports
from tl_keras.modalities.image import examine
from tl_keras.report.pages import page
from tl_keras.run import folder as runs
from tl_keras.run.files import replacing, write_text
from tl_keras.run.folder import Run, opened
from tl_keras.run.quiet import only_warnings
from tl_keras.training import adapt, features, merge
from tl_keras.training import model as models
from tl_keras.training.adapt import Chosen
from tl_keras.training.architecture import (
    HEAD_SPLITS,
    Architecture,
    Data,
    architecture,
    plan_of,
    prepared_again,
)
from tl_keras.training.fold import Inference

ALL = "fold_all"  # With a search: one more, on everything, of which the final model comes.


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


def run(config: RunConfig, workdir: str | Path) -> Run:
    """Trains and scores each fold, then makes the final model and exports it.

    Raises:
      ValueError: the config, the data or the folder cannot be used.
    """
    _check(config)
    with opened(config, workdir, "cross_validate") as run:
        backbone = stages.backbone(run)
        data = stages.read(run, pooled=True)
        every = _folds(run, data)
        model = stages.trained(run, data, backbone, train)
        if run.result:
            judged, judge = _judged(every[0], data), _judge(every[0])
            seen = _held_out(data, every)
            run.finish(exports.exported_again(run, model, judged, judge, seen))
        else:
            result = _result(run, model, data, every)
            for folder in run.workdir.glob("fold_*"):
                if folder != every[0].run.workdir or config.cross_validate.final == "ensemble":
                    (folder / "model.keras").unlink(missing_ok=True)
                shutil.rmtree(folder / "checkpoint", ignore_errors=True)
            run.finish(result)
        page.write(run.workdir)
    return run


def _check(config: RunConfig) -> None:
    """Raises ValueError where a config's other sections leave nothing to cross-validate."""
    if config.data.source == "glyphs":
        raise ValueError(
            "data.source: glyphs are drawn anew each epoch; expected examples that can be dealt "
            "out to folds, as of folder, csv, tfds or digits"
        )
    final = config.cross_validate.final
    if final != "refit" and (not config.model.is_pretrained or config.search.wanted):
        why = "searches find other models" if config.search.wanted else "model.weights is none"
        raise ValueError(
            f"cross_validate.final: {final} is of folds that start from the same point, and {why}; "
            "expected refit"
        )


def _folds(run: Run, data: Data) -> list[Fold]:
    """All folds, repeat by repeat; `folds.csv` says which example is held out where.

    Raises:
      ValueError: a class is too small.
    """
    config, asked = run.config, run.config.cross_validate
    examples = data.dataset.splits["train"]
    _check_sizes(data, asked.folds)
    found, dealt = [], np.empty((len(examples), asked.repeats), np.int64)
    for repeat in range(asked.repeats):
        seed = config.data.split_seed + 7919 * repeat
        for i, rows in enumerate(folds(examples, asked.folds, seed)):
            number = repeat * asked.folds + i
            dealt[rows, repeat] = number
            others = np.setdiff1d(np.arange(len(examples)), rows)
            parts = _inner(data, others, f"{seed} fold {i}", config) | {"test": rows}
            part = _part(data, parts)
            _check_part(part)
            settled = config if config.search.wanted else _settled(config, part)
            folder = run.workdir / f"fold_{number}"
            found.append(Fold(Run(folder, settled, "fold"), repeat, part, rows))
    header = ["file", *(f"repeat_{repeat}" for repeat in range(asked.repeats))]
    lines = [[e.file, *map(str, own)] for e, own in zip(examples, dealt, strict=True)]
    write_text(run.workdir / "folds.csv", stages.to_csv([header, *lines]))
    first = found[0].run.config  # Others may have an example more or less, and all train alike.
    return [replace(fold, run=replace(fold.run, config=first)) for fold in found]


def _check_sizes(data: Data, count: int) -> None:
    units = {(example.label, example.unit) for example in data.dataset.splits["train"]}
    sizes = Counter(label for label, _ in units)
    for label, name in enumerate(data.dataset.classes):  # None of answers without names.
        if sizes[label] < count:
            raise ValueError(
                f"cross_validate.folds: class {name!r} has {sizes[label]} training images that may "
                f"be parted; expected at least one a fold, received {count} folds"
            )


def _check_part(part: Data) -> None:
    labels = tasks.maybe(part.dataset.task, "labels")
    targets, names = part.inputs["train"].labels, part.dataset.classes
    missing = labels.missing(targets, names) if labels else []
    if missing:
        raise ValueError(
            f"cross_validate.folds: class {missing[0]!r} has no example left to train a "
            "fold on, since its images stand in large groups; expected fewer folds"
        )
    if not len(part.inputs["val"]):
        raise ValueError(
            f"data.val: {len(part.inputs['train'])} images stand in groups too large to set some "
            "aside for the choices of a fold; expected a larger share"
        )


def _inner(data: Data, rows: np.ndarray, seed: str, config: RunConfig) -> dict[str, np.ndarray]:
    """Of some examples those to train on and those to choose by, as positions among all."""
    examples = [data.dataset.splits["train"][i] for i in rows]
    train, val = parted(examples, config.data.val, seed)
    return {"train": rows[train], "val": rows[val]}


def _part(data: Data, parts: dict[str, np.ndarray]) -> Data:
    examples, inputs = data.dataset.splits["train"], data.inputs["train"]
    splits = {name: [examples[i] for i in rows] for name, rows in parts.items()}
    dataset = replace(data.dataset, splits={"test": [], **splits}, whole=False)
    return Data(dataset, {name: inputs.part(rows) for name, rows in parts.items()}, data)


def _settled(config: RunConfig, data: Data) -> RunConfig:
    """The config with what `auto` comes to on a fold, so that the final model is trained alike."""
    plan = plan_of(config, data.dataset, config.model.is_pretrained)
    auto = {name: getattr(plan, name) for name in ("freeze", "epochs", "learning_rate")}
    return config.model_copy(update={"fit": config.fit.model_copy(update=auto)})


def train(run: Run, data: Data, backbone: keras.Model) -> keras.Model:
    """Trains the folds that are left, and the final model.

    Args:
      data: train and val in one, see `Dataset.pooled`.

    Raises:
      ValueError: a class is too small.
    """
    every = _folds(run, data)
    config, arch = every[0].run.config, None
    if config.model.is_pretrained and not config.search.wanted:
        trainings = len(every) + 1.0
        arch = architecture(run, config, data, backbone, [config.fit.freeze])
        arch = replace(arch, trainings=trainings)
    for i, fold in enumerate(every):
        if not fold.run.result:
            with run.timed("folds"), only_warnings():
                _train_fold(fold, arch)
        _log(fold, i, len(every))
    if config.search.wanted:
        return _refit_searched(run, data)
    chosen = _chosen(data, every)
    final = config.cross_validate.final
    run.add(chosen=vars(chosen))
    settled = replace(run, config=config)
    if final == "refit":
        if arch is None:
            return adapt.from_scratch(settled, data, _backbone(config), chosen)
        return adapt.refit(settled, arch, chosen)
    members = [models.load(fold.run.workdir / "model.keras") for fold in every]
    merged = {"average": merge.average, "ensemble": merge.ensemble}[final](members)
    depth = adapt.depth_of(config, arch.backbone, plan_of(config, data.dataset, pretrained=True))
    run.add(model=adapt.described(merged, config, depth, final, arch.earlier))
    return merged


def _backbone(config: RunConfig) -> keras.Model:
    """The backbone as no training has changed it yet."""
    keras.utils.set_random_seed(config.seed)
    return models.pretrained(config.model, config.settings)


def _train_fold(fold: Fold, arch: Architecture | None) -> None:
    # A search reckons with its own minutes, not with those of the folds before.
    fold = replace(fold, run=replace(fold.run, began=time.monotonic()))
    fold.run.begin_inside()
    config, data = fold.run.config, fold.data
    if config.search.wanted:
        adapt.check_classes(data.dataset)
        searched = models.load(search.best_model(fold.run, data, _backbone(config)))
        data = prepared_again(data, runs.as_trained(fold.run).config)
        probabilities = features.outputs(Inference(searched), data.inputs["test"])
        model = None
    elif arch is None:
        model = adapt.from_scratch(fold.run, data, _backbone(config))
        probabilities = features.outputs(Inference(model), data.inputs["test"])
    else:
        own = replace(arch, data=data, heads={})
        adapted = adapt.head_then_suffix(fold.run, own, holds_out=True)
        model, probabilities = adapted.model, adapted.held_out
    if model is not None and (config.cross_validate.final != "refit" or _is_first(fold)):
        with replacing(fold.run.workdir / "model.keras") as temporary:
            model.save(temporary)
    _finish(fold, probabilities)


def _finish(fold: Fold, probabilities: np.ndarray) -> None:
    """Writes the fold's `predictions.csv` and `result.json`."""
    names, labels = fold.data.dataset.classes, fold.data.inputs["test"].labels
    task, files = fold.run.config.task, [e.file for e in fold.data.dataset.splits["test"]]
    rows = stages.rows_of(task, "held_out", files, labels, probabilities, names)
    stages.write_predictions(fold.run, names, rows)
    write_text(fold.run.workdir / "config.yaml", configs.to_yaml(fold.run.config))
    counts = {name: len(fold.data.inputs[name]) for name in HEAD_SPLITS}
    held_out = tasks.of(task, "metrics").measure(probabilities, labels, names)
    fold.run.finish(fold.run.outcome(data=counts, held_out=held_out))


def _log(fold: Fold, number: int, count: int) -> None:
    result = fold.run.result
    scores, model = result["held_out"], result["model"]
    names = tasks.of(fold.run.config.task, "names")
    main, other = names.MAIN, names.OBJECTIVE
    logging.info(
        "fold %d/%d: %s %.3f on %d that are held out, %s %.3f, kept: %s",
        *(number + 1, count, main.replace("_", " "), scores[main], scores["n"]),
        *(other.replace("_", " "), scores[other], model["kept"]),
    )


def _chosen(data: Data, every: Sequence[Fold]) -> Chosen:
    """What the folds come to together: by all of their validation examples a gain is seen that is
    within the noise of each. The temperature is one that fits what was held out."""
    config, results = every[0].run.config, [fold.run.result for fold in every]
    found = [Chosen(**result["chosen"]) for result in results]
    regularisation, alike = None, list(every)
    if not config.model.is_pretrained:
        kept, temperatures = "scratch", [chosen.temperature for chosen in found]
    else:
        standing = [result["model"]["candidates"] for result in results]
        kept = tasks.of(config.task, "choice").together(config.fit.choose_by, standing)
        temperatures = [own[kept]["temperature"] for own in standing if kept in own]
        alike = [fold for fold, own in zip(every, found, strict=True) if own.kept == kept]
        regularisation = _regularisation(every)
    trained = [chosen.epochs for chosen in found if chosen.epochs]
    temperature = float(np.exp(np.mean(np.log(temperatures)))) * _further(data, alike)
    epochs = round(float(np.mean(trained))) if trained else 0
    return Chosen(kept, regularisation, temperature, epochs)


def _further(data: Data, alike: Sequence[Fold]) -> float:
    """The temperature that fits what folds held out, beside that of their own; 1 of none."""
    if not alike:
        return 1.0
    answers = np.concatenate([_answers(fold) for fold in alike])
    rows = np.concatenate([fold.rows for fold in alike])
    losses = tasks.of(data.dataset.task, "losses")
    return losses.fit_temperature(losses.raw_of(answers), data.inputs["train"].labels[rows])


def _regularisation(every: Sequence[Fold]) -> float:
    """The strength with the least validation loss of the head, mean over the folds."""
    losses: dict[float, list[float]] = {}
    for fold in every:
        lines = (fold.run.workdir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        for record in map(json.loads, lines):
            if record["stage"] == "head":
                losses.setdefault(record["regularisation"], []).append(record["val_loss"])
    # Those that a fold did not try were worse than its own by far.
    tried = {strength: own for strength, own in losses.items() if len(own) == len(every)}
    return min(tried, key=lambda strength: np.mean(tried[strength]))


def _refit_searched(run: Run, data: Data) -> keras.Model:
    """A search on everything, as in each fold, and its best trial trained on everything."""
    config = run.config
    rows = np.arange(len(data.inputs["train"]))
    part = _part(data, _inner(data, rows, f"{config.data.split_seed} all", config))
    whole = Run(run.workdir / ALL, config, "fold").begin_inside()
    with run.timed("folds"):
        search.best_model(whole, part, _backbone(config))
    found = whole.record
    best = runs.as_trained(whole)
    trial = configs.load(whole.workdir / "search" / found["search"]["best"] / "config.yaml")
    config, chosen = _settled(trial, part), Chosen(**found["chosen"])
    run.add(search={**found["search"], "folder": f"{ALL}/search"}, chosen=vars(chosen))
    data = prepared_again(data, best.config, ("train",))
    settled = replace(run, config=config)
    if not config.model.is_pretrained:
        return adapt.from_scratch(settled, data, _backbone(config), chosen)
    arch = architecture(run, config, data, _backbone(config), [config.fit.freeze])
    return adapt.refit(settled, arch, chosen)


def _result(run: Run, model: keras.Model, data: Data, every: Sequence[Fold]) -> dict[str, Any]:
    """`result.json`: validation is what was held out, by those who had not seen it."""
    dealt = [_out_of_fold(data, every, repeat) for repeat in range(every[-1].repeat + 1)]
    answers = np.mean(dealt, axis=0)
    suspected = examine.suspected_by(answers, data.dataset)
    run.find(**suspected)
    _write_label_quality(run, answers, data, suspected["suspects"])
    trained, data = stages.as_trained(run, data)
    tested = stages.predict(trained, model, data, ("test",))
    found = {"val": dealt[0], **tested}
    measured = stages.evaluate(trained, model, _whole(data), found)
    exported = exports.exported(
        trained,
        model,
        _judged(every[0], data),
        tested,
        _judge(every[0]),
        _held_out(data, every),
    )
    results = [fold.run.result for fold in every]
    return stages.result(
        run,
        folds=[_described(f, r) for f, r in zip(every, results, strict=True)],
        cross_validation=_summary(run.config, results),
        **measured,
        **exported,
    )


def _write_label_quality(
    run: Run, answers: np.ndarray, data: Data, suspects: Sequence[dict[str, Any]]
) -> None:
    """Writes `label_quality.csv`: all examples, that whose label is most doubtful first; nothing
    for a task without doubts about labels."""
    examples, classes = data.dataset.splits["train"], data.dataset.classes
    doubts = tasks.maybe(run.config.task, "labels")
    if doubts is None:
        return
    quality, suggested = doubts.label_quality(answers, data.dataset.labels("train"))
    doubted = {entry["file"] for entry in suspects}
    lines = [["file", "label", "suggested", "quality", "suspect"]]
    for i in np.argsort(quality, kind="stable"):
        file, label = examples[i].file, classes[examples[i].label]
        number = f"{quality[i]:.6f}"
        lines.append([file, label, classes[suggested[i]], number, str(int(file in doubted))])
    write_text(run.workdir / "label_quality.csv", stages.to_csv(lines))


def _answers(fold: Fold) -> np.ndarray:
    """`(rows, width)` answers on what a fold held out."""
    return np.stack(list(stages.read_probabilities(fold.run).values()))


def _out_of_fold(data: Data, every: Sequence[Fold], repeat: int) -> np.ndarray:
    """`(examples, width)` answers on each example by the model that held it out."""
    width = tasks.of(data.dataset.task, "targets").width(data.dataset.classes)
    found = np.empty((len(data.inputs["train"]), width))
    for fold in every:
        if fold.repeat == repeat:
            found[fold.rows] = _answers(fold)
    return found


def held_out(run: Run) -> dict[str, np.ndarray]:
    """`(width,)` answers by file, of folds that held it out: the first time, of repeats."""
    found: dict[str, np.ndarray] = {}
    for number in range(run.config.cross_validate.folds):
        fold = replace(run, workdir=run.workdir / f"fold_{number}")
        found |= stages.read_probabilities(fold)
    return found


def _whole(data: Data) -> Data:
    """All that was held out in turn, in the place of a validation split."""
    splits, inputs = data.dataset.splits, data.inputs
    dataset = replace(data.dataset, splits={**splits, "val": splits["train"]})
    return Data(dataset, {**inputs, "val": inputs["train"]})


def _held_out(data: Data, every: Sequence[Fold]) -> tuple[np.ndarray, np.ndarray]:
    """Answers on all examples by models that had not seen them, and their labels."""
    return _out_of_fold(data, every, 0), data.inputs["train"].labels


def _judge(fold: Fold) -> proof.Subject | None:
    """A fold's model and what it held out: the final model has seen all of that, and would not show
    what quantising costs. None of other models than the final one: of searches and ensembles."""
    file = fold.run.workdir / "model.keras"
    if not file.exists() or fold.run.config.cross_validate.final == "ensemble":
        return None
    inputs = {"train": fold.data.inputs["train"], "val": fold.data.inputs["test"]}
    found = models.load(file)
    answers = features.outputs(Inference(found), inputs["val"])
    return proof.Subject(found, inputs, {"val": answers}, on="what a fold held out")


def _is_first(fold: Fold) -> bool:
    return fold.run.workdir.name == "fold_0"


def _judged(fold: Fold, data: Data) -> Data:
    """Exports are compared with the model on the examples of one fold, and on test."""
    splits = {**data.dataset.splits, "val": fold.data.dataset.splits["test"]}
    inputs = {**data.inputs, "val": data.inputs["train"].part(fold.rows)}
    return Data(replace(data.dataset, splits=splits), inputs)


def _described(fold: Fold, result: dict[str, Any]) -> dict[str, Any]:
    scores = result["held_out"]
    values = {}
    if "search" in result:
        best = result["search"]["best"]
        trials = result["search"]["trials"]
        values = {"values": next(t["values"] for t in trials if t["trial"] == best)}
    return {
        "fold": fold.run.workdir.name,
        "repeat": fold.repeat,
        **result["data"],
        "n": scores["n"],
        "interval": scores["interval"],
        **{name: scores[name] for name in tasks.of(fold.run.config.task, "names").METRICS},
        "kept": result["model"]["kept"],
        "seconds": result["seconds"]["total"],
        **values,
    }


def _summary(config: RunConfig, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """`cross_validation` of `result.json`: mean and deviation over all folds."""
    metrics = tasks.of(config.task, "names").METRICS
    scores = {name: [result["held_out"][name] for result in results] for name in metrics}
    described = {
        name: {"mean": float(np.mean(values)), "deviation": float(np.std(values, ddof=1))}
        for name, values in scores.items()
    }
    return {**config.cross_validate.model_dump(), "scores": described}
