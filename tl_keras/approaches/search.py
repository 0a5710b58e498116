"""search: runs trials over freeze depth, learning rate and other fields, and keeps the best model.

A trial is a run inside the run. No decision depends on the test split.
"""

from pathlib import Path

from tl_keras.config.whole import RunConfig
from tl_keras.data import run_data
from tl_keras.report.pages import page
from tl_keras.run import machine
from tl_keras.run.folder import opened
from tl_keras.run.run import OF_ALL_SESSIONS, Run
from tl_keras.search.loop import best_model
from tl_keras.training import backbone as backbones
from tl_keras.training import evaluation


def run(config: RunConfig, workdir: str | Path) -> Run:
    """Runs the search, keeps the best trial's model, and measures it on the validation split.

    Raises:
      ValueError: the config, the data or the folder cannot be used, or all trials failed.
    """
    with opened(config, workdir, "search") as run:
        backbone = backbones.begin(run)
        run.carry(*OF_ALL_SESSIONS)
        data = run_data.read(run)
        model = backbones.trained(run, data, backbone, best_model)
        trained, data = run_data.for_model(run, data)
        probabilities = evaluation.predict(trained, model, data, ("val",))
        measured = evaluation.evaluate(trained, model, data, probabilities)
        run.finish(run.outcome(**measured, **machine.described()))
        page.write(run.workdir)
    return run
