"""evaluate: measures the model of a finished run on a data set that is not the run's own."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from tl_keras import tasks
from tl_keras.approaches import new_files
from tl_keras.config.data import DataConfig, source_of
from tl_keras.config.messages import nearest, with_article
from tl_keras.config.text import as_yaml
from tl_keras.data.examples import Listed, Listing, Quarantined
from tl_keras.data.label_names import nearly_equal
from tl_keras.data.sources.of_files import OF_FILES
from tl_keras.data.wording import left_out
from tl_keras.run.lineage import trained_before, trained_on
from tl_keras.run.result.part import Scores
from tl_keras.run.run import Run
from tl_keras.run.trained import for_new_examples
from tl_keras.training import features
from tl_keras.training.network import model as models
from tl_keras.training.network.fold_batch_norm import Inference

COLUMNS = ("text_column", "label_column")  # Fields of `data` that name the columns of a table.


def run(run: Run, path: str | Path) -> Scores:
    """Returns metrics as in `result.json` on the readable examples of class folders or of a CSV.

    First, the classes of the model and of the data are renamed by `evaluate.classes` of the config.
    The task's `other_data.measured` defines the metrics, also for data without some of the classes.

    Warnings name the files that are left out, the examples whose label the model does not know,
    and the number of examples that the model was trained on.

    Raises:
      ValueError: the model knows none of the labels, `evaluate.classes` has a name that is in
        neither the model nor the data, or no example can be read.
    """
    run, data = for_new_examples(run), new_files.recorded(run)
    listing = _labelled(run, Path(path))
    renamed, other_data = run.config.evaluate.classes, tasks.of(run.config.task, "other_data")
    noun = tasks.of(run.config.task, "names").NOUNS[0]
    _check_names(renamed, data["classes"], listing, noun)
    code = other_data.coded(data["classes"], renamed)
    known = [listed for listed in listing.files if code(listed.label) is not None]
    classes = [renamed.get(name, name) for name in data["classes"]]
    _warn_of_unknown_labels(listing, known, classes, run)
    files = [listing.root / listed.file for listed in known]
    by_file = new_files.checked(files, run)
    checked = [by_file[str(file)] for file in files]
    bad = [
        Quarantined(listed.file, file.reason)
        for listed, file in zip(known, checked, strict=True)
        if file.reason
    ]
    _warn_of_left_out([*listing.quarantined, *bad])
    good = [i for i, file in enumerate(checked) if not file.reason]
    if not good:
        raise ValueError(f"--data: {str(path)!r} has no readable {new_files.nouns(run)[0]}")
    digests = set(trained_on(data))
    for _, earlier in trained_before(run.config.model):
        digests.update(earlier)
    trained = [known[i].file for i in good if checked[i].digest in digests]
    _warn_of_trained(trained, len(good), new_files.nouns(run)[1])
    dtype = tasks.of(run.config.task, "targets").DTYPE
    labels = np.array([code(known[i].label) for i in good], dtype)
    readable = [checked[i] for i in good]
    inputs = new_files.inputs([files[i] for i in good], readable, labels, run)
    model = models.load(run.workdir / "model.keras")
    answers = features.outputs(Inference(model), inputs)
    return other_data.measured(answers, labels, data["classes"], renamed)


def _labelled(run: Run, path: Path) -> Listing:
    path = path.expanduser().absolute()
    source = source_of(str(path))
    source = "csv" if source == "folder" and path.is_file() else source
    overrides = {"source": source, "path": str(path), "modality": run.config.modality}
    data = run.config.data.model_copy(update=overrides)
    usual = data.model_copy(update={name: _usual(name) for name in COLUMNS})
    try:
        return OF_FILES[source](run.config.model_copy(update={"data": data}))
    except ValueError as error:
        # The table may have the usual names of columns instead of those of the run's own table.
        if usual == data or not str(error).startswith(tuple(f"data.{name}" for name in COLUMNS)):
            raise
        with suppress(ValueError):
            return OF_FILES[source](run.config.model_copy(update={"data": usual}))
        raise


def _usual(name: str) -> Any:
    return DataConfig.model_fields[name].default


def _check_names(
    renamed: Mapping[str, str], classes: Sequence[str], listing: Listing, noun: str
) -> None:
    """Raises ValueError if `evaluate.classes` has a name that is in neither model nor data."""
    labels = {listed.label for listed in listing.files}
    names = sorted({*classes, *labels})
    # A name of the model and a name of the data may both be renamed to a third one.
    common = {renamed.get(name) for name in classes} & {renamed.get(name) for name in labels}
    for name, other in renamed.items():
        unknown = name if name not in names else other
        if unknown not in names and unknown not in common:
            near = nearly_equal([unknown], names).get(unknown)
            hint = f"; did you mean {as_yaml(near)}?" if near else nearest(unknown, names)
            raise ValueError(
                f"evaluate.classes: {unknown!r} is {with_article(noun)} of neither the model nor "
                f"the data{hint}"
            )


def _warn_of_unknown_labels(
    listing: Listing, known: Sequence[Listed], classes: Sequence[str], run: Run
) -> None:
    """Warns of labels that the model does not know; raises ValueError if the model knows none."""
    unknown = sorted({f.label for f in listing.files} - {f.label for f in known})
    if not unknown:
        return
    listed = ", ".join(map(repr, unknown[:5])) + (", ..." if len(unknown) > 5 else "")
    near = nearly_equal(unknown, classes)
    if not classes:
        raise ValueError(
            f"--data: the labels {listed} cannot be compared with the model's answers; expected "
            "labels like those that the model was trained on"
        )
    first = next((name for name in unknown if name in near), unknown[0])
    pair = map(as_yaml, (first, near.get(first, classes[0])))
    why = (
        f"the model does not know the {tasks.of(run.config.task, 'names').NOUNS[len(unknown) > 1]} "
        f"{listed}; it knows {', '.join(sorted(set(classes)))}; to say which names mean the same, "
        f"set evaluate.classes, as in {{{': '.join(pair)}}}"
    )
    if not known:
        raise ValueError(f"--data: {why}")
    count, nouns = len(listing.files) - len(known), new_files.nouns(run)[1]
    logging.warning("--data: %d of %d %s left out: %s", count, len(listing.files), nouns, why)


def _warn_of_left_out(quarantined: list[Quarantined]) -> None:
    for line in left_out(quarantined):
        logging.warning("--data: %s", line)


def _warn_of_trained(trained: list[str], count: int, nouns: str) -> None:
    """Warns if the model is measured on examples on which it was trained.

    Examples on which an earlier run trained the model's initial weights count, too.

    Args:
      trained: the files of these examples.
      count: the number of all examples on which the model is measured.
    """
    if trained:
        logging.warning(
            "--data: the model was trained on %d of %d %s, such as %r, so the metrics are too good",
            *(len(trained), count, nouns, trained[0]),
        )
