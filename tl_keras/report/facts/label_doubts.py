"""Says which doubtful labels the report lists, and how far to trust the model that doubts them.

`findings` is the content of findings.json.
"""

from dataclasses import dataclass
from typing import Any

from tl_keras.report.drawings.words import count, counted, is_number, percent
from tl_keras.tasks.shares import wilson

# Share of the way from always answering the largest class (0) to agreeing with all labels (1).
NEAR_CHANCE = 0.25  # A judge below this is not believed at all.
WEAK = 0.9  # A judge below this makes many mistakes of its own.


@dataclass(frozen=True)
class Judge:
    """The figures of the model that judges the labels by its own predictions.

    It was not trained on the examples whose labels it judges.
    """

    n: int  # labels that it judged
    agreement: float  # share of these labels that it would have given, 0..1
    largest: float  # share of the largest class, 0..1

    @property
    def skill(self) -> float:
        """How good the judge is: 1 if perfect, 0 if as good as always giving the largest class."""
        return (self.agreement - self.largest) / (1 - self.largest) if self.largest < 1 else 0.0

    @property
    def is_near_chance(self) -> bool:
        """Whether the judge is hardly better than always answering the largest class."""
        low, _ = wilson(round(self.agreement * self.n), self.n)
        return low <= self.largest or self.skill < NEAR_CHANCE


def judge(findings: dict[str, Any]) -> Judge | None:
    """Returns the model that judged the labels; None if findings.json does not describe it."""
    record = findings.get("suspects_judge")
    values = [record.get(key) for key in ("n", "agreement", "largest")] if record else []
    if not values or not all(map(is_number, values)):
        return None
    n, *shares = values
    return Judge(int(n), *shares) if n >= 1 and all(0 <= share <= 1 for share in shares) else None


def listed(findings: dict[str, Any]) -> list[dict]:
    """Returns the doubted labels that the report lists; none if the judge is near chance."""
    judged = judge(findings)
    return [] if judged and judged.is_near_chance else findings.get("suspects") or []


def trust(findings: dict[str, Any]) -> str:
    """Returns a sentence with the share of labels that the judge agrees with; "" if unknown."""
    judged = judge(findings)
    return f"This model {agreement(judged)}." if judged else ""


def agreement(judged: Judge) -> str:
    """Returns the end of a sentence about the judge: with how many labels it agrees."""
    line = f"agrees with {percent(judged.agreement)} of {counted(judged.n, 'label')}"
    if judged.skill < WEAK:
        return f"{line}, and therefore many of these doubts are the model's own mistakes"
    return line


def withheld(findings: dict[str, Any]) -> str:
    """Returns a sentence about doubted labels that the report leaves out; "" if there are none."""
    judged, n = judge(findings), len(findings.get("suspects") or [])
    if not n or not judged or not judged.is_near_chance:
        return ""
    return (
        f"{count(n)} of {counted(judged.n, 'label')} {'was' if n == 1 else 'were'} doubted, but "
        "the doubts are not listed here: the model that judged the labels agrees with only "
        f"{percent(judged.agreement)} of all labels, and always answering the largest class would "
        f"agree with {percent(judged.largest)}. findings.json lists the doubts."
    )
