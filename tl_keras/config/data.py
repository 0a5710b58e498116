"""`data`: which examples, in which splits."""

from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Field,
    field_validator,
    model_validator,
)

from tl_keras.config.section import Location, OpenShare, Section, Share, Text, absolute, plain
from tl_keras.modalities import MODALITIES, part

FILES = ("folder", "csv", "tfds")  # Sources of every modality; others draw examples of one.
DRAWN = {source: name for name in MODALITIES for source in part(name, "config").SOURCES}


class DataConfig(Section):
    """Which examples, in which splits."""

    source: Literal[(*FILES, *DRAWN)] = "folder"  # type: ignore[valid-type]  # From a table.
    # What an example is; auto: by the source.
    modality: Literal[("auto", *MODALITIES)] = "auto"  # type: ignore[valid-type]  # From a table.
    path: Location | None = Field(
        None, description="a folder of class folders, a CSV file, or a TFDS data folder, by source"
    )
    literal_labels: bool = False  # csv: whether labels such as "a, b" or "0.5" are class names
    name: Text | None = None  # TFDS builder, as in "beans" or "cifar10:3.0.2"
    stream: bool = False  # of tfds, for pretrain: training images stay in their shards
    val: Annotated[float, Field(gt=0, lt=0.9)] = 0.15  # share carved from train where none is given
    test: OpenShare = 0.15  # the same
    split_seed: Annotated[int, Field(ge=0, lt=2**30)] = (
        0  # apart from `seed`: other seeds share the splits
    )
    examples_per_class: Annotated[int, Field(ge=2)] | None = None  # at most, train and val together
    unlabelled: Annotated[Text, BeforeValidator(plain)] | None = Field(
        None,
        description="for parallel: a folder of images without labels, of any layout, or 'rest': "
        "what examples_per_class leaves out",
    )
    num_examples: Annotated[int, Field(ge=200)] = 40_000  # glyphs alone: training images an epoch
    max_bad_share: Share = 0.1  # of the files
    balance: Literal["none", "weights", "oversample"] = "none"

    @field_validator("unlabelled")
    @classmethod
    def is_absolute_if_folder(cls, value: str | None) -> str | None:
        return value if value in (None, "rest") else absolute(value)

    @model_validator(mode="after")
    def names_its_source(self) -> "DataConfig":
        if self.source in ("folder", "csv") and self.path is None:
            what = "a folder of class folders" if self.source == "folder" else "a CSV file"
            raise ValueError(f"data.path: expected {what}; received none")
        if self.source == "tfds" and self.name is None:
            raise ValueError("data.name: expected a TFDS builder, as in 'beans'; received none")
        if self.stream and self.source != "tfds":
            raise ValueError(
                f"data.stream: shards are those of tfds; expected false, since data.source is "
                f"{self.source}"
            )
        if self.stream and self.balance == "oversample":
            raise ValueError(
                "data.balance: shards are read in their order, in which no example comes twice; "
                "with data.stream expected none or weights, received 'oversample'"
            )
        if self.modality not in ("auto", DRAWN.get(self.source, self.modality)):
            raise ValueError(
                f"data.modality: data.source {self.source} draws examples of "
                f"{DRAWN[self.source]}; expected auto or this, received {self.modality!r}"
            )
        if self.val + self.test >= 1:
            raise ValueError(
                f"data.test: expected val + test < 1, so that some train; received {self.val} + "
                f"{self.test}"
            )
        return self
