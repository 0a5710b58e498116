"""cross_validate: scores each of k folds with a model that has not seen it; trains a final model.

The final model trains on all folds with the settings that the folds chose. The test split is only
measured, and no decision depends on it.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tl_keras import tasks
from tl_keras.approaches import fold_calibration, folds
from tl_keras.approaches.folds import Fold, folds_of, with_auto_resolved
from tl_keras.config import text as configs
from tl_keras.config.whole import RunConfig
from tl_keras.data import doctor, run_data
from tl_keras.data.prepared import Data, prepared_again
from tl_keras.export import step as exports
from tl_keras.jobs import job
from tl_keras.report.pages import page
from tl_keras.run import machine
from tl_keras.run.files import write_csv
from tl_keras.run.folder import opened
from tl_keras.run.result.exports import Abstaining
from tl_keras.run.result.folds import CrossValidation, FoldRecord, Spread
from tl_keras.run.result.training import Chosen
from tl_keras.run.result.whole import Result
from tl_keras.run.run import Run
from tl_keras.run.trained import as_trained
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
            compared = folds.proof_data(every[0], data), folds.proof_subject(every[0])
            held_out = fold_calibration.held_out(data, every)
            again = exports.exported_again(run, model, *compared, held_out)
            abstaining = fold_calibration.abstaining(every, *held_out)
            summary = _with_abstaining(again.cross_validation, abstaining)
            run.finish(again.model_copy(update={"cross_validation": summary}))
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
    """Raises ValueError if the config's data, weights or search rule out this cross-validation."""
    if config.data.source == "glyphs":
        raise ValueError(
            "data.source: glyphs makes new pictures for each epoch, which cannot be divided into "
            "folds; expected folder, csv, tfds or digits"
        )
    final = config.cross_validate.final
    if final != "refit" and (not config.model.is_pretrained or config.search.wanted):
        why = (
            "with a search, each fold chooses its own settings"
            if config.search.wanted
            else "with model.weights='none', all folds train from scratch"
        )
        raise ValueError(
            f"cross_validate.final: {final!r} needs folds that train with the same settings from "
            f"the same pretrained weights, but {why}; expected 'refit'"
        )


