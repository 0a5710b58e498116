"""The section on parallel training: the teacher's labels, the students, and the merged model."""

from collections.abc import Sequence

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
    "average": "the average of the students' weights",
    "ensemble": "the ensemble of the students, whose probabilities are averaged",
    "teacher": "the teacher itself, since no student was better",
}
# What a student consists of, for a table; explained above it.
KEPT = {"head": "head alone", "mix": "mean", "finetuned": "fine-tuned"}


def rounds(run: RunFiles) -> str:
    """Returns the model against its teacher, and tables for each round."""
    every = run.result.rounds or []
    if not every:
        return ""
    parts = [f'<p class="answer">{escape(against_teacher(run))}</p>', note(_how(run))]
    if doubt := teachers.doubt(run):
        parts.append(note(doubt))
    for i, one in enumerate(every, start=1):
        title = f"Round {i}" if len(every) > 1 else "Students"
        parts.append(f"<h3>{title}</h3>{_students(run, one)}{_candidates(run, one)}")
        parts.append(
            f"<h3>Labels{f' of round {i}' if len(every) > 1 else ''}</h3>{_labels(run, one)}"
        )
    return "".join(parts)


def against_teacher(run: RunFiles) -> str:
    """Returns how the model compares with its teacher, as a sentence."""
    teacher = run.result.teacher
    known = teacher and figures.measured(run, teacher.split)
    between = figures.paired(teacher.won, teacher.lost, teacher.n) if known else None
    if not between:
        return "Students were trained on examples that a teacher had labelled."
    low, high = between
    n = counted(teacher.n, f"{run.split_name(teacher.split)} example")
    on = f"on {n} (paired 95% interval {interval(between)})"
    gain = (teacher.won - teacher.lost) / teacher.n
    if low > 0:
        return f"The model is better than its teacher by {points(gain)} {on}."
    if high < 0:
        return f"The model is worse than its teacher by {points(-gain)} {_turned(on, between)}."
    return (
        "The model is not shown to be better than its teacher: the difference is "
        f"{points(gain)} {on}."
    )


def _turned(on: str, between: Sequence[float]) -> str:
    """Returns the text with the interval of the opposite difference."""
    return on.replace(interval(between), interval([-between[1], -between[0]]))


def _how(run: RunFiles) -> str:
    teacher, unlabelled = run.result.teacher, run.result.unlabelled
    right = percent(figures.share_right(run, teacher))
    on = f" of {run.split_name(teacher.split)} examples" if teacher else ""
    n = count(unlabelled.n if unlabelled else None)
    return (
        "The first teacher was cross-validated on all labelled examples. It is right on "
        f"{right}{on} and labelled {n} unlabelled examples. Each student was trained on one "
        "segment of them and on the labelled examples; then the students were merged. "
        "The model was chosen on human-labelled validation examples, without the test examples."
    )


def _students(run: RunFiles, one: Round) -> str:
    rows = [
        [
            count(student.segment),
            count(student.train),
            _share(run, student.labelled),
            _share(run, student.taught),
            escape(KEPT.get(student.kept, student.kept)),
            duration(student.seconds),
        ]
        for student in one.segments
    ]
    above = (
        f"{counted(len(rows), 'student')}. Human labels: share right on the validation examples "
        "that people labelled. Teacher labels: agreement with the teacher on validation examples "
        "of the student's own segment, whether the teacher is right or not. Kept: which weights "
        "the student has: the head alone on the pretrained backbone, the fine-tuned weights, or "
        "the mean of the weights before and after fine-tuning."
    )
    columns = ["Segment", "Trained on", "Human labels", "Teacher labels", "Kept", "Time"]
    return table(above, columns, rows, numeric=(0, 1, 5))


def _share(run: RunFiles, scores: MainScores | None) -> str:
    """Returns the share of right answers, as HTML."""
    return share_of(figures.share_right(run, scores), scores.n if scores else None)


def _candidates(run: RunFiles, one: Round) -> str:
    merged, n = one.merged, run.result.val.n if run.result.val else None
    by = tasks.of(run.task, "names").CHOOSE_BY[0]
    rows = [
        [
            escape(name + (" (kept)" if name == merged else "")),
            share_of(figures.share_right(run, scores), n),
            number(scores.get(by)),
        ]
        for name, scores in one.candidates.items()
    ]
    if not rows:
        return ""
    kept = MERGED.get(merged, f"the best student, of segment {merged.removeprefix('segment_')}")
    above = f"Measured on {count(n)} validation examples that people labelled. Kept: {kept}."
    titles = [named_scores(run.task)[key][0] for key in (run.main, by)]
    return table(above, ["Candidate", *titles], rows, numeric=(2,))


def _labels(run: RunFiles, one: Round) -> str:
    noun, labels = run.answer_nouns[0], one.labels
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
        f"The teacher's labels. Its probabilities are corrected by the estimated share of each "
        f"{noun}; only the most confident labels of each {noun} were kept for the students."
    )
    if known:
        columns.append("Right")
        above += (
            " The true labels of these examples are known. They are only shown here; training did "
            "not use them."
        )
    return table(above, columns, rows, numeric=(1, 2, 3, 4))


def _at(values: Sequence[float] | None, i: int) -> float | None:
    return values[i] if values and i < len(values) else None


def _right(entry: LabelCounts) -> str:
    right, known = entry.right, entry.known
    return share_of(right / known, known) if right is not None and known else NOTHING
