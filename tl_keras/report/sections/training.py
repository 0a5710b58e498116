"""Sections on how the model was trained: a run in, HTML out, empty where nothing is known."""

from collections.abc import Iterable

from tl_keras import tasks
from tl_keras.modalities import part
from tl_keras.report.drawings import charts
from tl_keras.report.drawings.markup import escape, gallery, note
from tl_keras.report.drawings.words import count, counted, is_number, listed, number
from tl_keras.report.facts import figures
from tl_keras.report.read import RunFiles


def training(run: RunFiles) -> str:
    """What was tried for the head, and the curves of the epochs."""
    lines = [*_head(run), *_epochs(run)]
    if not lines:
        return ""
    sizes = [
        f"{count(size)} {word}"
        for split, word in (("train", "training"), ("val", "validation"))
        if (size := figures.split_size(run, split)) is not None
    ]
    if sizes:
        lines[-1] += f" On {listed(sizes)} examples."
    drawn = [charts.regularisation_path(figures.strengths(run))]
    drawn += charts.learning_curves(figures.epochs(run))
    shown = "".join(drawn)
    return "".join(map(note, lines)) + (f'<div class="charts">{shown}</div>' if shown else "")


def _head(run: RunFiles) -> Iterable[str]:
    tried = figures.strengths(run)
    if not tried:
        return
    fitted = tasks.of(run.task, "words").HEAD
    line = f"Head: {fitted}, {counted(len(tried), 'strength')} of regularisation tried"
    known = [record for record in tried if is_number(record.get("val_loss"))]
    if known:
        best = min(known, key=lambda record: record["val_loss"])
        line += f"; validation loss {number(best['val_loss'])} at the best "
        line += f"(regularisation {number(best.get('regularisation'))})"
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
    """Training examples as they are, and as augmentation changes them."""
    rows = []
    for entry in run.pictures.get("augmented") or []:
        file = str(entry.get("file"))
        named = [("as it is", entry.get("original"))]
        named += [(f"view {i}", name) for i, name in enumerate(entry.get("views") or [], start=1)]
        found = [(word, part(run.modality, "show").written(run, name)) for word, name in named]
        pictures = [
            part(run.modality, "show").image(picture, f"{file}, {word}")
            for word, picture in found
            if picture
        ]
        if pictures:
            rows.append((pictures, [f'<span class="file">{escape(file)}</span>']))
    if not rows:
        return ""
    above = (
        f"{counted(len(rows), f'training {run.example_nouns[0]}')}: first as it is, then as "
        f"{run.modality}.augment has it, epoch by epoch. A view that a person could not name "
        f"teaches nothing: weaken {run.modality}.augment then."
    )
    return note(above) + gallery(rows, "views")
