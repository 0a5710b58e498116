"""Judges whether the labels that the teacher model of `parallel` gives are worth learning."""

from tl_keras.report.drawings.words import counted, interval, percent, quoted
from tl_keras.report.facts import figures
from tl_keras.report.read import RunFiles
from tl_keras.tasks.shares import wilson

HALF = 0.5  # With a smaller share right, most labels of the teacher are wrong.


def doubt(run: RunFiles) -> str:
    """Returns why student models should not learn the teacher's labels; "" if they can.

    They should not if the teacher is not shown to be better than always giving the most frequent
    answer, or if most of its answers are wrong.
    """
    teacher = run.result.teacher
    right = figures.share_right(run, teacher)
    if right is None or teacher.n < 1:
        return ""
    between = wilson(round(right * teacher.n), teacher.n)
    line = (
        f"The teacher is right on {percent(right)} of "
        f"{counted(teacher.n, f'{run.split_name(teacher.split)} example')} "
        f"(95% interval {interval(between)})"
    )
    largest = figures.majority(run) if teacher.split == figures.scored(run)[0] else None
    if largest and between[0] <= largest[1]:
        return (
            f"{line}. It is not shown to be better than always answering {quoted(largest[0])}, "
            f"which is right on {percent(largest[1])}, so the student models learned from labels "
            "at chance level."
        )
    return f"{line}, so the student models learned mostly wrong labels." if right < HALF else ""
