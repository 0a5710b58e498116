"""What is done with a finished run: predictions on new files, metrics on other data."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging

from tl_keras.approaches import stages
from tl_keras.config.messages import nearest
from tl_keras.config.text import as_yaml
from tl_keras.data import check_files, sources, store
from tl_keras.data.batches import Inputs, reader
from tl_keras.data.examples import Listed, Listing, Quarantined
from tl_keras.data.names import nearly_equal
from tl_keras.data.paths import printable
from tl_keras.data.wording import left_out
from tl_keras.modalities import part
from tl_keras.run.files import unwritable
from tl_keras.run.folder import Run, as_trained
from tl_keras.tasks.classification import EPSILON, IN_SHORT, measure
from tl_keras.training import features
from tl_keras.training import model as models
from tl_keras.training.fold import Inference

Row = dict[str, Any]


def predict(run: Run, values: Any) -> Iterator[Row]:
    """A row an example, in order: `file`, `prediction`, `probabilities {class: p}`; or `error`.

    Of a folder, files that are refused unread, such as links out of it, come first.

    Args:
      run: a finished run, see `run.load_finished`.
      values: see `as_given` of the modality; folders are searched at any depth.

    Raises:
      TypeError: a value is something else.
      ValueError: a path does not exist, or there are no examples.
    """
    run = as_trained(run)
    classes = tuple(_data(run)["classes"])
    wanted = part(run.config.modality, "given").as_given(values)
    entries = [entry for one in wanted for entry in _entries(one, run)]
    if not entries:
        named = ", ".join(repr(str(one)) for one in wanted) or "the list"
        raise ValueError(f"predict: expected {_nouns(run)[1]}; {named} holds none")
    checked = _check([e.source for e in entries if isinstance(e.source, Path)], run)
    infer = Inference(models.load(run.workdir / "model.keras"))
    for start in range(0, len(entries), features.BATCH_SIZE):
        some = [_checked(e, checked) for e in entries[start : start + features.BATCH_SIZE]]
        answers = _answers(infer, [e for e in some if not e.error], checked, run)
        for entry in some:
            if entry.error:
                yield {"file": entry.name, "error": entry.error}
                continue
            row = [round(float(value), 6) for value in next(answers)]
            named = dict(zip(classes, row, strict=True))
            best = max(named, key=named.get)
            yield {"file": entry.name, "prediction": best, "probabilities": named}


@dataclass(frozen=True)
class Entry:
    """An example to predict on: a file, or one in memory; or why it cannot be."""

    name: str
    source: Path | np.ndarray | None
    error: str = ""


def _nouns(run: Run) -> tuple[str, str]:
    """What an example is called, and several."""
    return part(run.config.modality, "check").NAMES


def _entries(one: Any, run: Run) -> list[Entry]:
    if not isinstance(one, Path):
        return [Entry(one.name, one.raw)]
    listing = _listing(one, run)
    refused = [
        Entry(printable(str(listing.root / bad.file)), None, bad.reason)
        for bad in listing.quarantined
    ]
    files = [listing.root / listed.file for listed in listing.files]
    return [*refused, *(Entry(printable(str(file)), file) for file in files)]


def _checked(entry: Entry, checked: Mapping[str, Any]) -> Entry:
    """The entry, with what the audit says against its file."""
    if not isinstance(entry.source, Path):
        return entry
    return replace(entry, error=checked[str(entry.source)].reason)


def _answers(
    infer: Inference, good: Sequence[Entry], checked: Mapping[str, Any], run: Run
) -> Iterator[np.ndarray]:
    """Probabilities `(classes,)` of each entry, in order."""
    files = [entry.source for entry in good if isinstance(entry.source, Path)]
    arrays = [entry.source for entry in good if not isinstance(entry.source, Path)]
    of_files = of_arrays = np.empty((0, *infer.shape))
    if files:
        some = [checked[str(file)] for file in files]
        inputs = _inputs(files, some, np.zeros(len(files), np.int64), run)
        of_files = features.outputs(infer, inputs)
    if arrays:
        prepare = part(run.config.modality, "prepare").prepare
        prepared = [prepare(tf.constant(array), run.config.settings) for array in arrays]
        inputs = Inputs(np.zeros(len(arrays), np.int64), np.stack(prepared))
        of_arrays = features.outputs(infer, inputs)
    rows = {True: iter(of_files), False: iter(of_arrays)}
    for entry in good:
        yield next(rows[isinstance(entry.source, Path)])


def _listing(path: Path, run: Run) -> Listing:
    if os.path.isdir(path):
        return sources.list_unlabelled(path)
    if reason := unwritable(str(path)):
        return Listing(path.parent, [], [Quarantined(printable(path.name), reason)])
    if not os.path.exists(path):
        one, many = _nouns(run)
        raise ValueError(f"{str(path)!r} does not exist; expected an {one} or a folder of {many}")
    return Listing(path.parent, [Listed(path.name, "")])


def _check(files: list[Path], run: Run) -> dict[str, Any]:
    memory = store.subfolder(run.config.cache, store.AUDIT)
    names = [str(file.absolute()) for file in files]
    checked = check_files.check_all(Path("/"), names, run.config.settings, memory)
    return {str(file): checked[name] for file, name in zip(files, names, strict=True)}


def _inputs(files: list[Path], checked: list[Any], labels: np.ndarray, run: Run) -> Inputs:
    """Whole files, decoded when they are read, as in evaluation."""
    decoder = part(run.config.modality, "prepare").decoder
    decoded = decoder(checked, run.config.settings, fraction=False)
    return Inputs(labels, None, reader([str(file) for file in files], decoded))


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
        raise ValueError(f"--data: {str(path)!r} has no readable {_nouns(run)[0]}")
    trained = set(stages.trained_on(data))
    for _, before in stages.trained_before(run.config.model):
        trained.update(before)
    _warn_of_known([known[i].file for i in good if checked[i].digest in trained], len(good))
    names = sorted(set(ours))
    labels = [names.index(named.get(known[i].label, known[i].label)) for i in good]
    some = [checked[i] for i in good]
    inputs = _inputs([files[i] for i in good], some, np.array(labels, np.int64), run)
    model = models.load(run.workdir / "model.keras")
    answers = features.outputs(Inference(model), inputs)
    together = np.eye(len(names), dtype=answers.dtype)[[names.index(name) for name in ours]]
    return _measured(np.minimum(answers @ together, 1), inputs.labels, names)


def _labelled(run: Run, path: Path) -> Listing:
    path = path.expanduser().absolute()
    source = "csv" if path.is_file() or path.suffix.lower() == ".csv" else "folder"
    config = run.config.data.model_copy(update={"source": source, "path": str(path)})
    return sources.OF_FILES[source](config)


def _check_names(named: Mapping[str, str], ours: Sequence[str], listing: Listing) -> None:
    theirs = {listed.label for listed in listing.files}
    both = sorted({*ours, *theirs})
    # Two names may become one that neither side has had.
    common = {named.get(name) for name in ours} & {named.get(name) for name in theirs}
    for name, other in named.items():
        strange = name if name not in both else other
        if strange not in both and strange not in common:
            near = nearly_equal([strange], both).get(strange)
            hint = f"; did you mean {as_yaml(near)}?" if near else nearest(strange, both)
            raise ValueError(
                f"evaluate.classes: {strange!r} is a class of neither the model nor the set{hint}"
            )


def _warn_of_strangers(listing: Listing, known: Sequence[Listed], ours: Sequence[str]) -> None:
    """Raises ValueError where nothing is known."""
    strangers = sorted({f.label for f in listing.files} - {f.label for f in known})
    if not strangers:
        return
    listed = ", ".join(map(repr, strangers[:5])) + (", ..." if len(strangers) > 5 else "")
    near = nearly_equal(strangers, ours)
    first = next((name for name in strangers if name in near), strangers[0])
    both = map(as_yaml, (first, near.get(first, ours[0])))
    why = (
        f"the model knows no class {listed}; it knows {', '.join(sorted(set(ours)))}; "
        f"evaluate.classes says which are the same, as in {{{': '.join(both)}}}"
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
    for line in left_out(omitted):
        logging.warning("--data: %s", line)


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
