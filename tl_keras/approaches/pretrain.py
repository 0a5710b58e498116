"""pretrain: trains a backbone from scratch on a large data set, as a start for later runs."""

from pathlib import Path

from tl_keras.approaches import without_labels
from tl_keras.config.pretrain import LABELS
from tl_keras.config.whole import RunConfig
from tl_keras.data import run_data
from tl_keras.report.pages import page
from tl_keras.run import machine
from tl_keras.run.files import replacing
from tl_keras.run.folder import opened
from tl_keras.run.run import Run
from tl_keras.training import adapt, evaluation
from tl_keras.training import backbone as backbones
from tl_keras.training.network import model as models


def run(config: RunConfig, workdir: str | Path) -> Run:
    """Trains a backbone and writes `backbone.weights.h5`.

    Later runs set `model.weights` to this file or to the run folder.

    Raises:
      ValueError: the config, the data or the folder cannot be used.
    """
    fit = config.fit
    if fit.asks_to_freeze:
        raise ValueError(
            "fit.freeze: the command 'pretrain' trains all layers; expected 'auto' or 0; received "
            f"{fit.freeze!r}"
        )
    if config.search.wanted:
        raise ValueError(
            "search: the command 'pretrain' does not search; remove search.trials and "
            "search.minutes"
        )
    # Checked before the data are read, which may take hours.
    adapt.check_devices(config.fit.batch_size, config.nouns[0])
    if config.pretrain.objective != LABELS:
        return without_labels.run(config, workdir)
    with opened(config, workdir, "pretrain") as run:
        backbone = backbones.begin(run)
        data = run_data.read(run)
        model = backbones.trained(run, data, backbone, adapt.from_scratch)
        with replacing(run.workdir / "backbone.weights.h5") as temporary:
            models.backbone_of(model).save_weights(temporary)
        probabilities = evaluation.predict(run, model, data)
        measured = evaluation.evaluate(run, model, data, probabilities)
        run.finish(run.outcome(**measured, **machine.described()))
        page.write(run.workdir)
    return run
