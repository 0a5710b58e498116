"""`data`: which examples, in which splits."""

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    field_validator,
    model_validator,
)

from tl_keras.config.section import Location, OpenShare, Section, Share, Text, absolute, plain
from tl_keras.modalities.image.config import Augmentation


class DataConfig(Section):
    """Which examples, in which splits, prepared and augmented how."""

    source: Literal["folder", "csv", "tfds", "digits", "glyphs"] = "folder"
    path: Location | None = Field(
        None, description="a folder of class folders, a CSV file, or a TFDS data folder, by source"
    )
    literal_labels: bool = False  # csv: whether labels such as "a, b" or "0.5" are class names
    name: Text | None = None  # TFDS builder, as in "beans" or "cifar10:3.0.2"
    stream: bool = False  # of tfds, for pretrain: training images stay in their shards
    image_size: Annotated[int, Field(ge=16, le=1024)] = 160  # px, height = width
    resize: Literal["stretch", "crop", "pad"] = "stretch"
    antialias: bool = False  # devices' image classifiers do not
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
    max_pixels: Annotated[int, Field(ge=1)] = 64_000_000  # found before decoding
    max_bad_share: Share = 0.1  # of the files
    augment: tuple[Augmentation, ...] = (
        Augmentation(flip="horizontal"),
        Augmentation(rotation=0.05),
        Augmentation(zoom=0.1),
        Augmentation(contrast=0.1),
    )
    augment_strength: Annotated[float, Field(ge=0, le=2)] = 1.0  # times what augment says
    balance: Literal["none", "weights", "oversample"] = "none"

    @property
    def augmentations(self) -> tuple[Augmentation, ...]:
        """`augment`, as strong as `augment_strength` has it, within each operation's bounds."""
        if self.augment_strength == 0:
            return ()
        return tuple(entry.times(self.augment_strength) for entry in self.augment)

    @field_validator("unlabelled")
    @classmethod
    def is_absolute_if_folder(cls, value: str | None) -> str | None:
        return value if value in (None, "rest") else absolute(value)

    @field_validator("augment", mode="before")
    @classmethod
    def accepts_list(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

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
        if self.source == "glyphs":
            self._check_glyphs()
        if self.val + self.test >= 1:
            raise ValueError(
                f"data.test: expected val + test < 1, so that some train; received {self.val} + "
                f"{self.test}"
            )
        return self

    def _check_glyphs(self) -> None:
        if self.augment:
            raise ValueError(
                "data.augment: expected [], since glyphs are distorted as they are drawn; received "
                f"{len(self.augment)} operations"
            )
        if self.unlabelled is not None:
            raise ValueError(
                "data.unlabelled: glyphs are drawn with their labels; expected none, received "
                f"{self.unlabelled!r}"
            )
        if self.balance != "none" or self.examples_per_class is not None:
            name = "balance" if self.balance != "none" else "examples_per_class"
            raise ValueError(
                f"data.{name}: glyphs are drawn from all classes alike; expected no value, "
                f"received {getattr(self, name)!r}; data.num_examples says how many"
            )
