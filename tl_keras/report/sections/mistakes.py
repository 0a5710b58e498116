"""The section on the worst mistakes, as HTML; heat maps show what supports each wrong answer."""

from typing import Any

from tl_keras.modalities import part
from tl_keras.report.drawings.markup import escape, gallery, note
from tl_keras.report.drawings.words import count, counted, percent
from tl_keras.report.facts import figures
from tl_keras.report.read import Prediction, RunFiles


def mistakes(run: RunFiles) -> str:
    """Returns the model's most confident mistakes, with their pictures if these can be found."""
    split, predictions = figures.predicted(run)
    if not predictions:
        return ""
    wrong = sum(p.prediction != p.label for p in predictions)
    of_all = f"of the answers to {counted(len(predictions), f'{run.split_name(split)} example')}"
    verb = "is" if wrong == 1 else "are"
    if not wrong:
        return note(f"None {of_all} is wrong.")
    worst = figures.worst(run)
    pictures = part(run.modality, "show").thumbnails(run, [p.file for p in worst])
    heats = [_heat(run, p) for p in worst]
    above = f"{count(wrong)} {of_all} {verb} wrong"
    above += "." if wrong == len(worst) else f"; the {len(worst)} most confident are shown."
    above += " Wrong labels of the data set often show up here."
    shown = [
        (_pair(run, mistake, picture, heat), _lines(mistake))
        for mistake, picture, heat in zip(worst, pictures, heats, strict=True)
    ]
    return note(f"{above} {_about_heats(run, heats)}".strip()) + gallery(shown)


def _about_heats(run: RunFiles, heats: list[Any | None]) -> str:
    show = part(run.modality, "show")
    if any(heats):
        return f"{show.EXPLAINED}{'' if all(heats) else f' {show.SOME_NOT_EXPLAINED}'}"
    if not run.pictures.get("mistakes"):
        return ""
    of_folds = figures.is_of_folds(run, figures.predicted(run)[0])
    return show.NOT_EXPLAINED_IN_FOLDS if of_folds else show.NOT_EXPLAINED


def _heat(run: RunFiles, mistake: Prediction) -> Any | None:
    for entry in run.pictures.get("mistakes") or []:
        if (entry.get("file"), entry.get("split")) == (mistake.file, mistake.split):
            return part(run.modality, "show").written(run, entry.get("heat"))
    return None


def _pair(run: RunFiles, mistake: Prediction, picture: Any | None, heat: Any | None) -> list[str]:
    shown = [part(run.modality, "show").image(picture, mistake.file)] if picture else []
    if heat:
        alt = f"Heat map of {mistake.file}: where the model saw {mistake.prediction}"
        shown.append(part(run.modality, "show").explained(run, heat, alt, picture))
    return shown


def _lines(mistake: Prediction) -> list[str]:
    return [
        f"predicted <b>{escape(mistake.prediction)}</b>, {percent(mistake.probability)} sure",
        f"labelled <b>{escape(mistake.label)}</b>",
        f'<span class="file">{escape(mistake.file)}</span>',
    ]
