"""pretrain on examples without labels: the objective comes from the modality of the examples."""

from dataclasses import replace
from pathlib import Path

from absl import logging

from tl_keras.config.whole import RunConfig
from tl_keras.data import record, without_labels
from tl_keras.data.examples import Dataset
from tl_keras.data.wording import left_out, number_of
from tl_keras.modalities import part
from tl_keras.report.pages import page
from tl_keras.run import machine
from tl_keras.run.files import replacing
from tl_keras.run.folder import opened
from tl_keras.run.result.training import Pretraining
from tl_keras.run.run import Run
from tl_keras.training import adapt, objective
from tl_keras.training import backbone as backbones
from tl_keras.training.network.freeze import Freeze


def run(config: RunConfig, workdir: str | Path) -> Run:
    """Trains a backbone on examples without labels; writes `model.keras`, which has no head.

    Later runs set `model.weights` to the run folder.

    Raises:
      ValueError: the config, the data or the folder cannot be used.
    """
    module = part(config.modality, f"objectives.{config.pretrain.objective}")
    if config.fit.epochs == 0:
        raise ValueError(
            "fit.epochs: the command 'pretrain' trains nothing in 0 epochs; expected 'auto' or at "
            "least 1"
        )
    module.check(config)
    with opened(config, workdir, "pretrain") as run:
        file = run.workdir / "model.keras"
        with run.timed("data"):
            dataset = _data(run)
            anew = not file.exists() and not any(run.checkpoint.glob("*.npy"))
            contents = without_labels.read(dataset, "train")
            settings = module.begin(config, contents, run.workdir, anew)
            named = {name: getattr(settings, name) for name in type(settings).model_fields}
            task = objective.prepared(module, config.with_settings(**named), dataset)
        if not file.exists() or "pretraining" not in run.record:
            _train(run, task, file)
        run.finish(run.outcome(**machine.described()))
        page.write(run.workdir)
    return run


def _data(run: Run) -> Dataset:
    dataset = without_labels.load(run.config)
    record.write(run, dataset)
    train, val = (len(dataset.splits[name]) for name in ("train", "val"))
    logging.info("data: %s, %d for validation", number_of(train + val, *dataset.nouns), val)
    for note in dataset.notes:
        logging.info("data: %s", note)
    for line in [*dataset.warnings, *left_out(dataset.quarantined)]:
        logging.warning("data: %s", line)
    run.find()
    return dataset


def _train(run: Run, task: objective.Task, file: Path) -> None:
    """Trains the backbone, and writes `model.keras` and `backbone.weights.h5`."""
    config = task.config
    backbone = backbones.initial(config)
    backbones.check_same(replace(run, config=config), config.model, backbone)
    epochs, measured = objective.fit(run, task, backbone)
    with replacing(run.workdir / "backbone.weights.h5") as temporary:
        backbone.save_weights(temporary)
    kept = "finetuned" if config.model.is_pretrained else "scratch"
    described = adapt.described(backbone, config, Freeze(0.0, None, None, 0, 0), kept)
    pieces = {split: len(inputs) for split, inputs in task.inputs.items()}
    run.add(
        model=described,
        pretraining=Pretraining(
            objective=config.pretrain.objective,
            pieces=pieces,
            facts=task.objective.facts(config.settings),
            epochs=epochs,
            val=measured,
        ),
    )
    with replacing(file) as temporary:
        backbone.save(temporary)
