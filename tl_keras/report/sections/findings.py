"""The section on the findings of the data check, as HTML; "" if the data were not checked."""

from collections.abc import Sequence
from typing import Any

from tl_keras.modalities import part
from tl_keras.report.drawings.markup import escape, facts, gallery, note, table
from tl_keras.report.drawings.words import (
    NOTHING,
    count,
    counted,
    interval,
    is_number,
    percent,
    split_name,
)
from tl_keras.report.drawings.words import number as shortest
from tl_keras.report.facts import figures, label_doubts
from tl_keras.report.read import RunFiles

SHOWN = 24  # findings of each kind that are shown; the others are only counted


def number(run: RunFiles) -> int:
    """Returns the number of findings of the data check, all kinds together."""
    checks = run.findings
    odd = [(checks.get(key) or {}).get("odd") for key in part(run.modality, "show").ODD]
    others = [checks.get("near_duplicates"), label_doubts.listed(run.findings), checks.get("rare")]
    return sum(len(entries or []) for entries in [*odd, *others])


def unchecked(run: RunFiles) -> list[str]:
    """Returns a sentence for each check that was not made or whose result is not shown, and why."""
    sentences = []
    if "near_duplicates" not in run.findings:
        sentences.append(f"Near-duplicates were not searched for: {_too_many(run)}.")
    why = str(run.findings.get("suspects_note") or "")
    # Beside suspects, the note says how labels were compared.
    if why and not run.findings.get("suspects"):
        sentences.append(f"{why[0].upper()}{why[1:]}.")
    if withheld := label_doubts.withheld(run.findings):
        sentences.append(withheld)
    return sentences


def _too_many(run: RunFiles) -> str:
    return f"there are too many {run.example_nouns[1]} to compare in memory"


def data_check(run: RunFiles) -> str:
    """Returns the findings of the data check as HTML, with a heading for each kind."""
    many = run.answer_nouns[1]
    parts = {
        "Near-duplicates": _near_duplicates(run),
        "Labels that may be wrong": _suspects(run),
        f"{many.capitalize()} with few {run.example_nouns[1]}": _rare(run),
        **part(run.modality, "show").findings(run.findings),
    }
    body = "".join(f"<h3>{title}</h3>{part}" for title, part in parts.items() if part)
    if body or not run.findings:
        return body
    return note("The data check found nothing.")


def _near_duplicates(run: RunFiles) -> str:
    if run.findings and "near_duplicates" not in run.findings:
        return note(f"Not searched for: {_too_many(run)}.")
    pairs = [p for p in run.findings.get("near_duplicates") or [] if len(p.get("files") or []) == 2]
    if not pairs:
        return ""
    # Pairs across two splits come first: they make scores too good.
    pairs = sorted(pairs, key=lambda pair: len(set(_two(pair, "splits"))) < 2)
    shown = pairs[:SHOWN]
    files = [str(file) for pair in shown for file in pair["files"]]
    thumbnails = iter(part(run.modality, "show").thumbnails(run, files))
    cells = []
    for pair in shown:
        both = [str(file) for file in pair["files"]]
        pictures = _images(run, [next(thumbnails), next(thumbnails)], both)
        named = zip(both, _two(pair, "splits"), _two(pair, "labels"), strict=True)
        lines = [_where(*names) for names in named]
        if is_number(pair.get("distance")):
            lines.append(f'<span class="file">distance {shortest(pair["distance"])}</span>')
        cells.append((pictures, lines))
    many = run.plain_nouns[1]
    above = f"{counted(len(pairs), 'pair')} of nearly equal {many}{only_first(pairs)}."
    if any(is_number(pair.get("distance")) for pair in shown):
        above += f" The smaller the distance, the more alike the two {many} are."
    return note(above) + gallery(cells, "pairs") + _without_near_duplicates(run)


def _two(pair: dict, key: str) -> list[str]:
    values = [str(value) for value in pair.get(key) or []]
    return values if len(values) == 2 else ["", ""]


def _where(file: str, split: str, label: str) -> str:
    place = ", ".join(escape(text) for text in (label, split_name(split)) if text)
    return f'<b>{place}</b> <span class="file">{escape(file)}</span>'


