"""Finds fields of a config that were renamed since an earlier version."""

from collections.abc import Iterator, Mapping
from typing import Any

RENAMED = {
    "data.image_size": "image.size",
    "data.resize": "image.resize",
    "data.antialias": "image.antialias",
    "data.max_pixels": "image.max_pixels",
    "data.augment": "image.augment",
    "data.augment_strength": "image.augment_strength",
}


def lines(tree: Mapping[str, Any]) -> dict[str, str]:
    """Returns a message for each field of a config that still has an earlier name.

    The keys of the dict are the earlier names, such as `data.image_size`.

    Args:
      tree: the config as nested dicts.
    """
    return {old: f"{old}: this field is now {new}" for old, new in _used(tree)}


def _used(tree: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    search = tree.get("search")
    space = search.get("space") if isinstance(search, Mapping) else None
    for old, new in RENAMED.items():
        section, field = old.split(".")
        for where, fields in (("", tree), ("search.space.", space)):
            if not isinstance(fields, Mapping):
                continue
            inner = fields.get(section)
            if old in fields or isinstance(inner, Mapping) and field in inner:
                yield f"{where}{old}", f"{where}{new}"
