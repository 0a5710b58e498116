"""The main job: a folder of labelled images in, a proved edge model out."""

from pathlib import Path

from tl_keras.approaches import stages
from tl_keras.config.whole import RunConfig
from tl_keras.export import step as exports
from tl_keras.report.pages import page
from tl_keras.run.budget import is_stale
from tl_keras.run.folder import opened
from tl_keras.run.run import Run
from tl_keras.search.loop import best_model
from tl_keras.training import backbone as backbones
from tl_keras.training.adapt import adapt
from tl_keras.training.network import model as models


def run(config: RunConfig, workdir: str | Path) -> Run:
    """Audits, trains, measures and exports. A finished run to which exports are added keeps its
    model.

    Raises:
      ValueError: the config, the data or the folder cannot be used.
    """
    with opened(config, workdir, "finetune") as run:
        backbone = backbones.begin(run)
        # A finished run to which exports are added; one of `search` is not measured on test yet.
        done = backbone is None and not is_stale(run) and run.result
        if done and done["pipeline"] == "search":
            stages.carry(run, ("model", "search", *stages.OF_ALL_SESSIONS))
        elif config.search.wanted:
            stages.carry(run, stages.OF_ALL_SESSIONS)
        data = stages.read(run)
        if done and done["pipeline"] == "finetune":
            model = models.load(run.workdir / "model.keras")
            result = exports.exported_again(run, model, data)
        else:
            train = best_model if config.search.wanted else adapt
            model = stages.trained(run, data, backbone, train)
            trained, data = stages.as_trained(run, data)
            probabilities = stages.predict(trained, model, data)
            measured = stages.evaluate(trained, model, data, probabilities)
            exported = exports.exported(trained, model, data, probabilities)
            result = stages.result(run, **measured, **exported)
        run.finish(result)
        page.write(run.workdir)
    return run
