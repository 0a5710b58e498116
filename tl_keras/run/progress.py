"""Shows progress bars on a terminal or in a notebook."""

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
    """Returns a progress bar that iterates over `items` or is moved by `update`.

    The bar disappears at its end. It is hidden if stderr is neither a terminal nor a notebook.

    Args:
      total: the number of items, if `items` has no length.
      unit: what is counted, with a leading space.
      done: how many items were done before.
      silent: hides the bar.
    """
    hidden = silent or not is_watched() or bool(os.environ.get("TQDM_DISABLE"))
    return tqdm(items, title, total, initial=done, unit=unit, leave=False, disable=hidden)
