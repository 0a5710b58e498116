"""Compares the config of an existing run with the config that is to continue the run."""

from typing import Any

from tl_keras.config.text import to_tree
from tl_keras.config.whole import RunConfig

# Sections and fields that may change when a run continues: they only add to it, and do not affect
# its finished work.
ADDING = (
    *("export", "cache", "search.trials", "search.minutes", "search.keep"),
    *("fit.checkpoint_minutes", "evaluate.classes"),
    *("parallel.workers", "parallel.retries"),
)


def first_difference(old: RunConfig, new: RunConfig) -> str | None:
    """Returns the first field whose value differs between two configs, and both values, as text.

    An example is `fit.epochs: 10 in the workdir, 20 now`. Returns None if no field differs. Fields
    that may change when a run continues (`ADDING`) are not compared.

    Args:
      old: the config with which the run in the workdir began.
      new: the config that is to continue it.
    """
    return _difference("", to_tree(old), to_tree(new))


def _difference(name: str, before: Any, now: Any) -> str | None:
    if name in ADDING or before == now:
        return None
    # The config itself, its sections, and search.space (whose keys are fields) have fields.
    has_fields = "." not in name or name == "search.space"
    if not has_fields or not isinstance(before, dict) or not isinstance(now, dict):
        return f"{name}: {before!r} in the workdir, {now!r} now"
    fields = {key: f"{name}.{key}" if name else key for key in [*now, *before]}
    inner = (_difference(field, before.get(key), now.get(key)) for key, field in fields.items())
    return next(filter(None, inner), None)
