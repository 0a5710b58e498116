"""Writes the headline and the advice for the report of an audit, a data check without training."""

import re
from collections.abc import Iterable

from tl_keras.backbones import table
from tl_keras.config.command_line import command_line
from tl_keras.modalities import part
from tl_keras.report.advice import few_examples
from tl_keras.report.advice.advice import Advice
from tl_keras.report.advice.on_findings import on_leaks, on_quarantined, on_suspects, on_twins
from tl_keras.report.drawings.words import count, counted, isolated, listed, quoted
from tl_keras.report.facts import figures
from tl_keras.report.read import RunFiles
from tl_keras.report.sections import findings


def headline(run: RunFiles) -> str:
    """Returns one line: how many examples, classes, findings and warnings there are."""
    splits = (run.data.get("splits") or {}).values()
    n = sum(len(files) for files in splits) or _examined(run)
    number = findings.number(run) + len(figures.quarantined(run))
    line = f"{counted(n, *run.example_nouns)}{_in_classes(run)}; {counted(number, 'finding')}"
    warnings = len(run.data.get("warnings") or [])
    return f"{line}, {counted(warnings, 'warning')}" if warnings else line


def _examined(run: RunFiles) -> int:
    """Returns how many examples the data check examined; 0 if it recorded no number."""
    parts = [run.findings.get(key) or {} for key in part(run.modality, "show").ODD]
    return max((measured.get("n", 0) for measured in parts), default=0)


def _in_classes(run: RunFiles) -> str:
    """Returns the phrase " in N classes"; "" for tasks without classes, such as regression."""
    names, (one, many) = run.data.get("classes") or [], run.answer_nouns
    return f" in {counted(len(names), one, many)}" if names or run.counts_right else ""


def what_to_do(run: RunFiles) -> list[Advice]:
    """Returns advice on the findings of the data check, the most urgent first.

    The last advice is to train, or to repair the data if training would refuse them.
    """
    rules = (*(_on_warnings, on_quarantined, on_leaks, on_twins, on_suspects), _on_rare, _on_odd)
    lines = [advice for rule in rules for advice in rule(run)]
    unchecked = list(_on_unchecked(run))
    if any(map(REFUSED.match, _warnings(run))):
        why = (
            "The command finetune refuses to train on these data as they are: see the first "
            "warning above."
        )
        return [*lines, *unchecked, Advice("Repair the data, then audit them again.", why)]
    why = NOTHING_IN_CHECKED if unchecked else NOTHING_FOUND
    if lines:
        why = (
            "You need not repair everything first: the score of a first model shows whether the "
            "remaining findings do harm."
        )
    return [*lines, *unchecked, _train(run, "Then train" if lines else "Train", why)]


def _train(run: RunFiles, do: str, why: str) -> Advice:
    """Returns the advice to train: by `cross_validate` if examples are few, else by `finetune`."""
    sizes = {name: len(files) for name, files in (run.data.get("splits") or {}).items()}
    n, measured = sum(sizes.values()), sizes.get("test") or sizes.get("val") or 0
    tree, instead = _without_download(run)
    why = f"{why}{instead}"
    line = few_examples.cross_validation(n, tree, run.findings)
    if not line:
        return Advice(f"{do} a model.", why, command_line("finetune", tree))
    few = few_examples.sentence(n, measured, run.plain_nouns)
    return Advice(f"{do} with cross-validation.", f"{few} {why}", line)


def _without_download(run: RunFiles) -> tuple[dict, str]:
    """Returns a config that can train, and a sentence if its backbone is not the config's.

    If the audit could not download the weights of the backbone, the returned config has a backbone
    that needs no download. If no such backbone is known, the config is returned unchanged.
    """
    model = run.tree.get("model")
    if not isinstance(model, dict) or model.get("weights") not in table.DOWNLOADED:
        return run.tree, ""
    if "model.weights: " not in str(run.findings.get("suspects_note")):
        return run.tree, ""
    for name in part(run.modality, "show").BACKBONES:
        weights = table.default_weights(name)
        if weights not in (*table.DOWNLOADED, "none"):
            changed = {**model, "backbone": name, "options": {}, "weights": weights}
            why = f" The command trains {name}, because it needs no download."
            return {**run.tree, "model": changed}, why
    return run.tree, ""


NOTHING_FOUND = "The data check found nothing wrong."
NOTHING_IN_CHECKED = "The checks that were possible found nothing wrong."
# A warning that makes training refuse the data begins with the config field that it concerns.
REFUSED = re.compile(r"data(\.\w+)?: ")


def _warnings(run: RunFiles) -> list[str]:
    return [str(warning) for warning in run.data.get("warnings") or []]


def _on_warnings(run: RunFiles) -> Iterable[Advice]:
    warnings = sorted(_warnings(run), key=lambda warning: not REFUSED.match(warning))
    if warnings:
        more = ""
        if len(warnings) > 3:
            more = f" The section Data lists {counted(len(warnings) - 3, 'more warning')}."
        yield Advice(
            f"Read {counted(len(warnings), 'warning')} first.",
            " ".join(f"{warning.rstrip('.')}." for warning in warnings[:3]) + more,
        )


def _on_unchecked(run: RunFiles) -> Iterable[Advice]:
    for note in findings.unchecked(run):
        yield Advice(f"Look at the {run.plain_nouns[1]} yourself.", note)


def _on_rare(run: RunFiles) -> Iterable[Advice]:
    rare = run.findings.get("rare") or []
    if rare:
        names = [f"{quoted(entry.get('class'))} ({count(entry.get('n'))})" for entry in rare]
        yield Advice(
            f"Add {run.example_nouns[1]} of {listed(names)}.",
            f"A model can hardly learn a {run.answer_nouns[0]} from so few examples, and a score "
            "measured on them means little.",
        )


def _on_odd(run: RunFiles) -> Iterable[Advice]:
    show = part(run.modality, "show")
    for key, word in show.ODD.items():
        odd = (run.findings.get(key) or {}).get("odd") or []
        if odd:
            names = [isolated(entry.get("file")) for entry in odd]
            yield Advice(
                f"Look at {counted(len(odd), *run.example_nouns)} with unusual {word}: "
                f"{listed(names[:3])}{' and others' if len(odd) > 3 else ''}.",
                show.WHY_ODD,
            )
