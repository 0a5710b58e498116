"""Which fields of two configs differ, as a run that goes on may not."""

from typing import Any

from tl_keras.config.text import to_tree
from tl_keras.config.whole import RunConfig

# What only adds to a run: a workdir accepts other values of these sections and fields.
ADDING = (
    *("export", "cache", "search.trials", "search.minutes", "search.keep"),
    *("fit.checkpoint_minutes", "evaluate.classes"),
    *("parallel.workers", "parallel.retries"),
)


def first_difference(old: RunConfig, new: RunConfig) -> str | None:
    """The first field that differs, as `fit.epochs: 10 in the workdir, 20 now`; None if none does.

    Fields that only add to a run (`ADDING`) may differ.
    """
    return _difference("", to_tree(old), to_tree(new))


def _difference(name: str, before: Any, now: Any) -> str | None:
    if name in ADDING or before == now:
        return None
    # The whole, its sections, and the space, whose keys are fields.
    has_fields = "." not in name or name == "search.space"
    if not has_fields or not isinstance(before, dict) or not isinstance(now, dict):
        return f"{name}: {before!r} in the workdir, {now!r} now"
    fields = {key: f"{name}.{key}" if name else key for key in [*now, *before]}
    found = (_difference(field, before.get(key), now.get(key)) for key, field in fields.items())
    return next(filter(None, found), None)
