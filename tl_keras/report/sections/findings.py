"""The section on what the data check found: a run in, HTML out, empty where none was made."""

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
from tl_keras.report.read import RunFiles

SHOWN = 24  # Of each kind; the rest is counted.


def number(run: RunFiles) -> int:
    """How many findings there are."""
    found = run.findings
    odd = [(found.get(part) or {}).get("odd") for part in ("sizes", "brightness")]
    listed = [found.get(part) for part in ("near_duplicates", "suspects", "rare")]
    return sum(len(entries or []) for entries in [*odd, *listed])


def unseen(run: RunFiles) -> list[str]:
    """What nobody looked for, and why, a sentence each."""
    near = "near_duplicates" in run.findings
    said = [] if near else ["Near-duplicates were not compared: too many images for the memory."]
    why = str(run.findings.get("suspects_note") or "")
    # Where labels were compared, the note says how.
    if why and not run.findings.get("suspects"):
        said.append(f"{why[0].upper()}{why[1:]}.")
    return said


def data_check(run: RunFiles) -> str:
    """All that was found, each kind under its heading."""
    parts = {
        "Near-duplicates": _near_duplicates(run),
        "Labels that may be wrong": _suspects(run),
        "Classes with few images": _rare(run.findings.get("rare") or []),
        "Sizes": _sizes(run.findings.get("sizes") or {}),
        "Brightness and colour": _brightness(run.findings.get("brightness") or {}),
    }
    body = "".join(f"<h3>{title}</h3>{part}" for title, part in parts.items() if part)
    if body or not run.findings:
        return body
    return note("Nothing was found.")


def _near_duplicates(run: RunFiles) -> str:
    if run.findings and "near_duplicates" not in run.findings:
        return note("Not compared: too many images for the memory.")
    pairs = [p for p in run.findings.get("near_duplicates") or [] if len(p.get("files") or []) == 2]
    if not pairs:
        return ""
    # Those that leak from one split to another first.
    pairs = sorted(pairs, key=lambda pair: len(set(_two(pair, "splits"))) < 2)
    shown = pairs[:SHOWN]
    files = [str(file) for pair in shown for file in pair["files"]]
    found = iter(part(run.modality, "show").thumbnails(run, files))
    figures = []
    for pair in shown:
        both = [str(file) for file in pair["files"]]
        pictures = _images(run, [next(found), next(found)], both)
        named = zip(both, _two(pair, "splits"), _two(pair, "labels"), strict=True)
        lines = [_where(*names) for names in named]
        if is_number(pair.get("distance")):
            lines.append(f'<span class="file">distance {shortest(pair["distance"])}</span>')
        figures.append((pictures, lines))
    above = f"{counted(len(pairs), 'pair')} of nearly equal pictures{_cut(pairs)}."
    return note(above) + gallery(figures, "pairs") + _without(run)


def _two(pair: dict, key: str) -> list[str]:
    values = [str(value) for value in pair.get(key) or []]
    return values if len(values) == 2 else ["", ""]


def _where(file: str, split: str, label: str) -> str:
    place = ", ".join(escape(text) for text in (label, split_name(split)) if text)
    return f'<b>{place}</b> <span class="file">{escape(file)}</span>'


def _images(run: RunFiles, pictures: Sequence[Any | None], names: Sequence[str]) -> list[str]:
    image = part(run.modality, "show").image
    return [image(p, name) for p, name in zip(pictures, names, strict=True) if p]


def _cut(entries: Sequence[Any]) -> str:
    rest = len(entries) - SHOWN
    return f"; the first {SHOWN}, and {count(rest)} more in findings.json" if rest > 0 else ""


def _without(run: RunFiles) -> str:
    found = run.findings.get("without_near_duplicates") or {}
    if not is_number(found.get("accuracy")):
        return ""
    removed, n = found.get("removed"), found.get("n")
    return note(
        f"Without the {count(removed)} {split_name(str(found.get('split') or 'test'))} examples "
        f"that have a near-duplicate in another split, {percent(found['accuracy'])} of the "
        f"{count(n)} left are right (95% interval {interval(found.get('interval'))})."
    )


def _suspects(run: RunFiles) -> str:
    suspects = run.findings.get("suspects") or []
    said = note(run.findings["suspects_note"]) if run.findings.get("suspects_note") else ""
    if not suspects:
        return said
    shown = suspects[:SHOWN]
    files = [str(entry.get("file")) for entry in shown]
    figures = []
    for entry, file, picture in zip(
        shown, files, part(run.modality, "show").thumbnails(run, files), strict=True
    ):
        lines = [
            f"labelled <b>{escape(entry.get('label'))}</b>",
            f"looks like <b>{escape(entry.get('suggested'))}</b> "
            f"{percent(entry.get('probability'))}",
            f'<span class="file">{escape(file)}</span>',
        ]
        figures.append((_images(run, [picture], [file]), lines))
    above = f"{counted(len(suspects), 'picture')}, the most doubtful first{_cut(suspects)}."
    if run.holds_out:
        above += " label_quality.csv ranks all examples."
    return note(above) + said + gallery(figures, "single")


def _rare(rare: Sequence[dict]) -> str:
    if not rare:
        return ""
    rows = [
        [escape(entry.get("class")), count(entry.get("n")), escape(entry.get("why") or NOTHING)]
        for entry in rare[:SHOWN]
    ]
    above = f"{counted(len(rare), 'class', 'classes')}{_cut(rare)}."
    return table(above, ["Class", "Images", "Why"], rows, numeric=(1,))


def _sizes(sizes: dict) -> str:
    named = [
        (word, _range(sizes[word])) for word in ("width", "height", "aspect") if sizes.get(word)
    ]
    odd = sizes.get("odd") or []
    rows = [
        [
            escape(entry.get("file")),
            f"{count(entry.get('width'))} × {count(entry.get('height'))}",
            escape(entry.get("why") or NOTHING),
        ]
        for entry in odd[:SHOWN]
    ]
    return _measured(sizes, named, odd, ["File", "Pixels", "Why"], rows)


def _brightness(brightness: dict) -> str:
    named = [("median", shortest(brightness.get("median")))] if brightness.get("median") else []
    odd = brightness.get("odd") or []
    rows = [
        [
            escape(entry.get("file")),
            shortest(entry.get("mean")),
            escape(entry.get("why") or NOTHING),
        ]
        for entry in odd[:SHOWN]
    ]
    return _measured(brightness, named, odd, ["File", "Mean, 0 to 255", "Why"], rows)


def _measured(
    of: dict, named: list, odd: Sequence[dict], columns: Sequence[str], rows: list[list[str]]
) -> str:
    if not named and not odd:
        return ""
    on = note(f"Of {counted(of['n'], 'image')}.") if is_number(of.get("n")) else ""
    if not odd:
        return on + facts(named)
    of_what = "brightness or colour" if columns[1].startswith("Mean") else "size"
    above = f"{counted(len(odd), 'image')} of unusual {of_what}{_cut(odd)}."
    return on + facts(named) + table(above, columns, rows, numeric=(1,))


def _range(values: Any) -> str:
    low, median, high = map(shortest, (list(values) + [None] * 3)[:3])
    return f"{median} (from {low} to {high})"
