"""Checks and reads new files for a finished run, just as the run did with its own data."""

from pathlib import Path
from typing import Any

import numpy as np

from tl_keras import modalities
from tl_keras.data import check_files, store
from tl_keras.data.batching.inputs import Inputs, is_variable, read_all, reader
from tl_keras.modalities import part
from tl_keras.run import lineage
from tl_keras.run.run import OF_A_MODEL, Run


def checked(files: list[Path], run: Run) -> dict[str, Any]:
    """Returns `{path: result of checking the file}`; the modality defines the type `Checked`."""
    memory = store.subfolder(run.config.cache, store.AUDIT)
    paths = [str(file.absolute()) for file in files]
    by_path = check_files.check_all(Path("/"), paths, run.config.settings, memory)
    return {str(file): by_path[path] for file, path in zip(files, paths, strict=True)}


def inputs(files: list[Path], checked: list[Any], labels: np.ndarray, run: Run) -> Inputs:
    """Returns the files as inputs, decoded at full size.

    Each file is decoded only when it is used, unless prepared examples have different lengths.
    """
    settings = run.config.settings
    read = reader(files, part(run.config.modality, "prepare").decoder(checked, settings, False))
    if is_variable(settings):
        return read_all(read, labels, settings, "prepare")
    return Inputs(labels, None, read)


def recorded(run: Run) -> dict[str, Any]:
    """Returns the content of `data.json` of a run.

    Raises:
      ValueError: the run has no `data.json`, for example because it is a job inside another run;
        or the file is damaged.
    """
    file = run.workdir / "data.json"
    if not file.is_file():
        folder = f"--workdir: {str(run.workdir)!r}"
        if run.pipeline in OF_A_MODEL:
            raise ValueError(
                f"{folder} has lost its data.json, which names the classes and the files; restore "
                "it, or choose another run"
            )
        raise ValueError(
            f"{folder} is a {run.pipeline}, which is part of another run and has no data.json; "
            f"expected the folder of the whole run{_containing(run)}"
        )
    return lineage.recorded(run.workdir)


def _containing(run: Run) -> str:
    """Returns ", FOLDER", where FOLDER is the run that contains a job; "" if no run is found."""
    # A fold is directly inside its run; a trial is inside the folder `search`.
    above = [path for path in run.workdir.parents[:2] if (path / "data.json").is_file()]
    return f", {str(above[0])!r}" if above else ""


def nouns(run: Run) -> tuple[str, str]:
    """Returns the noun for an example and its plural, such as `("image", "images")`."""
    return modalities.nouns(run.config.modality)
