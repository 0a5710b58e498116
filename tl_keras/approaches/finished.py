"""What is done with a finished run: predictions on new files, metrics on other data."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from tl_keras import cache, features
from tl_keras import model as models
from tl_keras.approaches import stages
from tl_keras.config_errors import nearest
from tl_keras.data import audit, sources
from tl_keras.data.batches import Inputs, reader
from tl_keras.data.examples import Listed, Listing, Quarantined
from tl_keras.data.image import Kind
from tl_keras.evaluate import EPSILON, IN_SHORT, measure
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


def evaluate(run: Run, path: str | Path) -> dict[str, Any]:
    """Metrics as in `result.json` on every readable image of a folder of class folders, or a CSV.

    Names of classes are first changed as `evaluate.classes` of the run's config says, the model's
    and the set's: those that are then equal are one class, whose probability is the sum. Where the
    set lacks some of the model's classes, `among_shared` has the scores of the model if it could
    only answer with one that the set has.

    A warning says what is left out, images of classes that the model lacks among it, and how many
    of the images trained the model.

    Raises:
      ValueError: the model knows none of the classes, a name that is to be changed is in neither,
        or no image can be read.
    """
    run, data = as_trained(run), _data(run)
    listing = _labelled(run, Path(path))
    named = run.config.evaluate.classes
    ours = [named.get(name, name) for name in data["classes"]]
    _check_names(named, data["classes"], listing)
    known = [f for f in listing.files if named.get(f.label, f.label) in ours]
    _warn_of_strangers(listing, known, ours)
    files = [listing.root / listed.file for listed in known]
    found = _check(files, run)
    checked = [found[str(file)] for file in files]
    bad = [
        Quarantined(listed.file, file.reason)
        for listed, file in zip(known, checked, strict=True)
        if file.reason
    ]
    _warn_of_omitted([*listing.quarantined, *bad])
    good = [i for i, file in enumerate(checked) if not file.reason]
    if not good:
        raise ValueError(f"--data: {str(path)!r} has no readable image")
    trained = set(stages.trained_on(data))
    for _, before in stages.trained_before(run.config.model):
        trained.update(before)
    _warn_of_known([known[i].file for i in good if checked[i].digest in trained], len(good))
    names = sorted(set(ours))
    labels = [names.index(named.get(known[i].label, known[i].label)) for i in good]
    decoders = [checked[i].decoder for i in good]
    inputs = _inputs([files[i] for i in good], decoders, np.array(labels, np.int64), run)
    model = models.load(run.workdir / "model.keras")
    answers = features.outputs(Inference(model), inputs)
    together = np.eye(len(names), dtype=answers.dtype)[[names.index(name) for name in ours]]
    return _measured(np.minimum(answers @ together, 1), inputs.labels, names)


def _labelled(run: Run, path: Path) -> Listing:
    path = path.expanduser().absolute()
    source = "csv" if path.is_file() or path.suffix.lower() == ".csv" else "folder"
    config = run.config.data.model_copy(update={"source": source, "path": str(path)})
    return sources.list_csv(config) if source == "csv" else sources.list_folder(config)


def _check_names(named: Mapping[str, str], ours: Sequence[str], listing: Listing) -> None:
    theirs = {listed.label for listed in listing.files}
    both = sorted({*ours, *theirs})
    # Two names may become one that neither side has had.
    common = {named.get(name) for name in ours} & {named.get(name) for name in theirs}
    for name, other in named.items():
        strange = name if name not in both else other
        if strange not in both and strange not in common:
            raise ValueError(
                f"evaluate.classes: {strange!r} is a class of neither the model nor the set"
                f"{nearest(strange, both)}"
            )


def _warn_of_strangers(listing: Listing, known: Sequence[Listed], ours: Sequence[str]) -> None:
    """Raises ValueError where nothing is known."""
    strangers = sorted({f.label for f in listing.files} - {f.label for f in known})
    if not strangers:
        return
    listed = ", ".join(map(repr, strangers[:5])) + (", ..." if len(strangers) > 5 else "")
    why = (
        f"the model knows no class {listed}; it knows {', '.join(sorted(set(ours)))}; "
        f"evaluate.classes says which are the same, as in {{{strangers[0]}: {ours[0]}}}"
    )
    if not known:
        raise ValueError(f"--data: {why}")
    count = len(listing.files) - len(known)
    logging.warning("--data: %d of %d images are left out: %s", count, len(listing.files), why)


def _measured(probabilities: np.ndarray, labels: np.ndarray, names: list[str]) -> dict[str, Any]:
    measured = measure(probabilities, labels, names)
    shared = np.unique(labels)
    if 1 < len(shared) < len(names):
        some = probabilities[:, shared] + EPSILON
        some /= some.sum(1, keepdims=True)
        places = np.searchsorted(shared, labels)
        found = measure(some, places, [names[i] for i in shared])
        measured["among_shared"] = {name: found[name] for name in IN_SHORT}
    return measured


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
