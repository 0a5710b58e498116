"""Advice on what the data check found. Plain text."""

from collections.abc import Iterable, Sequence

from tl_keras.report.advice.advice import Advice
from tl_keras.report.drawings.words import counted, interval, isolated, listed, percent
from tl_keras.report.facts import figures, label_doubts
from tl_keras.report.read import RunFiles

FILES = 3  # files that are named at most


def on_leaks(run: RunFiles) -> Iterable[Advice]:
    """Yields advice if near-duplicates are in two splits."""
    pairs = [p for p in run.findings.get("near_duplicates") or [] if _differ(p.get("splits"))]
    if not pairs:
        return
    why = (
        f"{counted(len(pairs), 'pair')} of nearly equal {run.plain_nouns[1]} "
        f"{'is' if len(pairs) == 1 else 'are'} spread over two splits, so {_leak(run, pairs)}."
    )
    without = run.findings.get("without_near_duplicates") or {}
    if (right := figures.share_right(run, without)) is not None:
        why += (
            f" Without these duplicates, {percent(right)} of "
            f"{counted(without.get('n'), 'example')} are right "
            f"(95% interval {interval(without.get('interval'))})."
        )
    yield Advice(
        "Keep near-duplicates in one split.",
        f"{why} To do so, list the data in a CSV file (data.source: csv) with a column group, and "
        "give both of a pair the same group.",
    )


def _leak(run: RunFiles, pairs: Sequence[dict]) -> str:
    """Returns the harm of near-duplicates across splits; the splits of a pair are in the order of
    SPLITS."""
    measured = figures.scored(run)[0] or "test"
    where = [p["splits"] for p in pairs]
    if any(splits[0] == "train" and splits[1] == measured for splits in where):
        has = "has" if run.finished else "would have"
        return f"the model {has} been trained on examples that it is measured on"
    if any(measured in splits for splits in where):
        return "the model was chosen by examples that it is measured on"
    pictures = run.plain_nouns[1]
    return f"the choice between models favours one that has memorised {pictures}"


def _differ(values: object) -> bool:
    return isinstance(values, list) and len(set(map(str, values))) > 1


def on_twins(run: RunFiles) -> Iterable[Advice]:
    """Yields advice if near-duplicates have different labels."""
    pairs = [p for p in run.findings.get("near_duplicates") or [] if _differ(p.get("labels"))]
    if pairs:
        files = [str(file) for pair in pairs for file in pair.get("files") or []]
        yield Advice(
            f"Check the labels of {counted(len(pairs), 'pair')} of nearly equal "
            f"{run.plain_nouns[1]}: {named_files(files)}.",
            "Both of a pair look alike but have different labels: one label may be wrong.",
        )


def on_suspects(run: RunFiles) -> Iterable[Advice]:
    """Yields advice on labels that the data check doubts."""
    suspects = [str(entry.get("file")) for entry in label_doubts.listed(run.findings)]
    if suspects:
        trust = label_doubts.trust(run.findings)
        yield Advice(
            f"Check {counted(len(suspects), 'label')} that may be wrong: {named_files(suspects)}.",
            "A model that was not trained on these examples prefers another label; see "
            f"Data check.{f' {trust}' if trust else ''}",
        )


def on_quarantined(run: RunFiles) -> Iterable[Advice]:
    """Yields advice on quarantined files."""
    n = len(figures.quarantined(run))
    if n:
        was, them = ("was", "it") if n == 1 else ("were", "they")
        yield Advice(
            f"Repair or remove {counted(n, 'file')}.",
            f"{them.capitalize()} {was} left out as unusable; the section Data gives the reasons.",
        )


def named_files(names: Sequence[str]) -> str:
    """Returns the first `FILES` names as a list for a sentence, with the number of the others."""
    more = len(names) - FILES
    return listed([*map(isolated, names[:FILES]), *([f"{more} more"] if more > 0 else [])])
