"""What a data check says where there is no run yet: its line and its advice, plain text."""

from collections.abc import Iterable

from tl_keras.report import figures, findings
from tl_keras.report.advice import Advice, on_leaks, on_quarantined, on_suspects
from tl_keras.report.read import Run
from tl_keras.report.words import count, counted, listed, quoted


def headline(run: Run) -> str:
    """How many images, and how much was found, as one line."""
    splits = (run.data.get("splits") or {}).values()
    images = sum(len(files) for files in splits) or (run.findings.get("sizes") or {}).get("n", 0)
    found = findings.number(run) + len(figures.quarantined(run))
    classes = counted(len(run.data.get("classes") or []), "class", "classes")
    return f"{counted(images, 'image')} in {classes}; {counted(found, 'finding')}"


def what_to_do(run: Run) -> list[Advice]:
    """What the findings ask for, the most urgent first."""
    rules = (on_quarantined, on_leaks, on_suspects, _on_rare, _on_odd)
    lines = [advice for rule in rules for advice in rule(run)]
    if lines:
        last = "What is left of the findings does no harm that a first run would not show."
        return [*lines, Advice("Then train: tl-keras finetune --data=FOLDER.", last)]
    return [Advice("Train: tl-keras finetune --data=FOLDER.", "Nothing was found in the data.")]


def _on_rare(run: Run) -> Iterable[Advice]:
    rare = run.findings.get("rare") or []
    if rare:
        names = [f"{quoted(entry.get('class'))} ({count(entry.get('n'))})" for entry in rare]
        yield Advice(
            f"Add images of {listed(names)}.",
            "So few can hardly be learned, and a score on them says little.",
        )


def _on_odd(run: Run) -> Iterable[Advice]:
    for part, word in (("sizes", "size"), ("brightness", "brightness or colour")):
        odd = (run.findings.get(part) or {}).get("odd") or []
        if odd:
            names = [str(entry.get("file")) for entry in odd]
            yield Advice(
                f"Look at {counted(len(odd), 'image')} of unusual {word}: {listed(names[:3])}"
                f"{' and others' if len(odd) > 3 else ''}.",
                "They may be crops, scans or faults of a camera that new pictures will not have.",
            )
