"""The section on cross-validation: what each fold came to, held out from its own model."""

from typing import Any

from tl_keras import tasks
from tl_keras.report.drawings import coordinates
from tl_keras.report.drawings.markup import escape, note, table
from tl_keras.report.drawings.words import NOTHING, count, counted, duration, is_number, percent
from tl_keras.report.read import RunFiles
from tl_keras.report.sections.results import main, named_scores

KEPT = {"head": "head", "mix": "mix", "finetuned": "fine-tuned", "scratch": "all"}


def folds(run: RunFiles) -> str:
    """Mean and deviation over folds, and a line for each."""
    found = run.result.get("folds") or []
    if not found:
        return ""
    summary = run.result.get("cross_validation") or {}
    answer = said(summary, len(found), run.task)
    return f'<p class="answer">{escape(answer)}</p>{_how(run)}{_table(found, run.task)}'


def said(summary: dict[str, Any], size: int, task: str = tasks.DEFAULT) -> str:
    """The main score over all folds, as a sentence."""
    score = tasks.of(task, "names").MAIN
    name, written = named_scores(task)[score]
    of = (summary.get("scores") or {}).get(score) or {}
    line = f"Over {counted(size, 'fold')} the {name.lower()} is {written(of.get('mean'))}"
    if is_number(of.get("deviation")):
        deviation = of["deviation"]
        spread = f"{100 * deviation:.1f} points" if written is percent else written(deviation)
        line += f", with a standard deviation of {spread}"
    return f"{line}."


def _how(run: RunFiles) -> str:
    summary = run.result.get("cross_validation") or {}
    lines = [
        "Each example is held out once, and answered by the model of its fold, which has seen it "
        "neither in training nor in any choice: depth of training, regularisation and temperature "
        "were chosen on a part of the others.",
    ]
    if (summary.get("repeats") or 1) > 1:
        lines.append(
            f"The examples were dealt out {count(summary['repeats'])} times; the scores above are "
            "those of the first time."
        )
    final = FINAL.get(str(summary.get("final")))
    lines += [final] if final else []
    if "search" in run.result:
        lines.append("Each fold has a search of its own, so that no score is of what chose it.")
    return note(" ".join(lines))


FINAL = {
    "refit": "The model itself was then trained on all of them, as the folds chose: the held-out "
    "scores are of models that had fewer examples, and rather too low for it than too high.",
    "average": "The model itself has the average of the folds' weights.",
    "ensemble": "The model itself holds those of all folds and averages their answers.",
}


def _table(found: list[dict[str, Any]], task: str) -> str:
    first, scores = tasks.of(task, "names").MAIN, named_scores(task)
    named = list(dict.fromkeys(name for fold in found for name in fold.get("values") or {}))
    others = [name for name in scores if name != first]
    columns = ["Fold", "Trained on", scores[first][0], *(scores[name][0] for name in others)]
    columns += ["Kept", *named, "Time"]
    rows = [
        [
            escape(fold.get("fold") or NOTHING),
            count(fold.get("train")),
            main(task, fold.get(first), fold.get("n")),
            *(scores[name][1](fold.get(name)) for name in others),
            escape(KEPT.get(str(fold.get("kept")), fold.get("kept") or NOTHING)),
            *(_value(fold, name) for name in named),
            duration(fold.get("seconds")),
        ]
        for fold in found
    ]
    numbers = (1, *range(3, 3 + len(others)), len(columns) - 1)
    return table(f"{counted(len(rows), 'fold')}.", columns, rows, numeric=numbers)


def _value(fold: dict[str, Any], name: str) -> str:
    values = fold.get("values") or {}
    return escape(coordinates.written(values[name])) if name in values else NOTHING
