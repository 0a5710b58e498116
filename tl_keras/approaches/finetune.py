"""The main job: a folder of labelled images in, a proved edge model out."""

from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from tl_keras import export, report
from tl_keras import model as models
from tl_keras.approaches import search, stages
from tl_keras.approaches.adapt import adapt
from tl_keras.approaches.architecture import Data
from tl_keras.config import RunConfig
from tl_keras.data.image import prepare
from tl_keras.run import Run, is_stale, opened


def run(config: RunConfig, workdir: str | Path) -> Run:
    """Audits, trains, measures and exports. A finished run to which exports are added keeps its
    model.

    Raises:
      ValueError: the config, the data or the folder cannot be used.
    """
    with opened(config, workdir, "finetune") as run:
        backbone = stages.backbone(run)
        # A finished run to which exports are added; one of `search` is not measured on test yet.
        done = backbone is None and not is_stale(run) and run.result
        if done and done["pipeline"] == "search":
            stages.carry(run, ("model", "search", *stages.OF_ALL_SESSIONS))
        elif config.search.wanted:
            stages.carry(run, stages.OF_ALL_SESSIONS)
        data = stages.read(run)
        if done and done["pipeline"] == "finetune":
            model = models.load(run.workdir / "model.keras")
            trained, data = stages.as_trained(run, data)
            probabilities = stages.predict(trained, model, data)
            exported = _export(trained, model, data, probabilities)["export"]
            result = {**done, "export": {**done["export"], **exported}}
        else:
            train = search.best_model if config.search.wanted else adapt
            model = stages.trained(run, data, backbone, train)
            trained, data = stages.as_trained(run, data)
            probabilities = stages.predict(trained, model, data)
            measured = stages.evaluate(trained, model, data, probabilities)
            exported = _export(trained, model, data, probabilities)
            result = stages.result(run, **measured, **exported)
        run.finish(result)
        report.write(run.workdir)
    return run


def _export(
    run: Run, model: keras.Model, data: Data, probabilities: stages.Probabilities
) -> dict[str, Any]:
    def as_in_training(image: tf.Tensor) -> tf.Tensor:
        return prepare(image, run.config.data)

    folder = run.workdir / "export"
    with run.timed("export"):
        export.write_labels(data.dataset.classes, folder)
        exported = export.export(
            model, data.inputs, probabilities, as_in_training, run.config.export, folder
        )
    return {"export": exported}
