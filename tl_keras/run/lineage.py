"""Finds the runs that initial weights come from, and the examples that those runs trained on."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tl_keras.config.model import WEIGHTS, ModelConfig
from tl_keras.run import folder as runs


def run_of(weights: str) -> Path | None:
    """Returns the run folder that `weights` names directly or through a file in it, or None."""
    path = Path(weights).absolute()
    folder = path.parent if path.is_file() else path
    is_run = all((folder / name).is_file() for name in ("data.json", "config.yaml"))
    return folder if is_run and weights not in WEIGHTS else None


def trained_before(config: ModelConfig) -> Iterator[tuple[Path, list[str]]]:
    """Yields the runs that weights come from, latest first, with the digests each trained on."""
    weights = config.origin
    seen = set()  # A run may start from an earlier run in the same folder.
    while (source := run_of(weights)) and source not in seen:
        seen.add(source)
        data = json.loads((source / "data.json").read_text(encoding="utf-8"))
        yield source, trained_on(data)
        weights = runs.load(source).config.model.origin


def trained_on(data: Mapping[str, Any]) -> list[str]:
    """Returns the SHA-256 digests of the examples that a run trained on, from its `data.json`."""
    return [*data["digests"]["train"], *data["digests"].get("unlabelled", ())]
