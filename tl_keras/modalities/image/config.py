"""`image`: how images are prepared and augmented. What a config may say of them."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, field_validator, model_serializer, model_validator

from tl_keras.config.section import Section, Share

SOURCES = ("digits", "glyphs")  # Drawn by the package itself.
PREPARATION = ("size", "resize", "antialias")
SEARCHED = (*PREPARATION, "augment", "augment_strength")
OF_THE_VIEWS = ("augment", "augment_strength")
INPUT = "image"  # The model's input layer.
NOUNS = ("image", "images")
PLAIN_NOUNS = ("picture", "pictures")
FOLDER_WORDS = ("image", "images", "img", "imgs", "picture", "pictures", "pics", "photo", "photos")
OTHER_SUFFIXES = {  # Of files that lie beside images.
    *(".txt", ".md", ".rst", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".toml"),
    *(".html", ".pdf", ".doc", ".docx", ".xls", ".xlsx", ".log", ".py", ".ipynb", ".sh", ".mat"),
    *(".npy", ".npz", ".h5", ".keras", ".pt", ".pth", ".pkl", ".zip", ".tar", ".gz", ".tgz", ".7z"),
}
SCALE = "pixels in 0..255"
SMALLER = "a smaller image.size"  # What makes a model of the same backbone smaller or faster.
GREY = "keras.Model(x, model(keras.ops.mean(x, -1, keepdims=True))).save('backbone.keras')"


class RandAugment(Section):
    """Random operations drawn from a list (arXiv 1909.13719)."""

    layers: Annotated[int, Field(ge=1, le=6)] = 2  # operations an image
    magnitude: Share = 0.3  # 1 is the strongest of each operation


def _names_one(schema: dict[str, Any]) -> None:
    """The JSON schema of `Augmentation`: one field, and not null."""
    schema.update(minProperties=1, maxProperties=1)
    for field in schema["properties"].values():
        field.update(field.pop("anyOf")[0])
        del field["default"]


class Augmentation(Section):
    """One random operation on training images; an entry of the list names exactly one."""

    model_config = ConfigDict(json_schema_extra=_names_one)

    flip: Literal["horizontal", "vertical", "both"] | None = None
    rotation: Annotated[float, Field(gt=0, le=0.5)] | None = None  # turns, either way
    zoom: Annotated[float, Field(gt=0, lt=1)] | None = None  # share of the size, in or out
    translation: Annotated[float, Field(gt=0, lt=1)] | None = None  # share of the size
    contrast: Annotated[float, Field(gt=0, lt=1)] | None = None  # factor in 1 -+ this
    brightness: Annotated[float, Field(gt=0, lt=1)] | None = None  # share of 255, either way
    color: Annotated[float, Field(gt=0, le=1)] | None = None  # saturation 1 -+ this; hue a tenth
    rand_augment: RandAugment | None = None
    erasing: Share | None = None  # chance that a rectangle is erased (arXiv 1708.04896)
    mixup: Annotated[float, Field(gt=0, le=2)] | None = None  # Beta's alpha (arXiv 1710.09412)
    cutmix: Annotated[float, Field(gt=0, le=2)] | None = None  # Beta's alpha (arXiv 1905.04899)

    @model_validator(mode="after")
    def names_one(self) -> "Augmentation":
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
        """The operation at another strength, at most the strongest; a flip has only one."""
        value = getattr(self, self.name)
        if self.name == "flip" or strength == 1:
            return self
        if self.name == "rand_augment":
            scaled = min(1.0, value.magnitude * strength)
            return Augmentation(rand_augment=RandAugment(layers=value.layers, magnitude=scaled))
        return Augmentation(**{self.name: min(STRONGEST.get(self.name, 0.99), value * strength)})

    @model_serializer
    def as_written(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._names()}

    def _names(self) -> list[str]:
        return [name for name, value in self if value is not None]


# The strongest value of an operation that `times` scales; 0.99 for those that must stay below 1.
STRONGEST = {"rotation": 0.5, "color": 1.0, "erasing": 1.0, "mixup": 2.0, "cutmix": 2.0}
MIXING = {"mixup", "cutmix"}  # They join two images, so a view of one image shows nothing of them.


class ImageConfig(Section):
    """How images are prepared, the same every time, and augmented at random for training."""

    modality: ClassVar[str] = "image"

    size: Annotated[int, Field(ge=16, le=1024)] = 160  # px, height = width
    resize: Literal["stretch", "crop", "pad"] = "stretch"
    antialias: bool = False  # devices' image classifiers do not
    max_pixels: Annotated[int, Field(ge=1)] = 64_000_000  # of a file, checked before decoding
    augment: tuple[Augmentation, ...] = (
        Augmentation(flip="horizontal"),
        Augmentation(rotation=0.05),
        Augmentation(zoom=0.1),
        Augmentation(contrast=0.1),
    )
    augment_strength: Annotated[float, Field(ge=0, le=2)] = 1.0  # times what augment says

    @property
    def augmentations(self) -> tuple[Augmentation, ...]:
        """`augment`, as strong as `augment_strength` has it, within each operation's bounds."""
        if self.augment_strength == 0:
            return ()
        return tuple(entry.times(self.augment_strength) for entry in self.augment)

    @property
    def shape(self) -> tuple[int, int, int]:
        """What a model takes: height and width in px, and red, green, blue."""
        return self.size, self.size, 3

    @property
    def dtype(self) -> str:
        """The type of a prepared image, of values in 0..255."""
        return "uint8"

    @field_validator("augment", mode="before")
    @classmethod
    def accepts_list(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value


SECTION = ImageConfig


def check(config: Any) -> None:
    """Checks what a `RunConfig` says of images against its other sections.

    Raises:
      ValueError: they do not go together.
    """
    data, settings = config.data, config.image
    if data.source == "glyphs":
        _check_glyphs(data, settings)
    if config.evaluate.views > 1 and {entry.name for entry in settings.augmentations} <= MIXING:
        raise ValueError(
            "evaluate.views: views differ by image.augment, which changes no single image; "
            f"expected 1, received {config.evaluate.views}"
        )


def _check_glyphs(data: Any, settings: ImageConfig) -> None:
    if settings.augment:
        raise ValueError(
            "image.augment: expected [], since glyphs are distorted as they are drawn; received "
            f"{len(settings.augment)} operations"
        )
    if data.unlabelled is not None:
        raise ValueError(
            "data.unlabelled: glyphs are drawn with their labels; expected none, received "
            f"{data.unlabelled!r}"
        )
    if data.balance != "none" or data.examples_per_class is not None:
        name = "balance" if data.balance != "none" else "examples_per_class"
        raise ValueError(
            f"data.{name}: glyphs are drawn from all classes alike; expected no value, "
            f"received {getattr(data, name)!r}; data.num_examples says how many"
        )


def check_input(file: str, shape: Any, settings: ImageConfig) -> None:
    """Rejects a model whose input `(batch, height, width, channels)` does not take the images.

    Args:
      file: of the model, for the message.

    Raises:
      ValueError: another rank or number of channels, not square, or another size.
    """
    if not isinstance(shape, list | tuple) or len(shape) != 4 or not all(map(_is_size, shape)):
        raise ValueError(
            f"model.backbone: {file!r} takes {shape}; expected (batch, height, width, 3) images"
        )
    _, height, width, channels = shape
    if channels == 1:
        raise ValueError(
            f"model.backbone: {file!r} takes grey images of 1 channel; expected 3, RGB: in Keras, "
            f"x = keras.Input(({height}, {width}, 3)); {GREY}"
        )
    if channels != 3:
        raise ValueError(
            f"model.backbone: {file!r} takes {channels} channels, last in {tuple(shape)}; "
            "expected 3, RGB"
        )
    if None not in (height, width) and height != width:
        raise ValueError(
            f"model.backbone: {file!r} takes images of {height} x {width} px; expected as many "
            "rows as columns"
        )
    sizes = {height, width} - {None, settings.size}
    if sizes:
        raise ValueError(
            f"image.size: {file!r} takes {min(sizes)} px alone, received {settings.size}; "
            f"set image.size={min(sizes)}"
        )


def _is_size(value: Any) -> bool:
    return value is None or type(value) is int and value > 0


def extent(settings: ImageConfig) -> str:
    """The field that says how large an example is, with its value, as in `image.size 160`."""
    return f"image.size {settings.size}"


def described(settings: ImageConfig) -> str:
    """The preparation in a few words, as in `160 px, stretch`."""
    words = [f"{settings.size} px", settings.resize]
    return ", ".join([*words, "antialias"] if settings.antialias else words)
