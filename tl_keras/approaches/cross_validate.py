"""cross_validate: k folds of a small set, each scored by a model that has not seen it; then a model
of everything, made as the folds chose. Nothing of the test split decides anything."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tl_keras import tasks
from tl_keras.approaches import folds
from tl_keras.approaches.folds import Fold, folds_of, new_backbone, settled
from tl_keras.config import text as configs
from tl_keras.config.whole import RunConfig
from tl_keras.data import doctor, run_data
from tl_keras.data.prepared import Data, prepared_again
from tl_keras.export import step as exports
from tl_keras.jobs import job
from tl_keras.report.pages import page
from tl_keras.run import folder as runs
from tl_keras.run import machine
from tl_keras.run.files import write_csv
from tl_keras.run.folder import opened
from tl_keras.run.result.folds import CrossValidation, FoldRecord, Spread
from tl_keras.run.result.training import Chosen
from tl_keras.run.result.whole import Result
from tl_keras.run.run import Run
from tl_keras.search.loop import best_model
from tl_keras.training import adapt, evaluation
from tl_keras.training import backbone as backbones
from tl_keras.training.architecture import architecture, plan_of
from tl_keras.training.dealing import ALL, everything
from tl_keras.training.network import combine
from tl_keras.training.network import model as models


def run(config: RunConfig, workdir: str | Path) -> Run:
    """Trains and scores each fold, then makes the final model and exports it.

    Raises:
      ValueError: the config, the data or the folder cannot be used.
    """
    _check(config)
    with opened(config, workdir, "cross_validate") as run:
        backbone = backbones.begin(run)
        data = run_data.read(run, pooled=True)
        every = folds_of(run, data)
        model = backbones.trained(run, data, backbone, train)
        if run.result:
            judged = folds.judged(every[0], data), folds.judge(every[0])
            seen = folds.held_out_of(data, every)
            run.finish(exports.exported_again(run, model, *judged, seen))
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


def train(run: Run, data: Data, backbone: keras.Model) -> keras.Model:
    """Trains the folds that are left, and the final model.

    Args:
      data: train and val in one, see `Dataset.pooled`.

    Raises:
      ValueError: an answer has too few examples.
    """
    every = folds_of(run, data)
    config = every[0].run.config
    arch: Any = None
    if config.model.is_pretrained and not config.search.wanted:
        trainings = len(every) + 1.0
        arch = architecture(
            run, config, data, backbone, [plan_of(config, data.dataset, True).freeze]
        )
        arch = replace(arch, trainings=trainings)
    for i, fold in enumerate(every):
        folds.train_fold(run, fold, i, arch)
        folds.log(fold, i, len(every))
    if config.search.wanted:
        return _refit_searched(run, data)
    chosen = _chosen(data, every)
    final = config.cross_validate.final
    run.add(chosen=chosen)
    alike = replace(run, config=config)
    if final == "refit":
        if arch is None:
            return adapt.from_scratch(alike, data, new_backbone(config), chosen)
        return adapt.refit(alike, arch, chosen)
    members = [models.load(fold.run.workdir / "model.keras") for fold in every]
    merged = {"average": combine.average, "ensemble": combine.ensemble}[final](members)
    depth = adapt.depth_of(config, arch.backbone, plan_of(config, data.dataset, pretrained=True))
    run.add(model=adapt.described(merged, config, depth, final, arch.earlier))
    return merged


def _chosen(data: Data, every: Sequence[Fold]) -> Chosen:
    """What the folds come to together: by all of their validation examples a gain is seen that is
    within the noise of each. The temperature is one that fits what was held out."""
    config, results = every[0].run.config, [fold.run.result for fold in every]
    found = [result.chosen for result in results]
    regularisation, alike = None, list(every)
    if not config.model.is_pretrained:
        kept, temperatures = "scratch", [chosen.temperature for chosen in found]
    else:
        standing = [result.model.candidates for result in results]
        kept = tasks.of(config.task, "choice").together(config.fit.choose_by, standing)
        temperatures = [own[kept].temperature for own in standing if kept in own]
        alike = [fold for fold, own in zip(every, found, strict=True) if own.kept == kept]
        regularisation = _regularisation(every)
    trained = [chosen.epochs for chosen in found if chosen.epochs]
    temperature = float(np.exp(np.mean(np.log(temperatures)))) * _further(data, alike)
    epochs = round(float(np.mean(trained))) if trained else 0
    return Chosen(kept=kept, regularisation=regularisation, temperature=temperature, epochs=epochs)


def _further(data: Data, alike: Sequence[Fold]) -> float:
    """The temperature that fits what folds held out, beside that of their own; 1 of none."""
    if not alike:
        return 1.0
    answers = np.concatenate([folds.answers(fold) for fold in alike])
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
    part = everything(data, config)
    whole = Run(run.workdir / "fold_all", config, "fold")
    began, fingerprint = folds.began(run), data.dataset.fingerprint
    with run.timed("folds"):
        job.prepare(whole, part=ALL, fingerprint=fingerprint, began=began)
        best_model(whole, part, new_backbone(config))
    found = whole.record
    best = runs.as_trained(whole)
    trial = configs.load(whole.workdir / "search" / found["search"]["best"] / "config.yaml")
    config, chosen = settled(trial, part), Chosen.model_validate(found["chosen"])
    run.add(search={**found["search"], "folder": "fold_all/search"}, chosen=chosen)
    data = prepared_again(data, best.config, ("train",))
    alike = replace(run, config=config)
    if not config.model.is_pretrained:
        return adapt.from_scratch(alike, data, new_backbone(config), chosen)
    depth = plan_of(config, data.dataset, pretrained=True).freeze
    arch = architecture(run, config, data, new_backbone(config), [depth])
    return adapt.refit(alike, arch, chosen)


def _result(run: Run, model: keras.Model, data: Data, every: Sequence[Fold]) -> Result:
    """`result.json`: validation is what was held out, by those who had not seen it."""
    dealt = [folds.out_of_fold(data, every, repeat) for repeat in range(every[-1].repeat + 1)]
    answers = np.mean(dealt, axis=0)
    suspected = doctor.suspected_by(answers, data.dataset)
    run.find(**suspected)
    _write_label_quality(run, answers, data, suspected["suspects"])
    trained, data = run_data.for_model(run, data)
    tested = evaluation.predict(trained, model, data, ("test",))
    found = {"val": dealt[0], **tested}
    measured = evaluation.evaluate(trained, model, _whole(data), found)
    exported = exports.exported(
        trained,
        model,
        folds.judged(every[0], data),
        tested,
        folds.judge(every[0]),
        folds.held_out_of(data, every),
    )
    results = [fold.run.result for fold in every]
    return run.outcome(
        folds=[_described(f, r) for f, r in zip(every, results, strict=True)],
        cross_validation=_summary(run.config, results),
        **measured,
        **exported,
        **machine.described(),
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
    write_csv(run.workdir / "label_quality.csv", lines)


def _whole(data: Data) -> Data:
    """All that was held out in turn, in the place of a validation split."""
    splits, inputs = data.dataset.splits, data.inputs
    dataset = replace(data.dataset, splits={**splits, "val": splits["train"]})
    return Data(dataset, {**inputs, "val": inputs["train"]})


def _described(fold: Fold, result: Result) -> FoldRecord:
    scores, values = result.held_out, {}
    if search := result.search:
        best = next(trial for trial in search.trials if trial.trial == search.best)
        values = {"values": best.values}
    return FoldRecord(
        fold=fold.run.workdir.name,
        repeat=fold.repeat,
        train=result.data.train,
        val=result.data.val,
        n=scores.n,
        interval=scores.interval,
        **{name: scores[name] for name in tasks.of(fold.run.config.task, "names").METRICS},
        kept=result.model.kept,
        seconds=result.seconds["total"],
        **values,
    )


def _summary(config: RunConfig, results: Sequence[Result]) -> CrossValidation:
    """`cross_validation` of `result.json`: mean and deviation over all folds."""
    metrics = tasks.of(config.task, "names").METRICS
    scores = {name: [result.held_out[name] for result in results] for name in metrics}
    described = {
        name: Spread(mean=float(np.mean(values)), deviation=float(np.std(values, ddof=1)))
        for name, values in scores.items()
    }
    return CrossValidation(**config.cross_validate.model_dump(), scores=described)
