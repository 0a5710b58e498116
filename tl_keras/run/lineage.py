"""Finds the earlier runs that a run's initial weights come from, and their training examples."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tl_keras.config.model import WEIGHTS, ModelConfig
from tl_keras.run import folder as runs


def run_of(weights: str) -> Path | None:
    """Returns the run folder that `weights` is or lies in; None if there is no such folder.

    Args:
      weights: a run folder, a file in a run folder, another file, or a name such as `imagenet`.
    """
    path = Path(weights).absolute()
    folder = path.parent if path.is_file() else path
    is_run = all((folder / name).is_file() for name in ("data.json", "config.yaml"))
    return folder if is_run and weights not in WEIGHTS else None


def trained_before(config: ModelConfig) -> Iterator[tuple[Path, list[str]]]:
    """Yields the earlier runs that the initial weights come from, the latest first.

    Each item is the folder of a run and the SHA-256 digests of its training examples.

    Raises:
      ValueError: the `data.json` of such a run is damaged.
    """
    weights = config.origin
    seen = set()  # A run may start from an earlier run in the same folder.
    while (source := run_of(weights)) and source not in seen:
        seen.add(source)
        data = recorded(source)
        yield source, trained_on(data)
        weights = runs.load(source).config.model.origin


def recorded(folder: Path) -> dict[str, Any]:
    """Returns the content of `data.json` of an earlier run.

    Raises:
      ValueError: the file is damaged.
    """
    file = folder / "data.json"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        content = None
    fields = {"classes", "splits", "digests", "root"}
    if not isinstance(content, dict) or not fields <= content.keys():
        raise ValueError(f"{str(file)!r} is damaged; restore it, or choose another run")
    return content


def learned_without_labels(source: Path) -> bool:
    """Returns whether the run in a folder was pretrained without labels."""
    data = recorded(source)
    return bool(data.get("objective"))


def trained_on(data: Mapping[str, Any]) -> list[str]:
    """Returns the SHA-256 digests of the examples that a run trained on.

    Args:
      data: the content of the run's `data.json`.
    """
    return [*data["digests"]["train"], *data["digests"].get("unlabelled", ())]
