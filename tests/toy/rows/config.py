from typing import Annotated, ClassVar

from pydantic import Field

from tl_keras.config.section import Section

SOURCES = ()
PREPARATION = ("length", "scale")
OBJECTIVES = ()
SEARCHED = (*PREPARATION, "noise")
OF_THE_VIEWS = ("noise",)
SCALE = "numbers around 0"
SMALLER = "a smaller rows.length"
DEFAULTS = {"model": {"backbone": "ToyGated", "weights": "none"}}
SUFFIXES = (".row",)
COLUMN = None
INPUT = "row"
NOUNS = PLAIN_NOUNS = ("row", "rows")
FOLDER_WORDS = ("row", "rows")
OTHER_SUFFIXES = {".csv", ".md"}


def refused(name, settings):
    return "no file for rows" if name == "mediapipe" else None


class Noise(Section):
    deviation: float


class RowsConfig(Section):
    """How rows are prepared."""

    modality: ClassVar[str] = "rows"

    length: Annotated[int, Field(ge=1)] = 8  # numbers per row; longer rows are cut, others padded
    scale: float = 1.0
    noise: Annotated[float, Field(ge=0)] = 0.05

    @property
    def augmentations(self):
        return (Noise(deviation=self.noise),) if self.noise else ()

    @property
    def shape(self):
        return (self.length,)

    @property
    def dtype(self):
        return "float32"


SECTION = RowsConfig


def check(config):
    pass


def check_input(file, shape, settings):
    if tuple(shape[1:]) != settings.shape:
        raise ValueError(f"model.backbone: {file!r} takes {shape}; expected rows.length numbers")


def kept(settings, folder):
    return settings


def for_students(settings, folder):
    return settings


def extent(settings):
    return f"rows.length {settings.length}"


def described(settings):
    return f"{settings.length} numbers"
