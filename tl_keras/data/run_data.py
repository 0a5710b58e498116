"""Loads, checks, splits and prepares the data of a run, and records them in its folder."""

from absl import logging

from tl_keras import tasks
from tl_keras.data import record
from tl_keras.data.examples import SPLITS
from tl_keras.data.load import load
from tl_keras.data.prepared import Data, prepared, prepared_again
from tl_keras.data.wording import left_out
from tl_keras.modalities import part
from tl_keras.run.run import Run
from tl_keras.run.trained import as_trained


def read(run: Run, strict: bool = True, pooled: bool = False) -> Data:
    """Returns the data of a run, checked, split and prepared; writes `data.json`, `findings.json`.

    Args:
      strict: whether to raise a ValueError if the data cannot be trained on. If False, the reasons
        become warnings of the data set.
      pooled: whether to join train and val, for a caller that divides them into folds.

    Raises:
      ValueError: the data cannot be read, have changed since the run started, or, if `strict` is
        True, cannot be trained on. Also if the initial weights were trained on validation or test
        examples, or if there are too few examples for `export.abstain`.
    """
    config = run.config
    with run.timed("data"):
        dataset = load(config, strict)
        if pooled:
            dataset = dataset.pooled()
        record.write(run, dataset)
        counts = ", ".join(f"{len(dataset.splits[name])} {name}" for name in SPLITS)
        answers = tasks.of(config.task, "words").counted(dataset.classes)
        logging.info("data: %s; %s examples", answers, counts)
        for note in dataset.notes if strict else ():
            logging.info("data: %s", note)
        # If not strict, the command itself prints notes and warnings.
        for line in [*dataset.warnings, *left_out(dataset.quarantined)] if strict else ():
            logging.warning("data: %s", line)
        if config.export.abstain is not None:
            held_out = dataset.splits["train" if pooled else "val"]
            tasks.of(config.task, "abstain").check(len(held_out), config.export.abstain)
        data = prepared(dataset, config)
        if not run.findings:  # A continued run has the findings of the same data.
            examine = part(config.modality, "examine").examine
            run.find(**examine(dataset, data.inputs, config.settings))
    return data


def for_model(run: Run, data: Data) -> tuple[Run, Data]:
    """Returns the run and its data, prepared with the settings that the trained model needs.

    After a search, these are the settings of the best trial. Its image size may differ from that
    of the run's config. After the command parallel, they are the settings of the students.
    """
    trained = as_trained(run)
    if trained.config.settings == run.config.settings:
        return trained, data
    return trained, prepared_again(data, trained.config)
