"""What a config may say of images."""

from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    model_serializer,
    model_validator,
)

from tl_keras.config.section import Section, Share


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


# Of the operations that `times` scales; .99 of those that must stay below 1.
STRONGEST = {"rotation": 0.5, "color": 1.0, "erasing": 1.0, "mixup": 2.0, "cutmix": 2.0}
MIXING = {"mixup", "cutmix"}  # Of two images: nothing of them is left in a view of one.
