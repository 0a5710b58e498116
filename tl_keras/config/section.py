"""What all sections of a config share: their base, and the types of their fields."""

import os
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
)

from tl_keras.config.messages import shown
from tl_keras.run.files import unwritable

Share = Annotated[float, Field(ge=0, le=1)]
OpenShare = Annotated[float, Field(ge=0, lt=1)]
Auto = Literal["auto"]
Text = Annotated[str, Field(min_length=1)]


def absolute(path: str) -> str:
    path = os.path.abspath(os.path.expanduser(path))
    if reason := unwritable(path):
        raise ValueError(f"{path!r} cannot be used: {reason}")
    return path


def plain(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def number_as_text(value: Any) -> Any:
    return str(value) if type(value) in (int, float) else value


# Absolute, so that a saved config loads from any folder.
Location = Annotated[Text, BeforeValidator(plain), AfterValidator(absolute)]


def _class_name(value: Any) -> Any:
    if type(value) is int:  # In YAML a folder called 7 is a number.
        return str(value)
    if value is None or isinstance(value, bool | float):
        raise ValueError(
            f"expected a class name; received {shown(value)}, which is not text: write it in "
            'quotes, as in "1e3" or "null"'
        )
    return value


Name = Annotated[Text, BeforeValidator(_class_name)]


class Section(BaseModel):
    """A part of a config: frozen, strict about types, and closed to unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
