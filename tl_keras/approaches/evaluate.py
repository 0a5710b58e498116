"""evaluate: metrics of a finished run on other data."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from absl import logging

from tl_keras import tasks
from tl_keras.approaches import new_files
from tl_keras.config.messages import nearest, with_article
from tl_keras.config.text import as_yaml
from tl_keras.data.examples import Listed, Listing, Quarantined
from tl_keras.data.label_names import nearly_equal
from tl_keras.data.sources.of_files import OF_FILES
from tl_keras.data.wording import left_out
from tl_keras.run.folder import as_trained
from tl_keras.run.lineage import trained_before, trained_on
from tl_keras.run.result.part import Scores
from tl_keras.run.run import Run
from tl_keras.training import features
from tl_keras.training.network import model as models
from tl_keras.training.network.fold_batch_norm import Inference


def run(run: Run, path: str | Path) -> Scores:
    """Metrics as in `result.json` on every readable example of a folder of class folders, or a CSV.

    Names of answers are first changed as `evaluate.classes` of the run's config says, the model's
    and the set's. What the task makes of a set that lacks some answers: `other_data.measured`.

    A warning says what is left out, examples of answers that the model lacks among it, and how many
    of the examples trained the model.

    Raises:
      ValueError: the model knows none of the answers, a name that is to be changed is in neither,
        or no example can be read.
    """
    run, data = as_trained(run), new_files.recorded(run)
    listing = _labelled(run, Path(path))
    named, others = run.config.evaluate.classes, tasks.of(run.config.task, "other_data")
    one = tasks.of(run.config.task, "names").NOUNS[0]
    _check_names(named, data["classes"], listing, one)
    code = others.coded(data["classes"], named)
    known = [f for f in listing.files if code(f.label) is not None]
    ours = [named.get(name, name) for name in data["classes"]]
    _warn_of_strangers(listing, known, ours, run)
    files = [listing.root / listed.file for listed in known]
    found = new_files.checked(files, run)
    checked = [found[str(file)] for file in files]
    bad = [
        Quarantined(listed.file, file.reason)
        for listed, file in zip(known, checked, strict=True)
        if file.reason
    ]
    _warn_of_omitted([*listing.quarantined, *bad])
    good = [i for i, file in enumerate(checked) if not file.reason]
    if not good:
        raise ValueError(f"--data: {str(path)!r} has no readable {new_files.nouns(run)[0]}")
    trained = set(trained_on(data))
    for _, before in trained_before(run.config.model):
        trained.update(before)
    seen = [known[i].file for i in good if checked[i].digest in trained]
    _warn_of_known(seen, len(good), new_files.nouns(run)[1])
    dtype = tasks.of(run.config.task, "targets").DTYPE
    labels = np.array([code(known[i].label) for i in good], dtype)
    some = [checked[i] for i in good]
    inputs = new_files.inputs([files[i] for i in good], some, labels, run)
    model = models.load(run.workdir / "model.keras")
    answers = features.outputs(Inference(model), inputs)
    return others.measured(answers, labels, data["classes"], named)


def _labelled(run: Run, path: Path) -> Listing:
    path = path.expanduser().absolute()
    source = "csv" if path.is_file() or path.suffix.lower() == ".csv" else "folder"
    overrides = {"source": source, "path": str(path), "modality": run.config.modality}
    data = run.config.data.model_copy(update=overrides)
    return OF_FILES[source](run.config.model_copy(update={"data": data}))


def _check_names(
    named: Mapping[str, str], ours: Sequence[str], listing: Listing, noun: str
) -> None:
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
                f"evaluate.classes: {strange!r} is {with_article(noun)} of neither the model nor "
                f"the set{hint}"
            )


def _warn_of_strangers(
    listing: Listing, known: Sequence[Listed], ours: Sequence[str], run: Run
) -> None:
    """Raises ValueError where nothing is known."""
    strangers = sorted({f.label for f in listing.files} - {f.label for f in known})
    if not strangers:
        return
    listed = ", ".join(map(repr, strangers[:5])) + (", ..." if len(strangers) > 5 else "")
    near = nearly_equal(strangers, ours)
    if not ours:
        raise ValueError(f"--data: the model cannot answer with {listed}")
    first = next((name for name in strangers if name in near), strangers[0])
    both = map(as_yaml, (first, near.get(first, ours[0])))
    why = (
        f"the model knows no {tasks.of(run.config.task, 'names').NOUNS[0]} {listed}; "
        f"it knows {', '.join(sorted(set(ours)))}; "
        f"evaluate.classes says which are the same, as in {{{': '.join(both)}}}"
    )
    if not known:
        raise ValueError(f"--data: {why}")
    count, nouns = len(listing.files) - len(known), new_files.nouns(run)[1]
    logging.warning("--data: %d of %d %s are left out: %s", count, len(listing.files), nouns, why)


def _warn_of_omitted(omitted: list[Quarantined]) -> None:
    for line in left_out(omitted):
        logging.warning("--data: %s", line)


def _warn_of_known(known: list[str], count: int, nouns: str) -> None:
    if known:
        logging.warning(
            "--data: %d of %d %s trained this model, %r among them: the metrics are too good",
            *(len(known), count, nouns, known[0]),
        )
