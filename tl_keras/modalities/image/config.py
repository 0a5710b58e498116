"""The config section `image` (preparation and augmentation), and constants of this modality."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, field_validator, model_serializer, model_validator

from tl_keras.config.section import Section, Share

SOURCES = ("digits", "glyphs")  # Values of data.source that are inside the package.
PREPARATION = ("size", "resize", "antialias")
OBJECTIVES = ()  # Pre-training of images needs labels.
SEARCHED = (*PREPARATION, "augment", "augment_strength")
OF_THE_VIEWS = ("augment", "augment_strength")
DEFAULTS: dict[str, dict[str, Any]] = {}  # Other sections have the defaults for images.
SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff")
COLUMN = None  # Tables name the files of images.
INPUT = "image"  # The model's input layer.
NOUNS = ("image", "images")
PLAIN_NOUNS = ("picture", "pictures")
FOLDER_WORDS = ("image", "images", "img", "imgs", "picture", "pictures", "pics", "photo", "photos")
OTHER_SUFFIXES = {  # Suffixes of files that often lie beside images.
    *(".txt", ".md", ".rst", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".toml"),
    *(".html", ".pdf", ".doc", ".docx", ".xls", ".xlsx", ".log", ".py", ".ipynb", ".sh", ".mat"),
    *(".npy", ".npz", ".h5", ".keras", ".pt", ".pth", ".pkl", ".zip", ".tar", ".gz", ".tgz", ".7z"),
}
SCALE = "pixels in 0..255"
SMALLER = "a smaller image.size"  # Makes a model of the same backbone faster.
GREY = "keras.Model(x, model(keras.ops.mean(x, -1, keepdims=True))).save('backbone.keras')"


class RandAugment(Section):
    """RandAugment: operations chosen from a list at random for each image (arXiv 1909.13719)."""

    layers: Annotated[int, Field(ge=1, le=6)] = Field(
        2, description="Number of operations that are applied to each image."
    )
    magnitude: Share = Field(
        0.3,
        description="Largest strength of an operation, as a share of its maximum. The strength of "
        "each operation is random, up to this share.",
    )


def _names_one(schema: dict[str, Any]) -> None:
    """Changes the JSON schema of `Augmentation`: exactly one field must be given, and not null."""
    schema.update(minProperties=1, maxProperties=1)
    for field in schema["properties"].values():
        field.update(field.pop("anyOf")[0])
        del field["default"]


class Augmentation(Section):
    """One random operation on training images, as in `{rotation: 0.1}`.

    Each entry of `image.augment` names exactly one operation. Geometric operations (flip, rotation,
    zoom, translation) come first, combined into one. They fill pixels outside the image by
    mirroring it at its border.
    """

    model_config = ConfigDict(json_schema_extra=_names_one)

    flip: Literal["horizontal", "vertical", "both"] | None = Field(
        None, description="Mirrors a random half of the images along each named axis."
    )
    rotation: Annotated[float, Field(gt=0, le=0.5)] | None = Field(
        None,
        description="Rotates by a random angle of up to this many turns, either way.",
        json_schema_extra={"unit": "turns"},
    )
    zoom: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="Zooms in or out by up to this share of the size."
    )
    translation: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="Shifts by up to this share of the size along each axis."
    )
    contrast: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="Multiplies the contrast by a random factor from 1 - value to 1 + value."
    )
    brightness: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="Makes images brighter or darker by up to this share of 255."
    )
    color: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None,
        description="Multiplies the saturation by a random factor from 1 - value to 1 + value, and "
        "shifts the hue by up to a tenth of a turn times the value.",
    )
    rand_augment: RandAugment | None = Field(
        None,
        description="RandAugment: applies randomly chosen operations. Its value has two fields, as "
        "in {layers: 2, magnitude: 0.3}.",
    )
    erasing: Share | None = Field(
        None,
        description="Probability that a random rectangle of the image, 2 to 33% of its area, is "
        "replaced by grey (arXiv 1708.04896).",
    )
    mixup: Annotated[float, Field(gt=0, le=2)] | None = Field(
        None,
        description="MixUp: blends each image and its label with another of the batch. The value "
        "is alpha of the Beta distribution of the mixing ratio (arXiv 1710.09412).",
    )
    cutmix: Annotated[float, Field(gt=0, le=2)] | None = Field(
        None,
        description="CutMix: pastes a rectangle of another image of the batch, and mixes the "
        "labels by area. The value is alpha of the Beta distribution of the mixing ratio (arXiv "
        "1905.04899).",
    )

    @model_validator(mode="after")
    def _check_one(self) -> "Augmentation":
        if len(names := self._names()) != 1:
            raise ValueError(
                "expected one operation and its strength, as in {flip: both}; "
                f"received {' and '.join(names) or 'none'}"
            )
        return self

    @property
    def name(self) -> str:
        """The operation that this entry names."""
        return self._names()[0]

    def times(self, strength: float) -> "Augmentation":
        """Returns the operation with its strength multiplied by `strength`, up to its maximum.

        A flip has no strength and is returned unchanged.
        """
        value = getattr(self, self.name)
        if self.name == "flip" or strength == 1:
            return self
        if self.name == "rand_augment":
            scaled = min(1.0, value.magnitude * strength)
            return Augmentation(rand_augment=RandAugment(layers=value.layers, magnitude=scaled))
        return Augmentation(**{self.name: min(STRONGEST.get(self.name, 0.99), value * strength)})

    @model_serializer
    def _as_written(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._names()}

    def _names(self) -> list[str]:
        return [name for name, value in self if value is not None]


# The strongest value of each operation, for `times`; operations that are not listed end at 0.99,
# since they must stay below 1.
STRONGEST = {"rotation": 0.5, "color": 1.0, "erasing": 1.0, "mixup": 2.0, "cutmix": 2.0}
MIXING = {"mixup", "cutmix"}  # They join two images, so a view of one image does not show them.


class ImageConfig(Section):
    """How images are prepared, without randomness, and how they are augmented for training."""

    modality: ClassVar[str] = "image"

    size: Annotated[int, Field(ge=16, le=1024)] = Field(
        160,
        description="Height and width of the images that the model takes.",
        json_schema_extra={"unit": "px"},
    )
    resize: Literal["stretch", "crop", "pad"] = Field(
        "stretch",
        description="How an image that is not square becomes square; a device that runs the model "
        "has to do the same. stretch: the sides are scaled by different factors. crop: the middle "
        "square is used. pad: black borders are added.",
    )
    antialias: bool = Field(
        False,
        description="Whether resizing to a smaller size averages over all pixels. Image "
        "classifiers on devices usually do not average, so the default is plain bilinear "
        "interpolation.",
    )
    max_pixels: Annotated[int, Field(ge=1)] = Field(
        64_000_000,
        description="Largest number of pixels of an image file. Larger files are left out before "
        "they are decoded.",
        json_schema_extra={"unit": "pixels"},
    )
    augment: tuple[Augmentation, ...] = Field(
        (
            Augmentation(flip="horizontal"),
            Augmentation(rotation=0.05),
            Augmentation(zoom=0.1),
            Augmentation(contrast=0.1),
        ),
        description="Random operations on training images, each entry with one operation, as in "
        "[{flip: horizontal}, {rotation: 0.1}]. []: none.",
    )
    augment_strength: Annotated[float, Field(ge=0, le=2)] = Field(
        1.0,
        description="Factor by which the strength of every operation in image.augment is "
        "multiplied. 0: no augmentation.",
    )

    @property
    def augmentations(self) -> tuple[Augmentation, ...]:
        """The operations of `augment` with their strengths multiplied by `augment_strength`."""
        if self.augment_strength == 0:
            return ()
        return tuple(entry.times(self.augment_strength) for entry in self.augment)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of a prepared image: height and width in px, and the channels red, green, blue."""
        return self.size, self.size, 3

    @property
    def dtype(self) -> str:
        """Type of a prepared image, whose values are in 0..255."""
        return "uint8"

    @field_validator("augment", mode="before")
    @classmethod
    def _accept_list(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value


SECTION = ImageConfig


def refused(name: str, settings: ImageConfig) -> str | None:
    """Returns why a format of `export.formats` cannot be made for images; None if it can."""
    if name == "mediapipe":
        return "MediaPipe takes the LiteRT files of images as they are"
    return None


def check(config: Any) -> None:
    """Checks the section `image` of a `RunConfig` against its other sections.

    Raises:
      ValueError: a field of `image` and a field of another section exclude each other.
    """
    data, settings = config.data, config.image
    if data.source == "glyphs":
        _check_glyphs(data, settings)
    if config.evaluate.views > 1 and {entry.name for entry in settings.augmentations} <= MIXING:
        raise ValueError(
            "evaluate.views: all augmented views of an image would be the same, because "
            "image.augment has no operation that changes single images; expected 1, received "
            f"{config.evaluate.views}"
        )


def _check_glyphs(data: Any, settings: ImageConfig) -> None:
    if settings.augment:
        raise ValueError(
            "image.augment: expected [], since data.source: glyphs renders images that are already "
            f"distorted; received {len(settings.augment)} operations"
        )
    if data.unlabelled is not None:
        raise ValueError(
            "data.unlabelled: expected null, since data.source: glyphs renders labelled images in "
            f"any number; received {data.unlabelled!r}"
        )
    if data.balance != "none" or data.examples_per_class is not None:
        is_balance = data.balance != "none"
        name, default = ("balance", "'none'") if is_balance else ("examples_per_class", "null")
        raise ValueError(
            f"data.{name}: expected the default, {default}, since data.source: glyphs renders "
            f"about equally many images of each class; received {getattr(data, name)!r}; set the "
            "number of images with data.num_examples"
        )


def check_input(file: str, shape: Any, settings: ImageConfig) -> None:
    """Checks that the model file of a user accepts images prepared by a config.

    Args:
      file: the model file, for the message.
      shape: input shape of the model, `(batch, height, width, channels)`.

    Raises:
      ValueError: the rank, the number of channels or the size does not fit, or the input is not
        square.
    """
    if not isinstance(shape, list | tuple) or len(shape) != 4 or not all(map(_is_size, shape)):
        raise ValueError(
            f"model.backbone: {file!r} takes inputs of shape {shape}; expected (batch, height, "
            "width, 3) images"
        )
    _, height, width, channels = shape
    if channels == 1:
        raise ValueError(
            f"model.backbone: {file!r} takes grey images (1 channel); expected 3 channels, RGB; "
            f"to make an RGB model of it, load the file as `model` in Keras and run: "
            f"x = keras.Input(({height}, {width}, 3)); {GREY}"
        )
    if channels != 3:
        raise ValueError(
            f"model.backbone: {file!r} takes {channels} channels (the last axis of "
            f"{tuple(shape)}); expected 3, RGB"
        )
    if None not in (height, width) and height != width:
        raise ValueError(
            f"model.backbone: {file!r} takes images of {height} x {width} px; expected a square "
            "input"
        )
    sizes = {height, width} - {None, settings.size}
    if sizes:
        raise ValueError(
            f"image.size: {file!r} takes only images of {min(sizes)} px, received {settings.size}; "
            f"set image.size={min(sizes)}"
        )


def _is_size(value: Any) -> bool:
    return value is None or type(value) is int and value > 0


def kept(settings: ImageConfig, folder: Path) -> ImageConfig:
    """Returns the settings unchanged, since they are all that the preparation of images needs."""
    return settings


def for_students(settings: ImageConfig, folder: Path) -> ImageConfig:
    """Returns the settings of students, which are those of their teacher."""
    return settings


def extent(settings: ImageConfig) -> str:
    """Returns the field that sets the size of an example, with its value: `image.size 160`."""
    return f"image.size {settings.size}"


def described(settings: ImageConfig) -> str:
    """Returns how images are prepared, in a few words, as in `160 px, stretch`."""
    words = [f"{settings.size} px", settings.resize]
    return ", ".join([*words, "antialias"] if settings.antialias else words)
