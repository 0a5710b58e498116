"""Writes advice on the findings of the data check: near-duplicates, doubtful labels, bad files."""

from collections.abc import Iterable, Sequence

from tl_keras.data.wording import place_of
from tl_keras.report.advice.advice import Advice
from tl_keras.report.drawings.words import counted, interval, isolated, listed, percent
from tl_keras.report.facts import figures, label_doubts
from tl_keras.report.read import RunFiles

FILES = 3  # files that are named at most


def on_leaks(run: RunFiles) -> Iterable[Advice]:
    """Yields advice if the two examples of a near-duplicate pair are in different splits."""
    pairs = [p for p in run.findings.get("near_duplicates") or [] if _differ(p.get("splits"))]
    if not pairs:
        return
    pictures = run.plain_nouns[1]
    why = (
        f"{counted(len(pairs), 'pair')} of nearly equal {pictures} "
        f"{'is' if len(pairs) == 1 else 'are'} spread over two splits, so {_leak(run, pairs)}."
    )
    without = run.findings.get("without_near_duplicates") or {}
    if (right := figures.share_right(run, without)) is not None:
        why += (
            f" If these duplicates are left out, the model is right on {percent(right)} of "
            f"{counted(without.get('n'), 'example')} "
            f"(95% interval {interval(without.get('interval'))})."
        )
    yield Advice(
        "Keep near-duplicates in one split.",
        f"{why} To keep a pair in one split, list the data in a CSV file (data.source: csv) with a "
        f"column named “group”, and give both {pictures} of the pair the same group.",
    )


def _leak(run: RunFiles, pairs: Sequence[dict]) -> str:
    """Returns how near-duplicates in two splits harm the scores, as the end of a sentence.

    Args:
      run: the files of the run.
      pairs: entries of findings.json; their `splits` are in the order of SPLITS, such as
        ["train", "test"].
    """
    measured = figures.scored(run)[0] or "test"
    where = [p["splits"] for p in pairs]
    if any(splits[0] == "train" and splits[1] == measured for splits in where):
        has = "has" if run.finished else "would have"
        return f"the model {has} been trained on examples that it is measured on"
    if any(measured in splits for splits in where):
        return "the model was chosen by its answers to examples that it is measured on"
    return f"the choice between models favours a model that has memorised {run.plain_nouns[1]}"


def _differ(values: object) -> bool:
    return isinstance(values, list) and len(set(map(str, values))) > 1


def on_twins(run: RunFiles) -> Iterable[Advice]:
    """Yields advice if the two examples of a near-duplicate pair have different labels."""
    pairs = [p for p in run.findings.get("near_duplicates") or [] if _differ(p.get("labels"))]
    if pairs:
        files = [str(file) for pair in pairs for file in pair.get("files") or []]
        pictures = run.plain_nouns[1]
        yield Advice(
            f"Check the labels of {counted(len(pairs), 'pair')} of nearly equal {pictures}: "
            f"{named_files(files)}.",
            f"The two {pictures} of a pair have different labels: one label may be wrong.",
        )


def on_suspects(run: RunFiles) -> Iterable[Advice]:
    """Yields advice to check the labels that the data check doubts."""
    suspects = [str(entry.get("file")) for entry in label_doubts.listed(run.findings)]
    if suspects:
        trust = label_doubts.trust(run.findings)
        yield Advice(
            f"Check {counted(len(suspects), 'label')} that may be wrong: {named_files(suspects)}.",
            "A model that was not trained on these examples prefers another label; see the section "
            f"Data check.{f' {trust}' if trust else ''}",
        )


def on_quarantined(run: RunFiles) -> Iterable[Advice]:
    """Yields advice to repair or remove the examples that were left out as unusable."""
    entries = figures.quarantined(run)
    if entries:
        place = place_of(str(entry.get("file")) for entry in entries)
        which = f"This {place} was" if len(entries) == 1 else f"These {place}s were"
        yield Advice(
            f"Repair or remove {counted(len(entries), place)}.",
            f"{which} left out as unusable; the section Data gives the reasons.",
        )


def named_files(names: Sequence[str]) -> str:
    """Returns up to `FILES` file names, and how many more there are, for a sentence."""
    more = len(names) - FILES
    return listed([*map(isolated, names[:FILES]), *([f"{more} more"] if more > 0 else [])])
