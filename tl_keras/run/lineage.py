"""Where weights come from: the runs before a run, and what these were trained on."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tl_keras.config.model import WEIGHTS, ModelConfig
from tl_keras.run import folder as runs


def run_of(weights: str) -> Path | None:
    """The run that weights are of: they may name its folder or a file in it."""
    path = Path(weights).absolute()
    folder = path.parent if path.is_file() else path
    is_run = all((folder / name).is_file() for name in ("data.json", "config.yaml"))
    return folder if is_run and weights not in WEIGHTS else None


def trained_before(config: ModelConfig) -> Iterator[tuple[Path, list[str]]]:
    """The runs that weights come from, the last first, and what each was trained on."""
    weights = config.origin
    seen = set()  # A folder may hold a run that came of an earlier one in the same folder.
    while (source := run_of(weights)) and source not in seen:
        seen.add(source)
        data = json.loads((source / "data.json").read_text(encoding="utf-8"))
        yield source, trained_on(data)
        weights = runs.load(source).config.model.origin


def trained_on(data: Mapping[str, Any]) -> list[str]:
    """The contents that a run was trained on, by its `data.json`."""
    return [*data["digests"]["train"], *data["digests"].get("unlabelled", ())]
