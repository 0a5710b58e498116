"""Divides examples into the folds of a cross-validation.

Each fold has the splits train, val and test; test has the examples that the fold holds out.
"""

from dataclasses import dataclass, replace

import numpy as np

from tl_keras import tasks
from tl_keras.config.whole import RunConfig
from tl_keras.data.examples import Dataset
from tl_keras.data.load import load
from tl_keras.data.prepared import Data, prepared
from tl_keras.data.splits import folds, parted
from tl_keras.training.architecture import HEAD_SPLITS

ALL = "all"  # The name of the part with all examples, some of them set aside as validation set.


@dataclass(frozen=True)
class Part:
    """The examples of one fold.

    Attributes:
      repeat: number of the repetition of cross-validation, counted from 0.
      data: the fold's splits: train, val (to choose candidates and settings) and test (the examples
        that the fold holds out).
      rows: positions of the held-out examples among all examples.
    """

    repeat: int
    data: Data
    rows: np.ndarray


def deal(data: Data, config: RunConfig) -> list[Part]:
    """Returns the examples of every fold, for all repetitions of the cross-validation.

    All folds of the first repetition come first, then those of the second, and so on.

    Args:
      data: a data set whose train and val are pooled into one split, see `Dataset.pooled`.

    Raises:
      ValueError: an answer (such as a class) has too few examples.
    """
    examples, parts = data.dataset.splits["train"], []
    for repeat in range(config.cross_validate.repeats):
        seed = config.data.split_seed + 7919 * repeat
        for i, rows in enumerate(folds(examples, config.cross_validate.folds, seed)):
            others = np.setdiff1d(np.arange(len(examples)), rows)
            splits = _inner(data, others, f"{seed} fold {i}", config) | {"test": rows}
            part = _part(data, splits)
            _check(part)
            parts.append(Part(repeat, part, rows))
    return parts


def everything(data: Data, config: RunConfig) -> Data:
    """Divides all examples into train and val, without folds; `data.val` is the share of val."""
    rows = np.arange(len(data.inputs["train"]))
    return _part(data, _inner(data, rows, f"{config.data.split_seed} all", config))


def data_of(config: RunConfig, part: int | str | None, fingerprint: str) -> Data:
    """Reads the examples of a job and prepares them, in the process that runs the job.

    Args:
      config: the config of the job.
      part: the number of the fold that the job trains; `ALL` for all examples (see `everything`);
        None if the run has no folds.
      fingerprint: fingerprint of the data set at the time when the job was prepared.

    Raises:
      ValueError: the data set has changed since the job was prepared.
    """
    dataset = loaded_again(config, fingerprint)
    if part is None:
        return prepared(dataset, config, HEAD_SPLITS)
    pool = prepared(dataset.pooled(), config, ("train",))
    return everything(pool, config) if part == ALL else deal(pool, config)[int(part)].data


def loaded_again(config: RunConfig, fingerprint: str) -> Dataset:
    """Reads the data set of a job.

    Raises:
      ValueError: the data set has changed since the job was prepared: its fingerprint differs.
    """
    dataset = load(config)
    if dataset.fingerprint != fingerprint:
        raise ValueError(
            f"data: the {dataset.nouns[1]} have changed since this job was prepared; restore them, "
            "or start the whole run again in another --workdir"
        )
    return dataset


def _check(part: Data) -> None:
    dataset, nouns = part.dataset, part.dataset.nouns[1]
    targets = tasks.of(dataset.task, "targets")
    missing = targets.missing(part.inputs["train"].labels, dataset.classes)
    if missing:
        noun = tasks.of(dataset.task, "names").NOUNS[0]
        raise ValueError(
            "cross_validate.folds: one fold has no training example of "
            f"{noun} {missing[0]!r}, because the {nouns} of each group stay together and the "
            f"groups with this {noun} are large; choose fewer folds"
        )
    if not len(part.inputs["val"]):
        raise ValueError(
            f"data.val: the {len(part.inputs['train'])} {nouns} of a fold form groups that are too "
            "large to set a group aside as the fold's validation set; choose a larger data.val"
        )


def _inner(data: Data, rows: np.ndarray, seed: str, config: RunConfig) -> dict[str, np.ndarray]:
    """Divides the examples at `rows` into train and val.

    Returns {split: positions of its examples among all examples}.
    """
    examples = [data.dataset.splits["train"][i] for i in rows]
    train, val = parted(examples, config.data.val, seed)
    return {"train": rows[train], "val": rows[val]}


def _part(data: Data, parts: dict[str, np.ndarray]) -> Data:
    examples, inputs = data.dataset.splits["train"], data.inputs["train"]
    splits = {name: [examples[i] for i in rows] for name, rows in parts.items()}
    dataset = replace(data.dataset, splits={"test": [], **splits}, whole=False)
    return Data(dataset, {name: inputs.part(rows) for name, rows in parts.items()}, data)
