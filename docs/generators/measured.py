"""The list of the measured pages, from the pages that the benchmarks wrote."""

import json
import re
from pathlib import Path

PAGE = "measured/index.md"
FOLDER = Path(__file__).resolve().parents[1] / "measured"
TOP = re.compile(r"^# (?P<title>.+)\n\n\*\*(?P<result>.+)\*\*$", re.MULTILINE)


def row(file: Path) -> str:
    """Returns the row of a page: its title, its main result, its command and the date."""
    top = TOP.search(file.read_text(encoding="utf-8"))
    record = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    cells = (
        f"[{top['title']}]({file.name})",
        top["result"],
        f"`{record['command']}`",
        record["date"],
    )
    return f"| {' | '.join(cells)} |"


def text() -> str:
    """Returns the list of the pages as Markdown."""
    files = sorted(file for file in FOLDER.glob("*.md") if file.name != "index.md")
    rows = "\n".join(row(file) for file in files)
    names = "\n".join(file.stem for file in files)
    return f"""# Measured

Each page is written by a script in `benchmarks/`. It names the command, the commit and the machine,
and says if other programs were running. The `.json` file beside a page has its raw figures.

| Page | Main result | Command | Date |
| --- | --- | --- | --- |
{rows}

`DIR` is a folder with one folder for each data set; each data set has one folder of images for each
class. Without `--write`, a command prints its page instead of writing it.
`python benchmarks/all.py` runs every benchmark and writes every page.

```{{toctree}}
:hidden:

{names}
```
"""
