"""The data of a run: checked, split and prepared; its folder says what they are and what to look
at in them."""

from absl import logging

from tl_keras import tasks
from tl_keras.data import record
from tl_keras.data.examples import SPLITS
from tl_keras.data.load import load
from tl_keras.data.prepared import Data, prepared
from tl_keras.data.wording import left_out
from tl_keras.modalities import part
from tl_keras.run import folder as runs
from tl_keras.run.run import Run


def read(run: Run, strict: bool = True, pooled: bool = False) -> Data:
    """The run's data, audited, split and decoded; `data.json` and `findings.json` are written.

    Args:
      strict: if not, data that cannot be trained on are read too, with warnings.
      pooled: whether train and val are one, to be dealt out to folds.

    Raises:
      ValueError: the data cannot be used, or are not those that the run began with.
    """
    config = run.config
    with run.timed("data"):
        dataset = load(config, strict)
        if pooled:
            dataset = dataset.pooled()
        record.write(run, dataset)
        counts = ", ".join(f"{len(dataset.splits[name])} {name}" for name in SPLITS)
        what = tasks.of(config.task, "words").counted(dataset.classes)
        logging.info("data: %s; %s examples", what, counts)
        # Where not strict, the command itself tells of them.
        for line in [*dataset.warnings, *left_out(dataset.quarantined)] if strict else ():
            logging.warning("data: %s", line)
        if config.export.abstain is not None:
            unseen = dataset.splits["train" if pooled else "val"]
            tasks.of(config.task, "abstain").check(len(unseen), config.export.abstain)
        data = prepared(dataset, config)
        if not run.findings:  # A run that goes on has the same data.
            examine = part(config.modality, "examine").examine
            run.find(**examine(dataset, data.inputs, config.settings))
    return data


def for_model(run: Run, data: Data) -> tuple[Run, Data]:
    """The run and its data as its model takes them: a search may have chosen another size."""
    trained = runs.as_trained(run)
    if trained.config.settings == run.config.settings:
        return run, data
    return trained, prepared(data.dataset, trained.config)
