"""Progress bars, on a terminal or in a notebook."""

import os
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

from tl_keras.run.process import is_watched


def progress(
    items: Iterable[Any] | None = None,
    title: str = "",
    total: int | None = None,
    unit: str = "it",
    done: int = 0,
    silent: bool = False,
) -> tqdm:
    """A bar over items, or one that is moved by `update`; gone at its end, and off in log files.

    Args:
      total: how many there are, where `items` does not say.
      unit: what is counted, with a space before it.
      done: how many were done before it begins.
      silent: never shows the bar.
    """
    hidden = silent or not is_watched() or bool(os.environ.get("TQDM_DISABLE"))
    return tqdm(items, title, total, initial=done, unit=unit, leave=False, disable=hidden)
