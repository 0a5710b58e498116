"""The section on parallel training: the teacher's labels, its students, what they merged to."""

from typing import Any

from tl_keras import tasks
from tl_keras.report.drawings.markup import escape, note, table
from tl_keras.report.drawings.words import (
    NOTHING,
    count,
    counted,
    duration,
    interval,
    is_number,
    number,
    percent,
    points,
)
from tl_keras.report.read import RunFiles
from tl_keras.report.sections.results import named_scores, share_of
from tl_keras.tasks.shares import paired_interval

MERGED = {
    "average": "the average of the students' weights",
    "ensemble": "the students' ensemble, whose probabilities are averaged",
    "teacher": "the teacher itself, since no student was better",
}


def rounds(run: RunFiles) -> str:
    """Whether the students know more than their teacher, and a table of each round."""
    found = run.result.get("rounds") or []
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
    teacher = run.result.get("teacher") or {}
    won, lost, n = (teacher.get(name) for name in ("won", "lost", "n"))
    split, main = str(teacher.get("split") or "test"), run.main
    own = (run.result.get(split) or {}).get(main)
    if not all(map(is_number, (won, lost, n, own, teacher.get(main)))) or not n:
        return "Students were trained on what a teacher had labelled."
    low, high = paired_interval(won, lost, n)
    gained = (
        f"{points((won - lost) / n)} (95% interval of the difference {interval((low, high))}, "
        f"paired by {count(n)} {run.split_name(split)} examples)"
    )
    if low > 0:
        return f"The model is better than its teacher by {gained}."
    if high < 0:
        return f"The model is worse than its teacher, which is the better choice, by {gained}."
    return f"The model cannot be told from its teacher: the difference is {gained}."


def _how(run: RunFiles) -> str:
    unlabelled, main = (
        (run.result.get("unlabelled") or {}).get("n"),
        run.main,
    )
    teacher = percent((run.result.get("teacher") or {}).get(main))
    return (
        f"The first teacher, cross-validated on all that was labelled and right on {teacher}, "
        f"labelled {count(unlabelled)} examples; students were trained on segments of them, and on "
        "what was labelled, and merged. What is labelled for validation chose, and no test example."
    )


def _students(run: RunFiles, own: dict[str, Any]) -> str:
    rows, main = [], run.main
    for student in own.get("segments") or []:
        labelled, taught = student.get("labelled") or {}, student.get("taught") or {}
        rows.append(
            [
                count(student.get("segment")),
                count(student.get("train")),
                share_of(labelled.get(main), labelled.get("n")),
                share_of(taught.get(main), taught.get("n")),
                escape(student.get("kept") or NOTHING),
                duration(student.get("seconds")),
            ]
        )
    above = (
        f"{counted(len(rows), 'student')}. Right on what people labelled for validation, and on "
        "what the teacher labelled of its own segment: agreement with the teacher, no truth."
    )
    columns = ["Segment", "Trained on", "Labelled", "Taught", "Kept", "Time"]
    return table(above, columns, rows, numeric=(0, 1, 5))


def _candidates(run: RunFiles, own: dict[str, Any]) -> str:
    merged, standing = str(own.get("merged")), own.get("candidates") or {}
    n, names = (run.result.get("val") or {}).get("n"), tasks.of(run.task, "names")
    main, by = names.MAIN, names.CHOOSE_BY[0]
    rows = [
        [
            escape(name + (" (kept)" if name == merged else "")),
            share_of(scores.get(main), n),
            number(scores.get(by)),
        ]
        for name, scores in standing.items()
    ]
    if not rows:
        return ""
    kept = MERGED.get(merged, f"the best student, of segment {merged.removeprefix('segment_')}")
    above = f"On {count(n)} labelled validation examples. Kept: {kept}."
    titles = [named_scores(run.task)[key][0] for key in (main, by)]
    return table(above, ["Candidate", *titles], rows, numeric=(2,))


def _labels(run: RunFiles, own: dict[str, Any]) -> str:
    noun = run.answers[0]
    labels = own.get("labels") or {}
    frequencies, thresholds = labels.get("frequencies"), labels.get("thresholds")
    answers = labels.get("classes") or {}
    known = any(is_number(entry.get("known")) for entry in answers.values())
    columns = [noun.capitalize(), "Estimated share", "Labels", "Kept from", "Kept"]
    rows = []
    for i, (name, entry) in enumerate(answers.items()):
        row = [
            escape(name),
            percent(_at(frequencies, i)),
            count(entry.get("n")),
            percent(_at(thresholds, i)),
            count(entry.get("kept")),
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


def _at(values: Any, i: int) -> Any:
    return values[i] if isinstance(values, list) and i < len(values) else None


def _right(entry: dict[str, Any]) -> str:
    right, known = entry.get("right"), entry.get("known")
    return share_of(right / known, known) if is_number(right) and known else NOTHING