def train(run: Run, data: Data, backbone: keras.Model) -> keras.Model:
    """Trains the folds that are not finished, then the final model, and returns the final model.

    Args:
      data: train and val as one split, see `Dataset.pooled`.

    Raises:
      ValueError: an answer, such as a class, has too few examples.
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
    refitted = replace(run, config=config)
    if final == "refit":
        if arch is None:
            return adapt.from_scratch(refitted, data, backbones.initial(config), chosen)
        return adapt.refit(refitted, arch, chosen)
    members = [models.load(fold.run.workdir / "model.keras") for fold in every]
    merged = {"average": combine.average, "ensemble": combine.ensemble}[final](members)
    depth = adapt.depth_of(config, arch.backbone, plan_of(config, data.dataset, pretrained=True))
    run.add(model=adapt.described(merged, config, depth, final, arch.earlier))
    return merged


def _chosen(data: Data, every: Sequence[Fold]) -> Chosen:
    """Chooses the final model's settings from all folds: candidate, regularisation, epochs, ...

    The candidate says whether only the head is trained, the model is fine-tuned, or the weights of
    both are averaged. The validation examples of all folds together can show that fine-tuning helps
    even if the gain is within the noise of each single fold. The temperature is the geometric mean
    over the folds, corrected to fit the held-out examples.
    """
    config, results = every[0].run.config, [fold.run.result for fold in every]
    choices = [result.chosen for result in results]
    regularisation, agreeing = None, list(every)
    if not config.model.is_pretrained:
        kept, temperatures = "scratch", [chosen.temperature for chosen in choices]
    else:
        candidates = [result.model.candidates for result in results]
        margin = plan_of(config, data.dataset, pretrained=True).margin
        choice = tasks.of(config.task, "choice")
        kept = choice.together(config.fit.choose_by, candidates, margin)
        temperatures = [named[kept].temperature for named in candidates if kept in named]
        agreeing = [
            fold for fold, chosen in zip(every, choices, strict=True) if chosen.kept == kept
        ]
        regularisation = _regularisation(every)
    epochs = [chosen.epochs for chosen in choices if chosen.epochs]
    correction = fold_calibration.correction(data, agreeing)
    temperature = float(np.exp(np.mean(np.log(temperatures)))) * correction
    return Chosen(
        kept=kept,
        regularisation=regularisation,
        temperature=temperature,
        epochs=round(float(np.mean(epochs))) if epochs else 0,
        **({"correction": correction} if fold_calibration.is_corrected(config) else {}),
    )


def _regularisation(every: Sequence[Fold]) -> float:
    """Returns the strength of the head's regularisation with the lowest mean validation loss.

    For each strength, the loss is averaged over the folds.
    """
    losses: dict[float, list[float]] = {}
    for fold in every:
        lines = (fold.run.workdir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        for record in map(json.loads, lines):
            if record["stage"] == "head":
                losses.setdefault(record["regularisation"], []).append(record["val_loss"])
    # A strength that some fold did not try was far worse than the best one of that fold.
    complete = {
        strength: of_folds for strength, of_folds in losses.items() if len(of_folds) == len(every)
    }
    return min(complete, key=lambda strength: np.mean(complete[strength]))


def _refit_searched(run: Run, data: Data) -> keras.Model:
    """Searches once more, on all examples, and returns a model trained with the best values.

    The search is the same as in each fold. It sets some examples aside for validation. The returned
    model trains on these examples, too.
    """
    config = run.config
    part = everything(data, config)
    whole = Run(run.workdir / "fold_all", config, "fold")
    began, fingerprint = folds.digests_at_start(run), data.dataset.fingerprint
    with run.timed("folds"):
        job.prepare(whole, part=ALL, fingerprint=fingerprint, began=began)
        best_model(whole, part, backbones.initial(config))
    record = whole.record
    best = as_trained(whole)
    trial = configs.load(whole.workdir / "search" / record["search"]["best"] / "config.yaml")
    config = with_auto_resolved(trial, part)
    chosen = Chosen.model_validate(record["chosen"])
    run.add(search={**record["search"], "folder": "fold_all/search"}, chosen=chosen)
    data = prepared_again(data, best.config, ("train",))
    refitted = replace(run, config=config)
    if not config.model.is_pretrained:
        return adapt.from_scratch(refitted, data, backbones.initial(config), chosen)
    depth = plan_of(config, data.dataset, pretrained=True).freeze
    arch = architecture(run, config, data, backbones.initial(config), [depth])
    return adapt.refit(refitted, arch, chosen)


def _result(run: Run, model: keras.Model, data: Data, every: Sequence[Fold]) -> Result:
    """Builds the content of `result.json`. Its field `val` measures all held-out examples.

    The prediction for an example is made by a model that was not trained on it.
    """
    by_repeat = [folds.out_of_fold(data, every, repeat) for repeat in range(every[-1].repeat + 1)]
    predictions = np.mean(by_repeat, axis=0)
    findings = doctor.suspected_by(predictions, data.dataset)
    run.find(**findings)
    _write_label_quality(run, predictions, data, findings["suspects"])
    trained, data = run_data.for_model(run, data)
    tested = evaluation.predict(trained, model, data, ("test",))
    measured = evaluation.evaluate(
        trained, model, _with_held_out(data), {"val": by_repeat[0], **tested}
    )
    held_out = fold_calibration.held_out(data, every)
    exported = exports.exported(
        trained,
        model,
        folds.proof_data(every[0], data),
        tested,
        folds.proof_subject(every[0]),
        held_out,
    )
    results = [fold.run.result for fold in every]
    summary = _summary(run.config, results)
    abstaining = fold_calibration.abstaining(every, *held_out)
    return run.outcome(
        folds=[_described(f, r) for f, r in zip(every, results, strict=True)],
        cross_validation=_with_abstaining(summary, abstaining),
        **measured,
        **exported,
        **machine.described(),
    )


def _with_abstaining(summary: CrossValidation, measured: Abstaining | None) -> CrossValidation:
    """Returns `summary` with `measured` as its field `abstain`.

    Args:
      summary: the field `cross_validation` of `result.json`.
      measured: how well abstaining works on the held-out examples. None removes the values that an
        earlier export measured.
    """
    if measured is None and summary.abstain is None:
        return summary
    return summary.model_copy(update={"abstain": measured})


def _write_label_quality(
    run: Run, predictions: np.ndarray, data: Data, suspects: Sequence[dict[str, Any]]
) -> None:
    """Writes `label_quality.csv` with all examples, the most doubtful label first.

    Writes nothing for tasks that define no measure of label quality.
    """
    examples, classes = data.dataset.splits["train"], data.dataset.classes
    labels_of = tasks.maybe(run.config.task, "labels")
    if labels_of is None:
        return
    quality, suggested = labels_of.label_quality(predictions, data.dataset.labels("train"))
    suspected = {entry["file"] for entry in suspects}
    lines = [["file", "label", "suggested", "quality", "suspect"]]
    for i in np.argsort(quality, kind="stable"):
        file, label = examples[i].file, classes[examples[i].label]
        number = f"{quality[i]:.6f}"
        lines.append([file, label, classes[suggested[i]], number, str(int(file in suspected))])
    write_csv(run.workdir / "label_quality.csv", lines)


def _with_held_out(data: Data) -> Data:
    """Returns the data with all examples as validation split, since each was held out by a fold."""
    splits, inputs = data.dataset.splits, data.inputs
    dataset = replace(data.dataset, splits={**splits, "val": splits["train"]})
    return Data(dataset, {**inputs, "val": inputs["train"]})


def _described(fold: Fold, result: Result) -> FoldRecord:
    """Builds the entry of a fold in the field `folds` of `result.json`."""
    scores, optional = result.held_out, {}
    if search := result.search:
        best = next(trial for trial in search.trials if trial.trial == search.best)
        optional["values"] = best.values
    if result.chosen and result.chosen.regularisation is not None:
        optional["regularisation"] = result.chosen.regularisation
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
        **optional,
    )


def _summary(config: RunConfig, results: Sequence[Result]) -> CrossValidation:
    """Builds the field `cross_validation` of `result.json`.

    The field has the mean and the standard deviation of each score over all folds.
    """
    metrics = tasks.of(config.task, "names").METRICS
    scores = {name: [result.held_out[name] for result in results] for name in metrics}
    described = {
        name: Spread(mean=float(np.mean(values)), deviation=float(np.std(values, ddof=1)))
        for name, values in scores.items()
    }
    return CrossValidation(**config.cross_validate.model_dump(), scores=described)
