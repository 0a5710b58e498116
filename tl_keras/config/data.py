"""`data`: where the examples come from, and how they are split."""

import os
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from tl_keras.config.section import (
    Location,
    OpenShare,
    Section,
    Share,
    Text,
    absolute,
    number_as_text,
    plain,
)
from tl_keras.maybe import Maybe
from tl_keras.modalities import MODALITIES, part

FILES = ("folder", "csv", "jsonl", "tfds")  # For every modality; each other source has one.
# Sources whose data `--data` names, with the words for them in messages.
OF_PATHS = {
    "folder": "a folder of class folders",
    "csv": "a CSV file",
    "jsonl": "a file of JSON lines",
}
# The source of a table, by the suffix of its file.
TABLES = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl"}
DRAWN = {source: name for name in MODALITIES for source in part(name, "config").SOURCES}


def source_of(path: str) -> str:
    """Returns the `data.source` of a path that a user gives as data, by its suffix."""
    return TABLES.get(os.path.splitext(path)[1].lower(), "folder")


class DataConfig(Section):
    """Where the examples come from, and how they are split into train, val and test."""

    source: Literal[(*FILES, *DRAWN)] = Field(  # type: ignore[valid-type]  # From a table.
        "folder",
        description="Where the examples come from. folder: one folder for each class. Folders for "
        "the splits, such as train and test, may contain the class folders or lie inside them. "
        "csv: a table with the columns path and label, and optionally split and group. A table of "
        "texts has a column text instead of path. jsonl: the same as JSON lines, with one object "
        "on each line. tfds: a data set of TensorFlow Datasets. digits: 1,797 handwritten digits "
        "inside the package. glyphs: images of letters and symbols, rendered anew in each epoch. "
        "intents: 610 short texts inside the package, which people might write to the assistant "
        "of a shop. If data.source is not set, a path that ends in .csv or .tsv is a csv, one that "
        "ends in .jsonl, .ndjson or .json is a jsonl, and any other a folder.",
    )
    modality: Literal[("auto", *MODALITIES)] = Field(  # type: ignore[valid-type]  # From a table.
        "auto",
        description="Modality: the kind of the examples, such as image. auto: the kind of the "
        "built-in examples, or what the columns of the table or the suffixes of the files say. If "
        "these do not say it, the kind that model.backbone takes, which by default is image.",
    )
    path: Maybe[Location] = Field(
        None,
        description="Path of the data: the folder of class folders (source folder), the table "
        "(sources csv and jsonl), or the folder in which TensorFlow Datasets keeps prepared data "
        "(source tfds). null: a folder in the cache (source tfds); digits, glyphs and intents "
        "need no path.",
        json_schema_extra={
            "expected": "a folder of class folders, a table (CSV or JSON lines), or a TFDS data "
            "folder"
        },
    )
    text_column: Maybe[Annotated[Text, BeforeValidator(number_as_text)]] = Field(
        None,
        description="For tables of texts: the name of the column with the texts. null: text.",
    )
    label_column: Annotated[Text, BeforeValidator(number_as_text)] = Field(
        "label", description="For tables: the name of the column with the labels."
    )
    literal_labels: bool = Field(
        False,
        description='For tables: what is done with labels that look like several classes ("a, b") '
        'or like numbers ("0.5"). true: they are used as class names. false: they are refused.',
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
        "its subfolders are used too. For texts, also a table. rest: the examples that "
        "data.examples_per_class leaves out.",
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
        if self.source in OF_PATHS and self.path is None:
            raise ValueError(f"data.path: expected {OF_PATHS[self.source]}; received none")
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
