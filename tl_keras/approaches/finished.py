"""What is done with a finished run: predictions on new files, metrics on other data."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from tl_keras import cache, features
from tl_keras import model as models
from tl_keras.approaches import stages
from tl_keras.data import audit, sources
from tl_keras.data.batches import Inputs, reader
from tl_keras.data.examples import Listed, Listing, Quarantined
from tl_keras.data.image import Kind
from tl_keras.evaluate import measure
from tl_keras.fold import Inference
from tl_keras.run import Run, as_trained

Row = dict[str, Any]


def predict(run: Run, paths: Sequence[str | Path]) -> Iterator[Row]:
    """A row an image, in order: `file`, `prediction`, `probabilities {class: p}`; or `error`.

    Files that a folder holds and that are refused, such as links out of it, come first.

    Args:
      run: a finished run, see `run.load_finished`.
      paths: image files, and folders that are searched at any depth.

    Raises:
      ValueError: a path does not exist, or holds no files.
    """
    run = as_trained(run)
    classes = tuple(_data(run)["classes"])
    listings = [_listing(Path(path)) for path in paths]
    files = [listing.root / listed.file for listing in listings for listed in listing.files]
    refused = [(listing.root, entry) for listing in listings for entry in listing.quarantined]
    if not files and not refused:
        raise ValueError(f"{', '.join(map(repr, map(str, paths)))}: no files to predict on")
    for root, entry in refused:
        yield {"file": sources.printable(str(root / entry.file)), "error": entry.reason}
    infer = Inference(models.load(run.workdir / "model.keras"))
    checked = _check(files, run)
    for start in range(0, len(files), features.BATCH_SIZE):
        some = files[start : start + features.BATCH_SIZE]
        good = [file for file in some if not checked[str(file)].reason]
        decoders = [checked[str(file)].decoder for file in good]
        inputs = _inputs(good, decoders, np.zeros(len(good), np.int64), run)
        rows = dict(zip(good, features.outputs(infer, inputs) if good else [], strict=True))
        for file in some:
            name = sources.printable(str(file))
            if file not in rows:
                yield {"file": name, "error": checked[str(file)].reason}
                continue
            row = [round(float(value), 6) for value in rows[file]]
            named = dict(zip(classes, row, strict=True))
            yield {"file": name, "prediction": max(named, key=named.get), "probabilities": named}


def _listing(path: Path) -> Listing:
    if path.is_dir():
        listing = Listing(path, [])
        sources.list_class(path, "", listing)
        return listing
    if not path.exists():
        raise ValueError(f"{str(path)!r} does not exist; expected an image or a folder of images")
    return Listing(path.parent, [Listed(path.name, "")])


def _check(files: list[Path], run: Run) -> dict[str, audit.Checked]:
    memory = cache.folder(run.config.cache) / "audit"
    names = [str(file.absolute()) for file in files]
    checked = audit.check_all(Path("/"), names, run.config.data.max_pixels, memory)
    return {str(file): checked[name] for file, name in zip(files, names, strict=True)}


def _inputs(files: list[Path], decoders: list[str], labels: np.ndarray, run: Run) -> Inputs:
    """Whole files, decoded when they are read, as in evaluation."""
    kinds = [Kind(decoder) for decoder in decoders]
    return Inputs(labels, None, reader([str(file) for file in files], kinds, run.config.data))


def evaluate(run: Run, folder: str | Path) -> dict[str, Any]:
    """Metrics as in `result.json` on every readable image of a folder of class folders.

    A warning says what is left out, and how many of the images trained the model.

    Raises:
      ValueError: a class is none that the model knows, or no image can be read.
    """
    run, data = as_trained(run), _data(run)
    classes = tuple(data["classes"])
    config = run.config.data.model_copy(update={"source": "folder", "path": str(folder)})
    listing = sources.list_folder(config)
    strangers = sorted({listed.label for listed in listing.files} - set(classes))
    if strangers:
        raise ValueError(
            f"--data: the model knows no class {strangers[0]!r}; it knows {', '.join(classes)}"
        )
    files = [listing.root / listed.file for listed in listing.files]
    checked = _check(files, run)
    pairs = list(zip(files, listing.files, strict=True))
    good = [(file, listed) for file, listed in pairs if not checked[str(file)].reason]
    if not good:
        raise ValueError(f"--data: {str(folder)!r} has no readable image")
    unreadable = [
        Quarantined(listed.file, checked[str(file)].reason)
        for file, listed in pairs
        if checked[str(file)].reason
    ]
    _warn_of_omitted([*listing.quarantined, *unreadable])
    trained = set(stages.trained_on(data))
    known = [listed.file for file, listed in good if checked[str(file)].digest in trained]
    _warn_of_known(known, len(good))
    labels = np.array([classes.index(listed.label) for _, listed in good], np.int64)
    decoders = [checked[str(file)].decoder for file, _ in good]
    inputs = _inputs([file for file, _ in good], decoders, labels, run)
    model = models.load(run.workdir / "model.keras")
    return measure(features.outputs(Inference(model), inputs), labels, classes)


def _warn_of_omitted(omitted: list[Quarantined]) -> None:
    if omitted:
        first = omitted[0]
        logging.warning(
            "--data: %d files are left out; %r: %s", len(omitted), first.file, first.reason
        )


def _warn_of_known(known: list[str], count: int) -> None:
    if known:
        logging.warning(
            "--data: %d of %d images trained this model, %r among them: the metrics are too good",
            *(len(known), count, known[0]),
        )


def _data(run: Run) -> dict[str, Any]:
    file = run.workdir / "data.json"
    if not file.is_file():
        raise ValueError(
            f"--workdir: {str(run.workdir)!r} has no data.json: a trial is part of its search; "
            "expected the folder of a run"
        )
    return json.loads(file.read_text(encoding="utf-8"))