def _images(run: RunFiles, pictures: Sequence[Any | None], names: Sequence[str]) -> list[str]:
    image = part(run.modality, "show").image
    return [image(p, name) for p, name in zip(pictures, names, strict=True) if p]


def only_first(entries: Sequence[Any]) -> str:
    """Returns a phrase that says that only the first entries are shown; "" if all are shown."""
    rest = len(entries) - SHOWN
    return f"; the first {SHOWN} are shown, all are in findings.json" if rest > 0 else ""


def measured(
    part: dict,
    named: Sequence[tuple[str, str]],
    columns: Sequence[str],
    rows: list[list[str]],
    unusual: str,
    numeric: Sequence[int],
) -> str:
    """Returns the figures of one finding and a table of its unusual examples as HTML, or "".

    Args:
      part: the finding, with the number of examples `n` and the list `odd` of unusual ones.
      named: names and values of the figures.
      columns: titles of the table.
      rows: the cells of each unusual example that is shown.
      unusual: a noun for an example, then what is unusual: `image with unusual size`.
      numeric: positions of the columns with numbers.
    """
    if not named and not rows:
        return ""
    noun, _, what = unusual.partition(" ")
    size = note(f"Measured on {counted(part['n'], noun)}.") if is_number(part.get("n")) else ""
    if not rows:
        return size + facts(list(named))
    odd = part["odd"]
    above = f"{counted(len(odd), noun)} {what}{only_first(odd)}."
    return size + facts(list(named)) + table(above, columns, rows, numeric=numeric)


def _without_near_duplicates(run: RunFiles) -> str:
    scores = run.findings.get("without_near_duplicates") or {}
    right = figures.share_right(run, scores)
    if right is None:
        return ""
    removed, n = scores.get("removed"), scores.get("n")
    split = split_name(str(scores.get("split") or "test"))
    have = "has" if removed == 1 else "have"
    return note(
        f"{counted(removed, f'{split} example')} {have} a near-duplicate in another split. On the "
        f"other {split} examples, {percent(right)} of {count(n)} answers are right (95% interval "
        f"{interval(scores.get('interval'))})."
    )


def _suspects(run: RunFiles) -> str:
    suspects, why = label_doubts.listed(run.findings), run.findings.get("suspects_note")
    notes = "".join(map(note, filter(None, (why, label_doubts.withheld(run.findings)))))
    if not suspects:
        return notes
    shown = suspects[:SHOWN]
    files = [str(entry.get("file")) for entry in shown]
    cells = []
    for entry, file, picture in zip(
        shown, files, part(run.modality, "show").thumbnails(run, files), strict=True
    ):
        lines = [
            f"labelled <b>{escape(entry.get('label'))}</b>",
            f"may be <b>{escape(entry.get('suggested'))}</b>, {_probabilities(entry)}",
            f'<span class="file">{escape(file)}</span>',
        ]
        cells.append((_images(run, [picture], [file]), lines))
    above = f"{counted(len(suspects), *run.plain_nouns)}, the most doubtful label first"
    above += f"{only_first(suspects)}. A model that was not trained on these "
    above += f"{run.plain_nouns[1]} finds another label more likely than the given one."
    if trust := label_doubts.trust(run.findings):
        above += f" {trust}"
    if run.holds_out:
        above += " label_quality.csv ranks all examples."
    return note(above) + notes + gallery(cells, "single")


def _probabilities(entry: dict) -> str:
    """Returns the probabilities of the suggested label and, if known, of the given label."""
    probability, given = (entry.get(key) for key in ("probability", "label_probability"))
    if is_number(given):
        return f"{percent(probability)} against {percent(given)}"
    return f"{percent(probability)} sure"


def _rare(run: RunFiles) -> str:
    rare = run.findings.get("rare") or []
    if not rare:
        return ""
    one, many = run.answer_nouns
    rows = [
        [escape(entry.get("class")), count(entry.get("n")), escape(entry.get("why") or NOTHING)]
        for entry in rare[:SHOWN]
    ]
    above = f"{counted(len(rare), one, many)} with few training examples{only_first(rare)}."
    columns = [one.capitalize(), run.example_nouns[1].capitalize(), "Why"]
    return table(above, columns, rows, numeric=(1,))
