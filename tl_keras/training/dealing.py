"""Examples dealt out to folds: what each trains on, chooses by, and holds out."""

from dataclasses import dataclass, replace

import numpy as np

from tl_keras import tasks
from tl_keras.config.whole import RunConfig
from tl_keras.data.examples import Dataset
from tl_keras.data.load import load
from tl_keras.data.prepared import Data, prepared
from tl_keras.data.splits import folds, parted
from tl_keras.training.architecture import HEAD_SPLITS

ALL = "all"  # The part that is everything, of which some is set aside for choices.


@dataclass(frozen=True)
class Part:
    """The examples of a fold.

    Attributes:
      repeat: which time the examples are dealt out.
      data: what is trained on, what choices are made on, and as test what is held out.
      rows: positions of the held-out examples among all.
    """

    repeat: int
    data: Data
    rows: np.ndarray


def deal(data: Data, config: RunConfig) -> list[Part]:
    """The parts of all folds, repeat by repeat.

    Args:
      data: train and val in one, see `Dataset.pooled`.

    Raises:
      ValueError: an answer has too few examples.
    """
    examples, found = data.dataset.splits["train"], []
    for repeat in range(config.cross_validate.repeats):
        seed = config.data.split_seed + 7919 * repeat
        for i, rows in enumerate(folds(examples, config.cross_validate.folds, seed)):
            others = np.setdiff1d(np.arange(len(examples)), rows)
            parts = _inner(data, others, f"{seed} fold {i}", config) | {"test": rows}
            part = _part(data, parts)
            _check(part)
            found.append(Part(repeat, part, rows))
    return found


def everything(data: Data, config: RunConfig) -> Data:
    """All examples, some of them set aside for choices."""
    rows = np.arange(len(data.inputs["train"]))
    return _part(data, _inner(data, rows, f"{config.data.split_seed} all", config))


def data_of(config: RunConfig, part: int | str | None, fingerprint: str) -> Data:
    """The examples of a job, read anew and prepared as its config says.

    Args:
      part: the number of a fold, `ALL`, or None where there are no folds.
      fingerprint: of the data that the job was made for.

    Raises:
      ValueError: the data are other ones by now.
    """
    dataset = loaded_again(config, fingerprint)
    if part is None:
        return prepared(dataset, config, HEAD_SPLITS)
    pool = prepared(dataset.pooled(), config, ("train",))
    return everything(pool, config) if part == ALL else deal(pool, config)[int(part)].data


def loaded_again(config: RunConfig, fingerprint: str) -> Dataset:
    """The data set that a job was made for, see `data_of`."""
    dataset = load(config)
    if dataset.fingerprint != fingerprint:
        raise ValueError(
            f"data: the {dataset.nouns[1]} are not those that the job was made for; restore them, "
            "or start the whole run again in another --workdir"
        )
    return dataset


def _check(part: Data) -> None:
    dataset, nouns = part.dataset, part.dataset.nouns[1]
    targets = tasks.of(dataset.task, "targets")
    missing = targets.missing(part.inputs["train"].labels, dataset.classes)
    if missing:
        raise ValueError(
            f"cross_validate.folds: {tasks.of(dataset.task, 'names').NOUNS[0]} {missing[0]!r} has "
            f"no example left to train a fold on, since its {nouns} stand in large groups; "
            "expected fewer folds"
        )
    if not len(part.inputs["val"]):
        raise ValueError(
            f"data.val: {len(part.inputs['train'])} {nouns} stand in groups too large to set some "
            "aside for the choices of a fold; expected a larger share"
        )


def _inner(data: Data, rows: np.ndarray, seed: str, config: RunConfig) -> dict[str, np.ndarray]:
    """Of some examples those to train on and those to choose by, as positions among all."""
    examples = [data.dataset.splits["train"][i] for i in rows]
    train, val = parted(examples, config.data.val, seed)
    return {"train": rows[train], "val": rows[val]}


def _part(data: Data, parts: dict[str, np.ndarray]) -> Data:
    examples, inputs = data.dataset.splits["train"], data.inputs["train"]
    splits = {name: [examples[i] for i in rows] for name, rows in parts.items()}
    dataset = replace(data.dataset, splits={"test": [], **splits}, whole=False)
    return Data(dataset, {name: inputs.part(rows) for name, rows in parts.items()}, data)
