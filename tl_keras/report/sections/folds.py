"""The section on cross-validation: the scores of each fold on the examples that it held out."""

from collections.abc import Sequence

from tl_keras import tasks
from tl_keras.report.drawings import coordinates
from tl_keras.report.drawings.markup import escape, note, table
from tl_keras.report.drawings.words import NOTHING, count, counted, duration, percent
from tl_keras.report.facts import fold_strengths
from tl_keras.report.read import RunFiles
from tl_keras.report.sections.results import main, named_scores
from tl_keras.run.result.folds import FoldRecord

# What a fold's model consists of, for a table; explained above it.
KEPT = {"head": "head-only", "mix": "mean", "finetuned": "fine-tuned", "scratch": "from scratch"}


def folds(run: RunFiles) -> str:
    """Returns the mean and standard deviation of the folds' scores, and a table of all folds."""
    records = run.result.folds or []
    if not records:
        return ""
    differing = fold_strengths.far_apart(records, run.result.chosen)
    warning = f"<p>{escape(differing)}</p>" if differing else ""
    mean = f'<p class="answer">{escape(_mean(run))}</p>'
    return f"{mean}{warning}{_how(run)}{_table(records, run.task)}"


def _mean(run: RunFiles) -> str:
    """Returns a sentence with the mean and the standard deviation of the folds' main scores."""
    summary, (name, written) = run.result.cross_validation, named_scores(run.task)[run.main]
    spread = summary.scores.get(run.main) if summary else None
    line = f"The mean {name.lower()} over {counted(len(run.result.folds), 'fold')} is "
    if not spread:
        return f"{line}{NOTHING}."
    apart = spread.deviation
    deviation = f"{100 * apart:.1f} points" if written is percent else written(apart)
    return f"{line}{written(spread.mean)}; the standard deviation between folds is {deviation}."


def _how(run: RunFiles) -> str:
    summary = run.result.cross_validation
    lines = [
        "Each example is held out by one fold and answered by that fold's model. This model was "
        "not trained on the example, and its settings were not chosen on it: freeze depth, "
        "regularisation and temperature were chosen on other examples.",
    ]
    if summary and summary.repeats > 1:
        lines.append(
            f"The examples were divided into folds {count(summary.repeats)} times; the "
            'section "Scores" has the scores of the first division.'
        )
    final = FINAL.get(summary.final) if summary else None
    lines += [final] if final else []
    if run.result.search:
        lines.append(
            "Each fold has its own search for settings, so no fold is scored on examples that its "
            "search used."
        )
    return note(" ".join(lines))


FINAL = {
    "refit": "The final model was then trained on all examples, with the settings selected by "
    "cross-validation. The held-out scores come from models trained on fewer examples, "
    "so they are more likely too low than too high for the final model.",
    "average": "The weights of the final model are the average of the weights of all fold models.",
    "ensemble": "The final model contains the models of all folds and averages their answers.",
}


def _table(records: Sequence[FoldRecord], task: str) -> str:
    first, scores = tasks.of(task, "names").MAIN, named_scores(task)
    named = list(dict.fromkeys(name for fold in records for name in fold.values or {}))
    others = [name for name in scores if name != first]
    columns = ["Fold", "Trained on", scores[first][0], *(scores[name][0] for name in others)]
    regularised = any(fold.regularisation is not None for fold in records)
    columns += ["Kept", *(["Regularisation"] if regularised else []), *named, "Time"]
    rows = [
        [
            escape(fold.fold),
            count(fold.train),
            main(task, fold.get(first), fold.n),
            *(scores[name][1](fold.get(name)) for name in others),
            escape(KEPT.get(fold.kept, fold.kept)),
            *([fold_strengths.written(fold.regularisation)] if regularised else []),
            *(_value(fold, name) for name in named),
            duration(fold.seconds),
        ]
        for fold in records
    ]
    kept = columns.index("Kept")
    numbers = (1, *range(3, kept), *([kept + 1] if regularised else []), len(columns) - 1)
    above = (
        "Scores of each fold's model on the examples that the fold held out. Kept: the weights "
        "that were chosen: head-only (only the head was trained, on the pretrained backbone), "
        "fine-tuned, or mean (the mean of the weights before and after fine-tuning)."
    )
    if regularised:
        above += " Regularisation: the regularisation strength selected for the fold's head."
    return table(above, columns, rows, numeric=numbers)


def _value(fold: FoldRecord, name: str) -> str:
    values = fold.values or {}
    return escape(coordinates.written(values[name])) if name in values else NOTHING
