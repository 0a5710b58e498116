"""finetune: adapts a backbone to a folder of labelled examples, measures and exports the model."""

from pathlib import Path

from tl_keras.config.whole import RunConfig
from tl_keras.data import run_data
from tl_keras.export import step as exports
from tl_keras.report.pages import page
from tl_keras.run import machine
from tl_keras.run.budget import is_stale
from tl_keras.run.folder import opened
from tl_keras.run.run import OF_ALL_SESSIONS, Run
from tl_keras.search.loop import best_model
from tl_keras.training import backbone as backbones
from tl_keras.training import evaluation
from tl_keras.training.adapt import adapt
from tl_keras.training.network import model as models


def run(config: RunConfig, workdir: str | Path) -> Run:
    """Checks the data, trains, measures and exports.

    If a finished run only lacks exports, its model is kept and not trained again.

    Raises:
      ValueError: the config, the data or the folder cannot be used.
    """
    with opened(config, workdir, "finetune") as run:
        backbone = backbones.begin(run)
        # The result of a finished run that only lacks exports. A run of `search` also lacks the
        # measurement on test.
        earlier = run.result if backbone is None and not is_stale(run) else None
        if earlier and earlier.pipeline == "search":
            run.carry("model", "search", *OF_ALL_SESSIONS)
        elif config.search.wanted:
            run.carry(*OF_ALL_SESSIONS)
        data = run_data.read(run)
        if earlier and earlier.pipeline == "finetune":
            model = models.load(run.workdir / "model.keras")
            result = exports.exported_again(run, model, data)
        else:
            train = best_model if config.search.wanted else adapt
            model = backbones.trained(run, data, backbone, train)
            trained, data = run_data.for_model(run, data)
            probabilities = evaluation.predict(trained, model, data)
            measured = evaluation.evaluate(trained, model, data, probabilities)
            exported = exports.exported(trained, model, data, probabilities)
            result = run.outcome(**measured, **exported, **machine.described())
        run.finish(result)
        page.write(run.workdir)
    return run
