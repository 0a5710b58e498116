"""The worst mistakes, with where the model looked: a run in, HTML out."""

from tl_keras.modalities.image.show import Picture, image, thumbnails, written
from tl_keras.report.drawings.markup import escape, gallery, note
from tl_keras.report.drawings.words import count, percent
from tl_keras.report.facts import figures
from tl_keras.report.read import Prediction, Run


def mistakes(run: Run) -> str:
    """The most confident mistakes, with pictures where they can be had."""
    split, predictions = figures.predicted(run)
    if not predictions:
        return ""
    wrong = sum(p.prediction != p.label for p in predictions)
    on = f"{count(wrong)} of {count(len(predictions))} {run.split_name(split)} examples are wrong"
    if not wrong:
        return note(f"{on}.")
    worst = figures.worst(run)
    pictures = thumbnails(run, [p.file for p in worst])
    heats = [_heat(run, p) for p in worst]
    above = f"{on}; the most confident {len(worst)} are shown. Wrong labels often stand here."
    shown = [
        (_pair(run, mistake, picture, heat), _lines(mistake))
        for mistake, picture, heat in zip(worst, pictures, heats, strict=True)
    ]
    return note(f"{above} {_looked(run, heats)}".strip()) + gallery(shown)


def _looked(run: Run, heats: list[Picture | None]) -> str:
    if any(heats):
        return (
            "Warm: what spoke most for the prediction (Grad-CAM). Where it lies beside the thing "
            "itself, the model goes by the surroundings."
        )
    if run.pictures.get("mistakes"):
        return "No heat maps: this model has no feature map to look at, or nothing in it stood out."
    return ""


def _heat(run: Run, mistake: Prediction) -> Picture | None:
    for entry in run.pictures.get("mistakes") or []:
        if (entry.get("file"), entry.get("split")) == (mistake.file, mistake.split):
            return written(run, entry.get("heat"))
    return None


def _pair(
    run: Run, mistake: Prediction, picture: Picture | None, heat: Picture | None
) -> list[str]:
    shown = [image(picture, mistake.file)] if picture else []
    if heat:
        # The model sees a stretched picture: shown in the proportions of the original.
        stretched = (run.tree.get("data") or {}).get("resize", "stretch") == "stretch"
        alt = f"{mistake.file}: what spoke for {mistake.prediction}"
        shown.append(image(heat, alt, picture if stretched else None))
    return shown


def _lines(mistake: Prediction) -> list[str]:
    return [
        f"predicted <b>{escape(mistake.prediction)}</b> {percent(mistake.probability)}",
        f"labelled <b>{escape(mistake.label)}</b>",
        f'<span class="file">{escape(mistake.file)}</span>',
    ]
