"""audit: checks a data set before anyone trains on it."""

import shutil
from pathlib import Path

import keras

from tl_keras.config.whole import RunConfig
from tl_keras.data import doctor, run_data
from tl_keras.data.batching import batches
from tl_keras.data.batching.inputs import Inputs
from tl_keras.data.prepared import Data
from tl_keras.report.pages import page
from tl_keras.run.folder import opened
from tl_keras.run.run import Run
from tl_keras.training import features
from tl_keras.training.network import model as models
from tl_keras.training.network.prefixes import prefixes_of


def run(config: RunConfig, workdir: str | Path) -> Run:
    """Reads every file and writes `data.json`, `findings.json` and a report.

    To find labels that may be wrong, heads are fitted to features of `model.backbone`, and their
    predictions are compared with the labels. If the backbone's weights are not available,
    `suspects_note` in `findings.json` says why labels were not compared.

    Raises:
      ValueError: the config or the folder cannot be used, or no example can be read.
    """
    with opened(config, workdir, "audit") as run:
        data = run_data.read(run, strict=False)
        run.find(**_suspects(run, data))
        shutil.rmtree(run.checkpoint)  # An audit is not continued.
        page.write(run.workdir)
    return run


def _suspects(run: Run, data: Data) -> dict:
    config = run.config
    try:
        backbone = models.pretrained(config.model, config.settings)
    except ValueError as error:
        reason = ". ".join(str(error).splitlines())
        return {
            "suspects": [],
            "suspects_note": f"labels were not compared with predictions: {reason}",
        }
    return doctor.suspected(data.dataset, _features(run, data, backbone))


def _features(run: Run, data: Data, backbone: keras.Model) -> dict[str, Inputs]:
    """Returns the features of each split that is not empty, `(examples, channels) float32`."""
    config, by_split = run.config, {}
    not_empty = next(inputs for inputs in data.inputs.values() if len(inputs))
    batch = next(iter(batches.evaluation(not_empty, features.BATCH_SIZE)))
    prefixes = prefixes_of(backbone, (), batch, config.model)
    (output,) = prefixes.cuts
    for split, inputs in data.inputs.items():
        if len(inputs):
            examples = features.unaugmented(inputs, data.dataset, split, config)
            array = features.compute(prefixes, [output], examples, config.cache)[output].array
            features.check_finite(array, data.dataset, split, config)
            by_split[split] = Inputs(inputs.labels, array)
    return by_split
