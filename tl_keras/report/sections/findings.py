"""The section on what the data check found: a run in, HTML out, empty where none was made."""

from collections.abc import Sequence
from typing import Any

from tl_keras.modalities import part
from tl_keras.report.drawings.markup import escape, gallery, note, table
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
from tl_keras.report.facts import figures
from tl_keras.report.read import RunFiles

SHOWN = 24  # Of each kind; the rest is counted.


def number(run: RunFiles) -> int:
    """How many findings there are."""
    found = run.findings
    odd = [(found.get(key) or {}).get("odd") for key in part(run.modality, "show").ODD]
    listed = [found.get(part) for part in ("near_duplicates", "suspects", "rare")]
    return sum(len(entries or []) for entries in [*odd, *listed])


def unseen(run: RunFiles) -> list[str]:
    """What nobody looked for, and why, a sentence each."""
    near = "near_duplicates" in run.findings
    too_many = f"too many {run.example_nouns[1]} for the memory"
    said = [] if near else [f"Near-duplicates were not compared: {too_many}."]
    why = str(run.findings.get("suspects_note") or "")
    # Where labels were compared, the note says how.
    if why and not run.findings.get("suspects"):
        said.append(f"{why[0].upper()}{why[1:]}.")
    return said


def data_check(run: RunFiles) -> str:
    """All that was found, each kind under its heading."""
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
    return note("Nothing was found.")


def _near_duplicates(run: RunFiles) -> str:
    if run.findings and "near_duplicates" not in run.findings:
        return note(f"Not compared: too many {run.example_nouns[1]} for the memory.")
    pairs = [p for p in run.findings.get("near_duplicates") or [] if len(p.get("files") or []) == 2]
    if not pairs:
        return ""
    # Those that leak from one split to another first.
    pairs = sorted(pairs, key=lambda pair: len(set(_two(pair, "splits"))) < 2)
    shown = pairs[:SHOWN]
    files = [str(file) for pair in shown for file in pair["files"]]
    found = iter(part(run.modality, "show").thumbnails(run, files))
    cells = []
    for pair in shown:
        both = [str(file) for file in pair["files"]]
        pictures = _images(run, [next(found), next(found)], both)
        named = zip(both, _two(pair, "splits"), _two(pair, "labels"), strict=True)
        lines = [_where(*names) for names in named]
        if is_number(pair.get("distance")):
            lines.append(f'<span class="file">distance {shortest(pair["distance"])}</span>')
        cells.append((pictures, lines))
    above = f"{counted(len(pairs), 'pair')} of nearly equal {run.plain_nouns[1]}{cut(pairs)}."
    return note(above) + gallery(cells, "pairs") + _without(run)


def _two(pair: dict, key: str) -> list[str]:
    values = [str(value) for value in pair.get(key) or []]
    return values if len(values) == 2 else ["", ""]


def _where(file: str, split: str, label: str) -> str:
    place = ", ".join(escape(text) for text in (label, split_name(split)) if text)
    return f'<b>{place}</b> <span class="file">{escape(file)}</span>'


def _images(run: RunFiles, pictures: Sequence[Any | None], names: Sequence[str]) -> list[str]:
    image = part(run.modality, "show").image
    return [image(p, name) for p, name in zip(pictures, names, strict=True) if p]


def cut(entries: Sequence[Any]) -> str:
    """That only the first entries are shown, where there are more."""
    rest = len(entries) - SHOWN
    return f"; the first {SHOWN}, and {count(rest)} more in findings.json" if rest > 0 else ""


def _without(run: RunFiles) -> str:
    found = run.findings.get("without_near_duplicates") or {}
    right = figures.share_right(run, found)
    if right is None:
        return ""
    removed, n = found.get("removed"), found.get("n")
    return note(
        f"Without the {count(removed)} {split_name(str(found.get('split') or 'test'))} examples "
        f"that have a near-duplicate in another split, {percent(right)} of the "
        f"{count(n)} left are right (95% interval {interval(found.get('interval'))})."
    )


def _suspects(run: RunFiles) -> str:
    suspects = run.findings.get("suspects") or []
    said = note(run.findings["suspects_note"]) if run.findings.get("suspects_note") else ""
    if not suspects:
        return said
    shown = suspects[:SHOWN]
    files = [str(entry.get("file")) for entry in shown]
    cells = []
    for entry, file, picture in zip(
        shown, files, part(run.modality, "show").thumbnails(run, files), strict=True
    ):
        lines = [
            f"labelled <b>{escape(entry.get('label'))}</b>",
            f"looks like <b>{escape(entry.get('suggested'))}</b> "
            f"{percent(entry.get('probability'))}",
            f'<span class="file">{escape(file)}</span>',
        ]
        cells.append((_images(run, [picture], [file]), lines))
    above = f"{counted(len(suspects), *run.plain_nouns)}, the most doubtful first"
    above += f"{cut(suspects)}."
    if run.holds_out:
        above += " label_quality.csv ranks all examples."
    return note(above) + said + gallery(cells, "single")


def _rare(run: RunFiles) -> str:
    rare = run.findings.get("rare") or []
    if not rare:
        return ""
    one, many = run.answer_nouns
    rows = [
        [escape(entry.get("class")), count(entry.get("n")), escape(entry.get("why") or NOTHING)]
        for entry in rare[:SHOWN]
    ]
    above = f"{counted(len(rare), one, many)}{cut(rare)}."
    columns = [one.capitalize(), run.example_nouns[1].capitalize(), "Why"]
    return table(above, columns, rows, numeric=(1,))
