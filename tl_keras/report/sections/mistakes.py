"""The section on the worst mistakes, as HTML, with what supports each wrong answer.

If the modality also explains some right answers, they follow the mistakes.
"""

from collections.abc import Sequence
from typing import Any

from tl_keras.modalities import part
from tl_keras.report.drawings.markup import escape, gallery, note
from tl_keras.report.drawings.words import count, counted, percent
from tl_keras.report.facts import confidence, figures
from tl_keras.report.read import Prediction, RunFiles


def mistakes(run: RunFiles) -> str:
    """Returns the model's most confident mistakes, with their examples if these can be found."""
    split, predictions = figures.predicted(run)
    if not predictions:
        return ""
    return _worst(run, split, predictions) + _right(run, predictions)


def _worst(run: RunFiles, split: str, predictions: Sequence[Prediction]) -> str:
    wrong = sum(p.prediction != p.label for p in predictions)
    of_all = f"of the answers to {counted(len(predictions), f'{run.split_name(split)} example')}"
    verb = "is" if wrong == 1 else "are"
    if not wrong:
        return note(f"None {of_all} is wrong.")
    worst = confidence.worst(run)
    heats = [_heat(run, p, "mistakes") for p in worst]
    above = f"{count(wrong)} {of_all} {verb} wrong"
    above += "." if wrong == len(worst) else f"; the {len(worst)} most confident are shown."
    above += " Wrong labels of the data set often show up here."
    return note(f"{above} {_about_heats(run, heats)}".strip()) + _shown(run, worst, heats)


def _right(run: RunFiles, predictions: Sequence[Prediction]) -> str:
    """Returns some right answers and what supports them; "" if the run explains none."""
    named = {(entry.get("file"), entry.get("split")) for entry in run.pictures.get("right") or []}
    chosen = [p for p in predictions if (p.file, p.split) in named]
    heats = [_heat(run, p, "right") for p in chosen]
    explained = [(p, heat) for p, heat in zip(chosen, heats, strict=True) if heat]
    if not explained:
        return ""
    above = "Some right answers. If what supports them has nothing to do with the question, the "
    above += "model may fail on new examples."
    answers, shown = zip(*explained, strict=True)
    return f"<h3>Right answers</h3>{note(above)}{_shown(run, answers, shown)}"


def _shown(run: RunFiles, answers: Sequence[Prediction], heats: Sequence[Any | None]) -> str:
    pictures = part(run.modality, "show").thumbnails(run, [p.file for p in answers])
    every = zip(answers, pictures, heats, strict=True)
    return gallery((_example(run, p, picture, heat), _lines(p)) for p, picture, heat in every)


def _about_heats(run: RunFiles, heats: list[Any | None]) -> str:
    show = part(run.modality, "show")
    if any(heats):
        return f"{show.EXPLAINED}{'' if all(heats) else f' {show.SOME_NOT_EXPLAINED}'}"
    if not run.pictures.get("mistakes"):
        return ""
    of_folds = figures.is_of_folds(run, figures.predicted(run)[0])
    return show.NOT_EXPLAINED_IN_FOLDS if of_folds else show.NOT_EXPLAINED


def _heat(run: RunFiles, answer: Prediction, kind: str) -> Any | None:
    for entry in run.pictures.get(kind) or []:
        if (entry.get("file"), entry.get("split")) == (answer.file, answer.split):
            return part(run.modality, "show").written(run, entry.get("heat"))
    return None


def _example(run: RunFiles, answer: Prediction, picture: Any | None, heat: Any | None) -> list[str]:
    show = part(run.modality, "show")
    if heat:
        return show.explained(run, heat, picture, answer.file, answer.prediction)
    return [show.image(picture, answer.file)] if picture else []


def _lines(answer: Prediction) -> list[str]:
    return [
        f"predicted <b>{escape(answer.prediction)}</b>, {percent(answer.probability)} sure",
        f"labelled <b>{escape(answer.label)}</b>",
        f'<span class="file">{escape(answer.file)}</span>',
    ]
