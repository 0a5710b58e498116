"""`cache`: where prepared examples and activations are kept between runs."""

from typing import Annotated

from pydantic import Field

from tl_keras.config.section import Location, Section


class CacheConfig(Section):
    """Where prepared examples and activations are kept between runs.

    The cache changes only how long a run takes, never its result. These fields may therefore change
    after a run has begun or finished.
    """

    path: Location | None = Field(
        None,
        description="Folder of the cache; created if it does not exist. null: the cache folder of "
        "the user, such as ~/.cache/tl_keras on Linux; the environment variable XDG_CACHE_HOME "
        "replaces ~/.cache.",
    )
    max_bytes: Annotated[float, Field(ge=0)] = Field(
        20e9,
        description="Largest total size of the arrays in the cache. When a new array needs room, "
        "the least recently used arrays are removed. Arrays that do not fit are computed again in "
        "each run.",
        json_schema_extra={"unit": "bytes"},
    )
