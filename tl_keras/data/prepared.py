"""Holds a data set together with its prepared examples, such as images of the model's size."""

from collections.abc import Sequence
from dataclasses import dataclass

from tl_keras.config.whole import RunConfig
from tl_keras.data.batching.inputs import Inputs, prepared_split
from tl_keras.data.examples import SPLITS, Dataset


@dataclass(frozen=True)
class Data:
    """A data set with the prepared examples of each split.

    Attributes:
      pool: for a fold of cross-validation, the data of all folds, joined in the split train. Their
        activations are computed only once. None if this is not a fold.
    """

    dataset: Dataset
    inputs: dict[str, Inputs]
    pool: "Data | None" = None

    @property
    def source(self) -> "Data":
        """The data that activations are computed from: the pool of a fold, else the data itself."""
        return self.pool or self

    def split_of(self, split: str) -> str:
        """Returns the name of the split of `source` that contains the examples of `split`.

        In a fold this is always `train`, since the pool has only this split; else it is `split`.
        """
        return "train" if self.pool else split


def prepared(dataset: Dataset, config: RunConfig, splits: Sequence[str] = SPLITS) -> Data:
    """Returns a data set with its prepared examples, as arrays or as functions that read them."""
    inputs = {split: prepared_split(dataset, split, config) for split in splits}
    return Data(dataset, inputs)


def prepared_again(data: Data, config: RunConfig, splits: Sequence[str] = SPLITS) -> Data:
    """Returns the same data, but with the examples prepared by the settings of another config.

    For a fold of cross-validation, the whole pool is prepared: the examples of all folds.
    """
    if data.pool is None:
        return prepared(data.dataset, config, splits)
    pool = prepared(data.pool.dataset, config, ("train",))
    parts = {split: pool.inputs["train"].part(data.inputs[split].rows) for split in splits}
    return Data(data.dataset, parts, pool)
