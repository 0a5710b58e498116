"""What is wrong with a data set, before anyone trains on it."""

import shutil
from pathlib import Path

import keras
from absl import logging

from tl_keras.config.whole import RunConfig
from tl_keras.data import batches, doctor, run_data
from tl_keras.data.inputs import Inputs
from tl_keras.data.prepared import Data
from tl_keras.report.pages import page
from tl_keras.run.folder import opened
from tl_keras.run.run import Run
from tl_keras.training import features
from tl_keras.training.network import model as models


def run(config: RunConfig, workdir: str | Path) -> Run:
    """Reads every file, leaves `data.json`, `findings.json` and a report of both.

    Labels are compared with the features of `model.backbone`; where its weights cannot be had, the
    findings say so.

    Raises:
      ValueError: the config or the folder cannot be used, or no image can be read.
    """
    with opened(config, workdir, "audit") as run:
        data = run_data.read(run, strict=False)
        run.find(**_suspected(run, data))
        shutil.rmtree(run.checkpoint)  # There is nothing to go on from.
        page.write(run.workdir)
    return run


def _suspected(run: Run, data: Data) -> dict:
    config = run.config
    try:
        backbone = models.pretrained(config.model, config.settings)
    except ValueError as error:
        reason = "; ".join(str(error).splitlines())
        logging.warning("labels are not compared: %s", reason)
        return {"suspects": [], "suspects_note": f"labels were not compared: {reason}"}
    return doctor.suspected(data.dataset, _pooled(run, data, backbone))


def _pooled(run: Run, data: Data, backbone: keras.Model) -> dict[str, Inputs]:
    config, found = run.config, {}
    filled = next(inputs for inputs in data.inputs.values() if len(inputs))
    first = next(iter(batches.evaluation(filled, features.BATCH_SIZE)))
    tried = features.prefixes(backbone, (), first, config.model)
    (output,) = tried.cuts
    for split, inputs in data.inputs.items():
        if len(inputs):
            shown = features.unaugmented(inputs, data.dataset, split, config)
            array = features.compute(tried, [output], shown, config.cache)[output].array
            features.check_finite(array, data.dataset, split, config)
            found[split] = Inputs(inputs.labels, array)
    return found
