"""Holds a data set with its prepared examples: decoded and resized for the model."""

from collections.abc import Sequence
from dataclasses import dataclass

from tl_keras.config.whole import RunConfig
from tl_keras.data.examples import SPLITS, Dataset
from tl_keras.data.inputs import Inputs, prepared_split


@dataclass(frozen=True)
class Data:
    """A data set with its prepared examples by split.

    Attributes:
      pool: for a fold, the examples of all folds as split train, so that their activations are
        computed once; else None.
    """

    dataset: Dataset
    inputs: dict[str, Inputs]
    pool: "Data | None" = None

    @property
    def source(self) -> "Data":
        """The data that activations are computed from: the pool of a fold, else the data itself."""
        return self.pool or self

    def split_of(self, split: str) -> str:
        """Returns the split of `source` that holds the examples of `split`."""
        return "train" if self.pool else split


def prepared(dataset: Dataset, config: RunConfig, splits: Sequence[str] = SPLITS) -> Data:
    """Returns a data set with decoded and resized examples, or with functions that read them."""
    inputs = {split: prepared_split(dataset, split, config) for split in splits}
    return Data(dataset, inputs)


def prepared_again(data: Data, config: RunConfig, splits: Sequence[str] = SPLITS) -> Data:
    """Returns the same examples prepared by another config. A fold stays part of its pool."""
    if data.pool is None:
        return prepared(data.dataset, config, splits)
    pool = prepared(data.pool.dataset, config, ("train",))
    parts = {split: pool.inputs["train"].part(data.inputs[split].rows) for split in splits}
    return Data(data.dataset, parts, pool)
