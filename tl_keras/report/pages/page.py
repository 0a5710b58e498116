"""Writes report.html of a run folder: one file without scripts that loads nothing else."""

import importlib.resources
from pathlib import Path

from tl_keras.data.paths import printable
from tl_keras.report.advice import on_approaches, on_data, rules, verdict
from tl_keras.report.drawings.markup import contents, escape, items, section, steps
from tl_keras.report.facts.compared import is_one
from tl_keras.report.pages import card
from tl_keras.report.read import FILES, RunFiles, read
from tl_keras.report.sections import (
    approaches,
    findings,
    folds,
    mistakes,
    provenance,
    results,
    rounds,
    search,
    training,
)
from tl_keras.run import files, marks


def write(workdir: Path) -> Path:
    """Writes report.html into a run folder, from the other files there; returns its path.

    Reads config.yaml, data.json, findings.json, metrics.jsonl, pictures/, predictions.csv and
    result.json, if they exist. The pictures of the worst mistakes and of findings are read from the
    data folder. The same files always give the same bytes. report.html is replaced in one step, so
    a reader never sees half a report. If the run is finished, also writes MODEL_CARD.md beside the
    report, except for a run of the command `compare`: there, each approach has its own card.

    Raises:
      ValueError: the run folder has none of these files, or one of them cannot be parsed.
    """
    workdir = Path(workdir)
    path = workdir / "report.html"
    run = read(workdir)
    if any((workdir / name).exists() for name in (path.name, "MODEL_CARD.md")):
        marks.check(workdir, "run", "report", may_be_new=False)
    text = printable(render(run))  # File names may hold bytes that are not valid UTF-8.
    if run.finished and not is_one(run):  # Each approach has a card of its own.
        card.write(run)
    files.write_text(path, text)
    return path


def is_page(file: Path) -> bool:
    """Returns True if an HTML file was written by this package."""
    with file.open("rb") as stream:
        return GENERATOR.encode() in stream.read(4096)


def refresh(workdir: Path) -> None:
    """Writes report.html of a run if it is missing or older than a file that it is made from."""
    report = workdir / "report.html"
    sources = [workdir / name for name in FILES if (workdir / name).exists()]
    newest = max(path.stat().st_mtime for path in sources)
    if not report.exists() or report.stat().st_mtime < newest:
        write(workdir)


def render(run: RunFiles) -> str:
    """Returns report.html of a run, as text."""
    adviser = on_data if run.is_audit else on_approaches if is_one(run) else rules
    headliner = verdict if adviser is rules else adviser
    first, lines = headliner.headline(run), adviser.what_to_do(run)
    sections = {**approaches.SECTIONS, **SECTIONS} if adviser is on_approaches else SECTIONS
    filled = {_titled(title, run): body(run) for title, body in sections.items()}
    filled = {title: body for title, body in filled.items() if body}
    parts = [
        _verdict(run),
        section("What to do", steps((a.do, a.why, a.command) for a in lines) if lines else CALM),
        contents(filled),
        *(section(title, body) for title, body in filled.items()),
    ]
    command = run.result.pipeline or ("audit" if run.is_audit else "")
    above = [f"tl-keras {command}" if command else "", run.name]
    return document(
        f"{run.name}: tl_keras report",
        " · ".join(filter(None, above)),
        first,
        "\n".join(filter(None, parts)),
    )


CALM = "<p>Nothing needs attention.</p>"
SECTIONS = {
    "Scores": results.scores,
    "Folds": folds.folds,
    "Rounds": rounds.rounds,
    "Search": search.search,
    "Answers": results.recalls,  # The page uses the task's noun instead, see `_titled`.
    "Confusion": results.confusion,
    "Worst mistakes": mistakes.mistakes,
    "Confidence": results.calibration,
    "Exports": results.exports,
    "Training": training.training,
    "Augmented samples": training.augmented,
    "Data check": findings.data_check,
    "Data": provenance.data,
    "Time": provenance.time,
    "Features": provenance.features,
    "Model": provenance.model,
    "Versions and device": provenance.versions,
    "Config": provenance.config,
}


def _titled(title: str, run: RunFiles) -> str:
    return run.answer_nouns[1].capitalize() if title == "Answers" else title


def _verdict(run: RunFiles) -> str:
    judged = None if run.is_audit or is_one(run) else verdict.verdict(run)
    if not judged:
        return ""
    return section(
        "Good enough?", f'<p class="answer">{escape(judged.answer)}</p>{items(judged.why)}'
    )


def document(title: str, above: str, headline: str, body: str) -> str:
    """Returns a whole HTML page with the given content, in the style of the report.

    Args:
      title: title of the browser window, plain text.
      above: small line above the headline, plain text.
      headline: plain text.
      body: HTML below the headline.
    """
    style = importlib.resources.files("tl_keras.report.pages") / "style.css"
    # A run's name may hold a bracket, so the headline is not split at the first one.
    first, mark, rest = headline.partition(" (95% interval ")
    small = f"<small>{escape(mark[2:] + rest.replace(')', '', 1))}</small>" if rest else ""
    return PAGE.format(
        generator=GENERATOR,
        title=escape(title),
        style=style.read_text(encoding="utf-8"),
        above=escape(above),
        headline=escape(first) + small,
        body=body,
    )


GENERATOR = '<meta name="generator" content="tl_keras">'
PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
{generator}
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" \
content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<main>
<header>
<p class="above">{above}</p>
<h1>{headline}</h1>
</header>
{body}
</main>
</body>
</html>
"""
