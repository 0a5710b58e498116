"""The base class of config sections, and the types that their fields share.

The `description` of a field ends with its special values, as in "null: no limit.", which the
reference in `docs/` shows as a list.

`json_schema_extra` of a field has up to two entries that the JSON schema passes on:

- `unit`: the unit of a number, such as px or minutes;
- `expected`: the phrase that an error message puts after the word "expected", if the type and the
  bounds of the field do not say enough.
"""

import os
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from tl_keras.config.messages import shown
from tl_keras.run.files import unwritable

Share = Annotated[float, Field(ge=0, le=1)]
OpenShare = Annotated[float, Field(ge=0, lt=1)]
Auto = Literal["auto"]
Text = Annotated[str, Field(min_length=1)]
Minutes = Annotated[float, Field(gt=0, json_schema_extra={"unit": "minutes"})]


def absolute(path: str) -> str:
    """Returns the absolute path, with `~` expanded.

    Raises:
      ValueError: the system cannot store a file of this name.
    """
    path = os.path.abspath(os.path.expanduser(path))
    if reason := unwritable(path):
        raise ValueError(f"{path!r} cannot be used: {reason}")
    return path


def plain(value: Any) -> Any:
    """Returns a path object as text, and any other value unchanged."""
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def number_as_text(value: Any) -> Any:
    """Returns a number as text, and any other value unchanged."""
    return str(value) if type(value) in (int, float) else value


# Paths are made absolute, so that a saved config loads from any folder.
Location = Annotated[Text, BeforeValidator(plain), AfterValidator(absolute)]


def _class_name(value: Any) -> Any:
    if type(value) is int:  # YAML reads a folder name such as 7 as a number.
        return str(value)
    if value is None or isinstance(value, bool | float):
        raise ValueError(
            f"expected a class name; received {shown(value)}, which is not text: write the name in "
            'quotes, as in "1e3" or "null"'
        )
    return value


Name = Annotated[Text, BeforeValidator(_class_name)]


class Section(BaseModel):
    """A section of a config: immutable, strict about types, without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def expected(section: type[Section], name: str) -> str:
    """Returns the phrase that an error message about a field puts after the word "expected".

    The field must have the entry `expected` in its `json_schema_extra`.
    """
    extra = section.model_fields[name].json_schema_extra
    assert isinstance(extra, dict)
    return str(extra["expected"])
