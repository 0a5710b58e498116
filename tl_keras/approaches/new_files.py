"""Files that a finished run is used on: checked and read as its own were."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from tl_keras import modalities
from tl_keras.data import check_files, store
from tl_keras.data.inputs import Inputs, reader
from tl_keras.modalities import part
from tl_keras.run.run import Run


def checked(files: list[Path], run: Run) -> dict[str, Any]:
    """What the audit says of each file, by its path."""
    memory = store.subfolder(run.config.cache, store.AUDIT)
    paths = [str(file.absolute()) for file in files]
    found = check_files.check_all(Path("/"), paths, run.config.settings, memory)
    return {str(file): found[name] for file, name in zip(files, paths, strict=True)}


def inputs(files: list[Path], checked: list[Any], labels: np.ndarray, run: Run) -> Inputs:
    """Whole files, decoded when they are read, as in evaluation."""
    decoder = part(run.config.modality, "prepare").decoder
    decoded = decoder(checked, run.config.settings, fraction=False)
    return Inputs(labels, None, reader([str(file) for file in files], decoded))


def recorded(run: Run) -> dict[str, Any]:
    """The run's `data.json`."""
    file = run.workdir / "data.json"
    if not file.is_file():
        raise ValueError(
            f"--workdir: {str(run.workdir)!r} has no data.json: a trial is part of its search; "
            "expected the folder of a run"
        )
    return json.loads(file.read_text(encoding="utf-8"))


def nouns(run: Run) -> tuple[str, str]:
    """What an example is called, and several."""
    return modalities.nouns(run.config.modality)
