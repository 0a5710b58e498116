"""`data`: where the examples come from, and how they are split."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from tl_keras.config.section import Location, OpenShare, Section, Share, Text, absolute, plain
from tl_keras.maybe import Maybe
from tl_keras.modalities import MODALITIES, part

FILES = ("folder", "csv", "tfds")  # For every modality; each other source has one.
DRAWN = {source: name for name in MODALITIES for source in part(name, "config").SOURCES}


class DataConfig(Section):
    """Where the examples come from, and how they are split into train, val and test."""

    source: Literal[(*FILES, *DRAWN)] = Field(  # type: ignore[valid-type]  # From a table.
        "folder",
        description="Where the examples come from. folder: one folder for each class. Folders for "
        "the splits, such as train and test, may contain the class folders or lie inside them. "
        "csv: a table with the columns path and label, and optionally split and group. tfds: a "
        "data set of TensorFlow Datasets. digits: 1,797 handwritten digits inside the package. "
        "glyphs: images of letters and symbols, rendered anew in each epoch. intents: 610 short "
        "texts inside the package, which people might write to the assistant of a shop.",
    )
    modality: Literal[("auto", *MODALITIES)] = Field(  # type: ignore[valid-type]  # From a table.
        "auto",
        description="Modality: the kind of the examples, such as image. auto: the kind of the "
        "built-in examples if data.source is digits, glyphs or intents, else image.",
    )
    path: Maybe[Location] = Field(
        None,
        description="Path of the data: the folder of class folders (source folder), the CSV file "
        "(source csv), or the folder in which TensorFlow Datasets keeps prepared data (source "
        "tfds). null: a folder in the cache (source tfds); the sources digits, glyphs and intents "
        "need no path.",
        json_schema_extra={
            "expected": "a folder of class folders, a CSV file, or a TFDS data folder"
        },
    )
    literal_labels: bool = Field(
        False,
        description='For csv: what is done with labels that look like several classes ("a, b") or '
        'like numbers ("0.5"). true: they are used as class names. false: they are refused.',
    )
    name: Maybe[Text] = Field(
        None,
        description='For tfds: the name of the data set\'s builder, as in "beans" or '
        '"cifar10:3.0.2".',
    )
    stream: bool = Field(
        False,
        description="For tfds with the command pretrain: how the training images are read. true: "
        "from the shards (files) of TensorFlow Datasets, in each epoch. false: all images are "
        "unpacked first.",
    )
    val: Annotated[float, Field(gt=0, lt=0.9)] = Field(
        0.15,
        description="Share of the examples that becomes the validation set, if the data have no "
        "validation set. The examples are taken from train, the same share of each class.",
    )
    test: OpenShare = Field(
        0.15,
        description="Share of the examples that becomes the test set, if the data have no test "
        "set. The examples are taken from train, the same share of each class. val + test must be "
        "below 1. 0: no test set.",
    )
    split_seed: Annotated[int, Field(ge=0, lt=2**30)] = Field(
        0,
        description="Random seed of the splits, the folds of a cross-validation and the segments "
        "(parts of the teacher-labelled examples, one for each student model). The field 'seed' "
        "has no effect on them.",
    )
    examples_per_class: Annotated[int, Field(ge=2)] | None = Field(
        None,
        description="Largest number of examples of each class in train and val together. Further "
        "examples are not used, unless data.unlabelled is 'rest'. null: no limit.",
    )
    unlabelled: Maybe[Annotated[Text, BeforeValidator(plain)]] = Field(
        None,
        description="For the command parallel: a folder of examples without labels; files in "
        "its subfolders are used too. rest: the examples that data.examples_per_class leaves out.",
        json_schema_extra={
            "expected": "a folder of examples without labels, or 'rest' (the examples that "
            "examples_per_class leaves out)"
        },
    )
    num_examples: Annotated[int, Field(ge=200)] = Field(
        40_000,
        description="For glyphs: number of training images that are rendered for each epoch.",
    )
    max_bad_share: Share = Field(
        0.1,
        description="Largest share of files that may be unreadable or otherwise unusable. If the "
        "share is larger, the run ends with an error.",
    )
    balance: Literal["none", "weights", "oversample"] = Field(
        "none",
        description="What is done about classes of different size. none: nothing. weights: the "
        "loss of an example is weighted by the inverse size of its class. oversample: each epoch "
        "contains every class equally often, so examples of small classes are repeated.",
    )

    @field_validator("unlabelled")
    @classmethod
    def _make_absolute(cls, value: str | None) -> str | None:
        return value if value in (None, "rest") else absolute(value)

    @model_validator(mode="after")
    def _check_source(self) -> "DataConfig":
        if self.source in ("folder", "csv") and self.path is None:
            what = "a folder of class folders" if self.source == "folder" else "a CSV file"
            raise ValueError(f"data.path: expected {what}; received none")
        if self.source == "tfds" and self.name is None:
            raise ValueError(
                "data.name: expected the name of a TFDS builder, as in 'beans', since data.source "
                "is 'tfds'; received null"
            )
        if self.stream and self.source != "tfds":
            raise ValueError(
                f"data.stream: only data of the source 'tfds' can be streamed from shards; "
                f"expected false, since data.source is {self.source!r}"
            )
        if self.stream and self.balance == "oversample":
            raise ValueError(
                "data.balance: with data.stream each example is read once in an epoch, so examples "
                "cannot be repeated; expected 'none' or 'weights', received 'oversample'"
            )
        if self.modality not in ("auto", DRAWN.get(self.source, self.modality)):
            raise ValueError(
                f"data.modality: the examples of data.source {self.source!r} are of the modality "
                f"{DRAWN[self.source]!r}; expected 'auto' or {DRAWN[self.source]!r}, received "
                f"{self.modality!r}"
            )
        if self.val + self.test >= 1:
            raise ValueError(
                "data.test: expected val + test < 1, so that examples are left to train on; "
                f"received {self.val} + {self.test}"
            )
        return self
