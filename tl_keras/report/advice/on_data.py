"""What a data check says where there is no run yet: its line and its advice, plain text."""

import re
from collections.abc import Iterable

from tl_keras.modalities import part
from tl_keras.report.advice.advice import Advice
from tl_keras.report.advice.rules import on_leaks, on_quarantined, on_suspects, on_twins
from tl_keras.report.drawings.words import count, counted, isolated, listed, quoted
from tl_keras.report.facts import figures
from tl_keras.report.read import RunFiles
from tl_keras.report.sections import findings


def headline(run: RunFiles) -> str:
    """How many examples, and how much was found, as one line."""
    splits = (run.data.get("splits") or {}).values()
    n = sum(len(files) for files in splits) or _examined(run)
    found = findings.number(run) + len(figures.quarantined(run))
    line = f"{counted(n, *run.example_nouns)}{_in_classes(run)}; {counted(found, 'finding')}"
    warned = len(run.data.get("warnings") or [])
    return f"{line}, {counted(warned, 'warning')}" if warned else line


def _examined(run: RunFiles) -> int:
    """How many examples the data check counted."""
    parts = [run.findings.get(key) or {} for key in part(run.modality, "show").ODD]
    return max((found.get("n", 0) for found in parts), default=0)


def _in_classes(run: RunFiles) -> str:
    """How many answers the data have, where these have names."""
    names, (one, many) = run.data.get("classes") or [], run.answer_nouns
    return f" in {counted(len(names), one, many)}" if names or run.counts_right else ""


def what_to_do(run: RunFiles) -> list[Advice]:
    """What the findings ask for, the most urgent first."""
    rules = (*(_on_warnings, on_quarantined, on_leaks, on_twins, on_suspects), _on_rare, _on_odd)
    lines = [advice for rule in rules for advice in rule(run)]
    unseen = list(_on_unseen(run))
    if any(map(REFUSED.match, _warnings(run))):
        last = "Until then finetune refuses these data, for the reason that stands first."
        return [*lines, *unseen, Advice("Mend the data, then audit them again.", last)]
    if lines:
        last = "What is left of the findings does no harm that a first run would not show."
        return [*lines, *unseen, Advice("Then train: tl-keras finetune --data=FOLDER.", last)]
    looked = "Nothing was found in what was looked at." if unseen else NOTHING_FOUND
    return [*unseen, Advice("Train: tl-keras finetune --data=FOLDER.", looked)]


NOTHING_FOUND = "Nothing was found in the data."
# What a training refuses begins with the field of the config that it concerns.
REFUSED = re.compile(r"data(\.\w+)?: ")


def _warnings(run: RunFiles) -> list[str]:
    return [str(warning) for warning in run.data.get("warnings") or []]


def _on_warnings(run: RunFiles) -> Iterable[Advice]:
    found = sorted(_warnings(run), key=lambda warning: not REFUSED.match(warning))
    if found:
        more = f" {count(len(found) - 3)} more stand under Data." if len(found) > 3 else ""
        yield Advice(
            f"Read {counted(len(found), 'warning')} first.",
            " ".join(f"{warning.rstrip('.')}." for warning in found[:3]) + more,
        )


def _on_unseen(run: RunFiles) -> Iterable[Advice]:
    for note in findings.unseen(run):
        yield Advice(f"Look at the {run.plain_nouns[1]} yourself.", note)


def _on_rare(run: RunFiles) -> Iterable[Advice]:
    rare = run.findings.get("rare") or []
    if rare:
        names = [f"{quoted(entry.get('class'))} ({count(entry.get('n'))})" for entry in rare]
        yield Advice(
            f"Add {run.example_nouns[1]} of {listed(names)}.",
            "So few can hardly be learned, and a score on them says little.",
        )


def _on_odd(run: RunFiles) -> Iterable[Advice]:
    show = part(run.modality, "show")
    for key, word in show.ODD.items():
        odd = (run.findings.get(key) or {}).get("odd") or []
        if odd:
            names = [isolated(entry.get("file")) for entry in odd]
            yield Advice(
                f"Look at {counted(len(odd), *run.example_nouns)} of unusual {word}: "
                f"{listed(names[:3])}{' and others' if len(odd) > 3 else ''}.",
                show.WHY_ODD,
            )
