"""`cache`: where decoded examples and activations are kept."""

from typing import Annotated

from pydantic import (
    Field,
)

from tl_keras.config.section import Location, Section


class CacheConfig(Section):
    """Where prepared examples and activations are kept; never part of a fingerprint."""

    path: Location | None = None  # null: the user's cache folder
    max_bytes: Annotated[float, Field(ge=0)] = 20e9
