"""Run folder in, report.html out: one file, no script, nothing fetched, readable in print."""

import importlib.resources
from pathlib import Path

from tl_keras import files
from tl_keras.report import provenance, results
from tl_keras.report.advice import headline
from tl_keras.report.markup import escape, section
from tl_keras.report.read import Run, read


def write(workdir: Path) -> Path:
    """The path of report.html, written anew from the other files of the run folder.

    Reads config.yaml, data.json, metrics.jsonl, predictions.csv and result.json, each if it is
    there, and the pictures of the worst mistakes under the data's root. Equal files give
    equal bytes. A reader never sees half a report: it is written beside and moved.

    Raises:
      ValueError: the folder holds none of these files, or one is not what its name says.
    """
    workdir = Path(workdir)
    path = workdir / "report.html"
    # File names may hold bytes that are no UTF-8; they must not cost the report.
    text = render(read(workdir)).encode("utf-8", "backslashreplace").decode("utf-8")
    files.write_text(path, text)
    return path


def refresh(workdir: Path) -> None:
    """Writes report.html anew if it is missing or older than result.json."""
    report, result = workdir / "report.html", workdir / "result.json"
    if not report.exists() or report.stat().st_mtime < result.stat().st_mtime:
        write(workdir)


def render(run: Run) -> str:
    """The whole page as HTML."""
    filled = [section(title, body(run)) for title, body in SECTIONS.items()]
    style = importlib.resources.files("tl_keras.report") / "style.css"
    return PAGE.format(
        title=escape(f"{run.name}: tl_keras report"),
        style=style.read_text(encoding="utf-8"),
        above=escape(" · ".join(filter(None, [run.result.get("pipeline"), run.name]))),
        headline=_headline(run),
        sections="\n".join(filter(None, filled)),
    )


SECTIONS = {
    "What to do": results.what_to_do,
    "Scores": results.scores,
    "Training": results.training,
    "Classes": results.classes,
    "Confusion": results.confusion,
    "Worst mistakes": results.mistakes,
    "Exports": results.exports,
    "Data": provenance.data,
    "Time": provenance.time,
    "Features": provenance.features,
    "Model": provenance.model,
    "Versions and device": provenance.versions,
    "Config": provenance.config,
}


def _headline(run: Run) -> str:
    first, _, rest = headline(run).partition(" (")
    small = f"<small>{escape(rest.replace(')', '', 1))}</small>" if rest else ""
    return escape(first) + small


PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
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
{sections}
</main>
</body>
</html>
"""
