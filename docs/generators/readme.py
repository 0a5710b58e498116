"""The measured parts of README.md: the quickstart's summary, and the main results."""

import json
import re
from pathlib import Path

from generators import measured

PAGE = "../README.md"
HEADER = ""  # People write all other parts of the page.
FILE = Path(__file__).resolve().parents[2] / "README.md"
# The main results that a stranger wants first; the last ones take the place of those not measured.
FIRST = ("accuracy", "search_speed", "export_quality", "text", "examples", "search_memory")
SUMMARY = re.compile(r"(?<=<!-- output: first words -->\n```text\n).*?(?=\n```)", re.DOTALL)
RESULTS = re.compile(r"(?<=## Measured\n\n).*?(?=\n\n\[Measured\])", re.DOTALL)


def text() -> str:
    """Returns README.md with its measured parts as the raw figures in docs/measured/ give them."""
    page = FILE.read_text(encoding="utf-8")
    examples = measured.FOLDER / "examples.json"
    if examples.exists():
        summary = json.loads(examples.read_text(encoding="utf-8"))["figures"]["quickstart"][
            "summary"
        ]
        page = SUMMARY.sub(lambda _: summary, page, count=1)
    return RESULTS.sub(lambda _: results(), page, count=1)


def results() -> str:
    """Returns a table of at most four main results, each with its command."""
    names = {file.stem for file in measured.FOLDER.glob("*.json")}
    chosen = [name for name in FIRST if name in names][:4]
    rows = (measured.row(measured.FOLDER / f"{name}.md") for name in chosen)
    linked = (row.replace("](", "](docs/measured/", 1) for row in rows)
    return "\n".join(["| what | result | command | date |", "| --- | --- | --- | --- |", *linked])
