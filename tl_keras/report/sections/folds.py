"""The section on cross-validation: what each fold came to, held out from its own model."""

from collections.abc import Sequence

from tl_keras import tasks
from tl_keras.report.drawings import coordinates
from tl_keras.report.drawings.markup import escape, note, table
from tl_keras.report.drawings.words import NOTHING, count, counted, duration, percent
from tl_keras.report.read import RunFiles
from tl_keras.report.sections.results import main, named_scores
from tl_keras.run.result.folds import FoldRecord

KEPT = {"head": "head", "mix": "mix", "finetuned": "fine-tuned", "scratch": "all"}


def folds(run: RunFiles) -> str:
    """Mean and deviation over folds, and a line for each."""
    found = run.result.folds or []
    if not found:
        return ""
    return f'<p class="answer">{escape(_said(run))}</p>{_how(run)}{_table(found, run.task)}'


def _said(run: RunFiles) -> str:
    """The main score over all folds, as a sentence."""
    summary, (name, written) = run.result.cross_validation, named_scores(run.task)[run.main]
    spread = summary.scores.get(run.main) if summary else None
    line = f"Over {counted(len(run.result.folds), 'fold')} the {name.lower()} is "
    if not spread:
        return f"{line}{NOTHING}."
    apart = spread.deviation
    deviation = f"{100 * apart:.1f} points" if written is percent else written(apart)
    return f"{line}{written(spread.mean)}, with a standard deviation of {deviation}."


def _how(run: RunFiles) -> str:
    summary = run.result.cross_validation
    lines = [
        "Each example is held out once, and answered by the model of its fold, which has seen it "
        "neither in training nor in any choice: depth of training, regularisation and temperature "
        "were chosen on a part of the others.",
    ]
    if summary and summary.repeats > 1:
        lines.append(
            f"The examples were dealt out {count(summary.repeats)} times; the scores above are "
            "those of the first time."
        )
    final = FINAL.get(summary.final) if summary else None
    lines += [final] if final else []
    if run.result.search:
        lines.append("Each fold has a search of its own, so that no score is of what chose it.")
    return note(" ".join(lines))


FINAL = {
    "refit": "The model itself was then trained on all of them, as the folds chose: the held-out "
    "scores are of models that had fewer examples, and rather too low for it than too high.",
    "average": "The model itself has the average of the folds' weights.",
    "ensemble": "The model itself holds those of all folds and averages their answers.",
}


def _table(found: Sequence[FoldRecord], task: str) -> str:
    first, scores = tasks.of(task, "names").MAIN, named_scores(task)
    named = list(dict.fromkeys(name for fold in found for name in fold.values or {}))
    others = [name for name in scores if name != first]
    columns = ["Fold", "Trained on", scores[first][0], *(scores[name][0] for name in others)]
    columns += ["Kept", *named, "Time"]
    rows = [
        [
            escape(fold.fold),
            count(fold.train),
            main(task, fold.get(first), fold.n),
            *(scores[name][1](fold.get(name)) for name in others),
            escape(KEPT.get(fold.kept, fold.kept)),
            *(_value(fold, name) for name in named),
            duration(fold.seconds),
        ]
        for fold in found
    ]
    numbers = (1, *range(3, 3 + len(others)), len(columns) - 1)
    return table(f"{counted(len(rows), 'fold')}.", columns, rows, numeric=numbers)


def _value(fold: FoldRecord, name: str) -> str:
    values = fold.values or {}
    return escape(coordinates.written(values[name])) if name in values else NOTHING
