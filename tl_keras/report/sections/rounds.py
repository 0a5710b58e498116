"""The section on the command `parallel`: teacher labels, student models, merged models."""

from collections.abc import Sequence
from pathlib import Path

from tl_keras import tasks
from tl_keras.report.drawings.markup import escape, note, table
from tl_keras.report.drawings.words import (
    NOTHING,
    count,
    counted,
    duration,
    interval,
    number,
    percent,
    points,
)
from tl_keras.report.facts import figures, teachers
from tl_keras.report.read import RunFiles
from tl_keras.report.sections.results import named_scores, share_of
from tl_keras.run.result.part import MainScores
from tl_keras.run.result.teaching import LabelCounts, Round

MERGED = {
    "average": "the average of the student models' weights",
    "ensemble": "the ensemble of the student models, whose probabilities are averaged",
    "teacher": "the teacher model itself, because no student model was better",
}
# Which weights a student model has, for a table; explained above it.
KEPT = {"head": "head-only", "mix": "mean", "finetuned": "fine-tuned"}


def rounds(run: RunFiles) -> str:
    """Returns how much better the final model is than its teacher, and tables for each round."""
    every = run.result.rounds or []
    if not every:
        return ""
    parts = [f'<p class="answer">{escape(against_teacher(run))}</p>', note(_how(run))]
    if doubt := teachers.doubt(run):
        parts.append(note(doubt))
    for i, record in enumerate(every, start=1):
        title = f"Round {i}" if len(every) > 1 else "Students"
        parts.append(f"<h3>{title}</h3>{_students(run, record)}{_candidates(run, record)}")
        parts.append(
            f"<h3>Labels{f' of round {i}' if len(every) > 1 else ''}</h3>{_labels(run, record)}"
        )
    return "".join(parts)


def against_teacher(run: RunFiles) -> str:
    """Returns a sentence with the final model's share of right answers minus the teacher's."""
    teacher = run.result.teacher
    known = teacher and figures.measured(run, teacher.split)
    between = figures.paired(teacher.won, teacher.lost, teacher.n) if known else None
    if not between:
        return "Student models were trained on examples that a teacher model had labelled."
    low, high = between
    n = counted(teacher.n, f"{run.split_name(teacher.split)} example")
    gain = (teacher.won - teacher.lost) / teacher.n
    if low > 0:
        return f"The model is better than its teacher by {points(gain)} {_on(n, between)}."
    if high < 0:
        return f"The model is worse than its teacher by {points(-gain)} {_on(n, [-high, -low])}."
    return (
        "The model is not significantly better than its teacher: the model's share of right "
        f"answers minus the teacher's is {points(gain)} {_on(n, between)}."
    )


def _on(examples: str, between: Sequence[float]) -> str:
    return f"on {examples} (paired 95% interval {interval(between)})"


def _how(run: RunFiles) -> str:
    teacher, unlabelled = run.result.teacher, run.result.unlabelled
    right = percent(figures.share_right(run, teacher))
    on = f" of {run.split_name(teacher.split)} examples" if teacher else ""
    n = count(unlabelled.n if unlabelled else None)
    folds = teachers.held_out(run)
    in_folds = f" {folds.sentence}." if folds else ""
    return (
        "The first teacher model was cross-validated on all labelled examples."
        f"{in_folds} The teacher is right on {right}{on} and labelled {n} unlabelled examples. "
        "Each student model was trained on one segment (part) of these and on the examples that "
        f"people labelled.{_backbone(run)} Then the student models were merged. The final model "
        "was chosen on validation examples that people labelled; the test examples were not used "
        "for that."
    )


def _backbone(run: RunFiles) -> str:
    """Returns a sentence about the backbone of the students, if it is not that of the teacher."""
    student = (run.tree.get("parallel") or {}).get("student")
    if not isinstance(student, dict):
        return ""
    chosen = student.get("options")
    chosen = chosen if isinstance(chosen, dict) else {}
    options = ", ".join(f"{name} {value}" for name, value in chosen.items())
    name = Path(str(student.get("backbone"))).stem + (f" ({options})" if options else "")
    return f" The student models have a backbone of their own: {name}."


def _students(run: RunFiles, record: Round) -> str:
    rows = [
        [
            count(student.segment),
            count(student.train),
            _share(run, student.labelled),
            _share(run, student.taught),
            escape(KEPT.get(student.kept, student.kept)),
            duration(student.seconds),
        ]
        for student in record.segments
    ]
    above = (
        f"{counted(len(rows), 'student model')}. Human labels: the share of right answers on the "
        "validation examples that people labelled. Teacher labels: the share of answers that agree "
        "with the teacher's label, right or wrong, on the validation examples of the student "
        "model's own segment. Kept: the weights that were chosen: head-only "
        "(only the head was trained, on the pretrained backbone), fine-tuned, or mean (the mean of "
        "the weights before and after fine-tuning)."
    )
    columns = ["Segment", "Trained on", "Human labels", "Teacher labels", "Kept", "Time"]
    return table(above, columns, rows, numeric=(0, 1, 5))


def _share(run: RunFiles, scores: MainScores | None) -> str:
    """Returns the share of right answers of a student model, as HTML."""
    return share_of(figures.share_right(run, scores), scores.n if scores else None)


def _candidates(run: RunFiles, record: Round) -> str:
    merged, n = record.merged, run.result.val.n if run.result.val else None
    by = tasks.of(run.task, "names").CHOOSE_BY[0]
    rows = [
        [
            escape(name + (" (kept)" if name == merged else "")),
            share_of(figures.share_right(run, scores), n),
            number(scores.get(by)),
        ]
        for name, scores in record.candidates.items()
    ]
    if not rows:
        return ""
    best = f"the best student model, trained on segment {merged.removeprefix('segment_')}"
    kept = MERGED.get(merged, best)
    above = f"Measured on {count(n)} validation examples that people labelled. Kept: {kept}."
    titles = [named_scores(run.task)[key][0] for key in (run.main, by)]
    return table(above, ["Candidate", *titles], rows, numeric=(2,))


def _labels(run: RunFiles, record: Round) -> str:
    noun, labels = run.answer_nouns[0], record.labels
    known = any(entry.known is not None for entry in labels.classes.values())
    columns = [noun.capitalize(), "Estimated share", "Labels", "Kept from confidence", "Kept"]
    rows = []
    for i, (name, entry) in enumerate(labels.classes.items()):
        row = [
            escape(name),
            percent(_at(labels.frequencies, i)),
            count(entry.n),
            percent(_at(labels.thresholds, i)),
            count(entry.kept),
        ]
        rows.append(row + ([_right(entry)] if known else []))
    above = (
        "The labels that the teacher gave to the unlabelled examples. Its probabilities were "
        f"corrected with the estimated share of each {noun} among these examples. Only the most "
        f"confident labels of each {noun} were kept to train the student models."
    )
    if known:
        columns.append("Right")
        above += (
            " Right: the share of right labels among the kept labels of examples whose true label "
            "is known."
        )
        if (run.tree.get("parallel") or {}).get("labels") != "own":
            above += " Training did not use the true labels."
    return table(above, columns, rows, numeric=(1, 2, 3, 4))


def _at(values: Sequence[float] | None, i: int) -> float | None:
    return values[i] if values and i < len(values) else None


def _right(entry: LabelCounts) -> str:
    right, known = entry.right, entry.known
    return share_of(right / known, known) if right is not None and known else NOTHING
