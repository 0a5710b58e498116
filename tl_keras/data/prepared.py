"""A data set with its examples prepared: decoded and brought to the size that a model takes."""

from collections.abc import Sequence
from dataclasses import dataclass

from tl_keras.config.whole import RunConfig
from tl_keras.data.examples import SPLITS, Dataset
from tl_keras.data.inputs import Inputs, prepared_split


@dataclass(frozen=True)
class Data:
    """A data set with its prepared examples by split.

    Attributes:
      pool: of a fold, all examples that the folds are of, in its split train: activations are
        computed for all folds at once.
    """

    dataset: Dataset
    inputs: dict[str, Inputs]
    pool: "Data | None" = None

    @property
    def source(self) -> "Data":
        """What activations are computed of."""
        return self.pool or self

    def split_of(self, split: str) -> str:
        """The split of `source` in which a split's examples are."""
        return "train" if self.pool else split


def prepared(dataset: Dataset, config: RunConfig, splits: Sequence[str] = SPLITS) -> Data:
    """A data set with its examples decoded and resized, or how to get them."""
    inputs = {split: prepared_split(dataset, split, config) for split in splits}
    return Data(dataset, inputs)


def prepared_again(data: Data, config: RunConfig, splits: Sequence[str] = SPLITS) -> Data:
    """The same examples, prepared as another config has it; those of a fold are left a part."""
    if data.pool is None:
        return prepared(data.dataset, config, splits)
    pool = prepared(data.pool.dataset, config, ("train",))
    parts = {split: pool.inputs["train"].part(data.inputs[split].rows) for split in splits}
    return Data(data.dataset, parts, pool)
