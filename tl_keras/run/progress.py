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
    """Returns a progress bar. It advances while it is iterated over, or by calls of its `update`.

    The bar disappears when it is complete. It is hidden if stderr is neither a terminal nor a
    notebook.

    Args:
      items: what an iteration over the bar yields; None if the bar advances by `update`.
      title: the text before the bar.
      total: the number of items, if `items` has no length.
      unit: the word for the items, with a leading space, such as " examples".
      done: the number of items that are already done when the bar begins.
      silent: whether to hide the bar.
    """
    hidden = silent or not is_watched() or bool(os.environ.get("TQDM_DISABLE"))
    return tqdm(items, title, total, initial=done, unit=unit, leave=False, disable=hidden)
