"""Sections on how the model was trained, as HTML; "" if the run has no record of it."""

from collections.abc import Iterable

from tl_keras import tasks
from tl_keras.modalities import part
from tl_keras.report.drawings import charts
from tl_keras.report.drawings.markup import escape, facts, gallery, note
from tl_keras.report.drawings.words import count, counted, is_number, listed, number
from tl_keras.report.facts import figures, pretrained
from tl_keras.report.read import RunFiles


def training(run: RunFiles) -> str:
    """Returns how the head was trained, and charts of the losses and scores of each epoch."""
    lines = [*_head(run), *_epochs(run)]
    measured = facts([(title, _value(value)) for title, value in pretrained.rows(run)])
    if not lines:
        return ""
    sizes = [
        f"{count(size)} {word}"
        for split, word in (("train", "training"), ("val", "validation"))
        if (size := figures.split_size(run, split))
    ]
    if sizes:
        did = "Trained" if len(sizes) == 1 else "Trained and measured"
        lines[-1] += f" {did} on {listed(sizes)} examples."

    drawn = [charts.regularisation_path(figures.strengths(run))]
    drawn += charts.learning_curves(figures.epochs(run))
    shown = "".join(drawn)
    charted = f'<div class="charts">{shown}</div>' if shown else ""
    return "".join(map(note, lines)) + charted + measured


def _value(value: float) -> str:
    return count(int(value)) if float(value).is_integer() else number(value)


def _head(run: RunFiles) -> Iterable[str]:
    tried = figures.strengths(run)
    if not tried:
        return
    method = tasks.of(run.task, "words").HEAD
    strengths = "regularisation strength"
    line = f"Head: {method}, {counted(len(tried), strengths)} tried"
    known = [record for record in tried if is_number(record.get("val_loss"))]
    if known:
        best = min(known, key=lambda record: record["val_loss"])
        line += f"; lowest validation loss {number(best['val_loss'])}, "
        line += f"at strength {number(best.get('regularisation'))}"
    yield f"{line}."


def _epochs(run: RunFiles) -> Iterable[str]:
    for stage, name in figures.STAGES.items():
        losses = [e.get("val_loss") for e in figures.epochs(run) if e.get("stage") == stage]
        known = [loss for loss in losses if is_number(loss)]
        if losses:
            line = f"{name}: {counted(len(losses), 'epoch')}"
            if known:
                lowest = min(known)
                line += f"; lowest validation loss {number(lowest)}, "
                line += f"in epoch {losses.index(lowest) + 1}"
            yield f"{line}."


def augmented(run: RunFiles) -> str:
    """Returns some training examples, each as the original and as augmentation changes it."""
    rows = []
    for entry in run.pictures.get("augmented") or []:
        file = str(entry.get("file"))
        named = [("original", entry.get("original"))]
        named += [(f"view {i}", name) for i, name in enumerate(entry.get("views") or [], start=1)]
        read = [(word, part(run.modality, "show").written(run, name)) for word, name in named]
        pictures = [
            part(run.modality, "show").image(picture, f"{file}, {word}")
            for word, picture in read
            if picture
        ]
        if pictures:
            rows.append((pictures, [f'<span class="file">{escape(file)}</span>']))
    if not rows:
        return ""
    field = f"{run.modality}.augment"
    above = (
        f"{counted(len(rows), f'training {run.example_nouns[0]}')}: the original first, then the "
        f"augmented views that {field} made of it, one for each epoch. "
    )
    if run.result.model and run.result.model.kept == "head":
        above += (
            "The model was not trained on these views: only its head was trained, on the originals."
        )
    else:
        above += (
            "If a person could not recognise a view, the model learns nothing from it: weaken the "
            f"augmentations in {field}."
        )
    return note(above) + gallery(rows, "views")
