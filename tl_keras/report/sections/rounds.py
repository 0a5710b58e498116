"""The section on parallel training: the teacher's labels, its students, what they merged to."""

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
from tl_keras.report.facts import figures
from tl_keras.report.read import RunFiles
from tl_keras.report.sections.results import named_scores, share_of
from tl_keras.run.result.part import MainScores
from tl_keras.run.result.teaching import LabelCounts, Round

MERGED = {
    "average": "the average of the students' weights",
    "ensemble": "the students' ensemble, whose probabilities are averaged",
    "teacher": "the teacher itself, since no student was better",
}


def rounds(run: RunFiles) -> str:
    """Whether the students know more than their teacher, and a table of each round."""
    found = run.result.rounds or []
    if not found:
        return ""
    parts = [f'<p class="answer">{escape(said(run))}</p>', note(_how(run))]
    for i, own in enumerate(found, start=1):
        title = f"Round {i}" if len(found) > 1 else "Students"
        parts.append(f"<h3>{title}</h3>{_students(run, own)}{_candidates(run, own)}")
        parts.append(
            f"<h3>Labels{f' of round {i}' if len(found) > 1 else ''}</h3>{_labels(run, own)}"
        )
    return "".join(parts)


def said(run: RunFiles) -> str:
    """The model against its teacher, as a sentence."""
    teacher = run.result.teacher
    known = teacher and figures.measured(run, teacher.split)
    between = figures.paired(teacher.won, teacher.lost, teacher.n) if known else None
    if not between:
        return "Students were trained on what a teacher had labelled."
    low, high = between
    gained = (
        f"{points((teacher.won - teacher.lost) / teacher.n)} (95% interval of the difference "
        f"{interval(between)}, paired by {count(teacher.n)} {run.split_name(teacher.split)} "
        "examples)"
    )
    if low > 0:
        return f"The model is better than its teacher by {gained}."
    if high < 0:
        return f"The model is worse than its teacher, which is the better choice, by {gained}."
    return f"The model cannot be told from its teacher: the difference is {gained}."


def _how(run: RunFiles) -> str:
    teacher, unlabelled = run.result.teacher, run.result.unlabelled
    right = percent(figures.share_right(run, teacher))
    n = count(unlabelled.n if unlabelled else None)
    return (
        f"The first teacher, cross-validated on all that was labelled and right on {right}, "
        f"labelled {n} examples; students were trained on segments of them, and on "
        "what was labelled, and merged. What is labelled for validation chose, and no test example."
    )


def _students(run: RunFiles, own: Round) -> str:
    rows = [
        [
            count(student.segment),
            count(student.train),
            _share(run, student.labelled),
            _share(run, student.taught),
            escape(student.kept),
            duration(student.seconds),
        ]
        for student in own.segments
    ]
    above = (
        f"{counted(len(rows), 'student')}. Right on what people labelled for validation, and on "
        "what the teacher labelled of its own segment: agreement with the teacher, no truth."
    )
    columns = ["Segment", "Trained on", "Labelled", "Taught", "Kept", "Time"]
    return table(above, columns, rows, numeric=(0, 1, 5))


def _share(run: RunFiles, scores: MainScores | None) -> str:
    """The share of right answers, as HTML."""
    return share_of(figures.share_right(run, scores), scores.n if scores else None)


def _candidates(run: RunFiles, own: Round) -> str:
    merged, n = own.merged, run.result.val.n if run.result.val else None
    by = tasks.of(run.task, "names").CHOOSE_BY[0]
    rows = [
        [
            escape(name + (" (kept)" if name == merged else "")),
            share_of(figures.share_right(run, scores), n),
            number(scores.get(by)),
        ]
        for name, scores in own.candidates.items()
    ]
    if not rows:
        return ""
    kept = MERGED.get(merged, f"the best student, of segment {merged.removeprefix('segment_')}")
    above = f"On {count(n)} labelled validation examples. Kept: {kept}."
    titles = [named_scores(run.task)[key][0] for key in (run.main, by)]
    return table(above, ["Candidate", *titles], rows, numeric=(2,))


def _labels(run: RunFiles, own: Round) -> str:
    noun, labels = run.answer_nouns[0], own.labels
    known = any(entry.known is not None for entry in labels.classes.values())
    columns = [noun.capitalize(), "Estimated share", "Labels", "Kept from", "Kept"]
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
        f"What the teacher said, corrected by the share of each {noun} as its answers let "
        f"estimate; the surest of each {noun} were kept."
    )
    if known:
        columns.append("Right")
        above += " Their true labels are known here: they are told, and chose nothing."
    return table(above, columns, rows, numeric=(1, 2, 3, 4))


def _at(values: Sequence[float] | None, i: int) -> float | None:
    return values[i] if values and i < len(values) else None


def _right(entry: LabelCounts) -> str:
    right, known = entry.right, entry.known
    return share_of(right / known, known) if right is not None and known else NOTHING
