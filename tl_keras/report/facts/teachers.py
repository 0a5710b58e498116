"""Judges whether the labels that the teacher model of `parallel` gives are worth learning."""

from collections import Counter
from dataclasses import dataclass

from tl_keras.maybe import Maybe
from tl_keras.report.drawings.words import counted, interval, percent, quoted
from tl_keras.report.facts import figures
from tl_keras.report.read import RunFiles
from tl_keras.tasks.shares import wilson

HALF = 0.5  # With a smaller share right, most labels of the teacher are wrong.


@dataclass(frozen=True)
class Evidence:
    """How often a teacher is right on labelled examples that it was not trained on."""

    start: str  # of a sentence about the teacher
    right: float  # share of right answers, 0..1
    n: int  # examples
    examples: str  # the word for the examples, such as "test example"
    largest: Maybe[tuple[str, float]]  # the most frequent answer and its share, if known

    @property
    def sentence(self) -> str:
        """A sentence, without its full stop, with the share of right answers and its interval."""
        return (
            f"{self.start} right on {percent(self.right)} of {counted(self.n, self.examples)} "
            f"(95% interval {interval(self.between)})"
        )

    @property
    def between(self) -> tuple[float, float]:
        """The 95% interval of the share of right answers."""
        return wilson(round(self.right * self.n), self.n)


def doubt(run: RunFiles) -> str:
    """Returns why student models should not learn the teacher's labels; "" if they can.

    They should not if the teacher is not shown to be better than always giving the most frequent
    answer, or if most of its answers are wrong. The sentence claims no more than the 95% interval
    shows.
    """
    known = [evidence for evidence in (held_out(run), _measured(run)) if evidence]
    if not known:
        return ""
    most = max(known, key=lambda evidence: evidence.n)
    low, high = most.between
    if most.largest and low <= most.largest[1]:
        name, share = most.largest
        is_shown = high <= share
        what = "is not better" if is_shown else "is not shown to be better"
        learned = "learned" if is_shown else "may have learned"
        return (
            f"{most.sentence}. The teacher {what} than always answering {quoted(name)}, which is "
            f"right on {percent(share)}, so the student models {learned} from labels at chance "
            "level."
        )
    if most.right >= HALF:
        return ""
    learned = "learned" if high < HALF else "may have learned"
    return f"{most.sentence}, so the student models {learned} mostly wrong labels."


def held_out(run: RunFiles) -> Evidence | None:
    """Returns the evidence from the folds in which the teacher was cross-validated, if known."""
    answers = run.of_teacher if run.counts_right else []
    if not answers or not run.result.teacher:
        return None
    right = sum(answer.prediction == answer.label for answer in answers)
    name, size = Counter(answer.label for answer in answers).most_common(1)[0]
    return Evidence(
        start="In cross-validation, the models of the teacher's folds are",
        right=right / len(answers),
        n=len(answers),
        examples="held-out example",
        largest=(name, size / len(answers)),
    )


def _measured(run: RunFiles) -> Evidence | None:
    """Returns the evidence from the examples on which the final model was measured, if known."""
    teacher = run.result.teacher
    right = figures.share_right(run, teacher)
    if right is None or teacher.n < 1:
        return None
    return Evidence(
        start="The teacher is",
        right=right,
        n=teacher.n,
        examples=f"{run.split_name(teacher.split)} example",
        largest=figures.majority(run) if teacher.split == figures.scored(run)[0] else None,
    )
