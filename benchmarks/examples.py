"""What each file in configs/ gives: scores, seconds, and a picture of its report.

    python benchmarks/examples.py --data=DIR --weights=FILE.h5 --write

DIR has the folder `ants_bees`. FILE.h5 has ImageNet weights of MobileNetV2, so that Keras need not
download them. Pictures of the reports, light and dark, go to docs/pictures/.
`python docs/generate.py` puts the summary of the quickstart into README.md. `pretrain_glyphs`
takes more than an hour and runs only with `--long`. `text_examples.py` measures the configs of
texts.
"""

import argparse
import json
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import page
from playwright.sync_api import sync_playwright

CONFIGS = page.ROOT / "configs"
PICTURES = page.ROOT / "docs" / "pictures"
LONG = ("pretrain_glyphs",)
OF_TEXTS = ("intents", "quickstart_text", "reviews")
SIZE = {"width": 840, "height": 900}  # px, of a picture
COMMAND = re.compile(r"#\s+tl-keras (\w+)(.*)")


def parser() -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--data", type=Path, required=True, help="folder with ants_bees/")
    flags.add_argument("--weights", type=Path, required=True, help="weights of MobileNetV2")
    flags.add_argument("--browser", default="chromium", help="program that takes the pictures")
    flags.add_argument("--long", action="store_true", help="also examples of more than an hour")
    return flags


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    left_out = OF_TEXTS if chosen.long else (*OF_TEXTS, *LONG)
    names = [file.stem for file in sorted(CONFIGS.glob("*.yaml")) if file.stem not in left_out]
    data, weights = chosen.data.resolve() / "ants_bees", chosen.weights.resolve()
    ants_bees = ["--set", f"data.path={data}", "--set", f"model.weights={weights}"]
    return run_all(names, {"ants_bees": ants_bees}, chosen.browser)


def run_all(names: Iterable[str], flags: dict[str, list[str]], browser: str) -> dict[str, Any]:
    """Runs examples and takes pictures of their reports; returns the figures of each.

    Args:
      names: names of files in configs/, without suffix.
      flags: {name of an example: flags that its command needs on this machine}.
      browser: program that takes the pictures.
    """
    figures = {}
    with tempfile.TemporaryDirectory() as temporary:
        for name in names:
            page.progress(f"{name} ...")
            figures[name] = _run(CONFIGS / f"{name}.yaml", Path(temporary), flags.get(name, []))
            _picture(Path(temporary, "runs", name, "report.html"), name, browser)
    return figures


def _run(file: Path, folder: Path, flags: list[str]) -> dict[str, Any]:
    """Runs an example as its header says; returns its summary and the scores of its result."""
    command, rest = COMMAND.search(file.read_text(encoding="utf-8")).groups()
    words = [sys.executable, "-m", "tl_keras", command]
    if command == "quickstart":
        words += rest.split()
    else:
        words += [f"--config={file}", f"--workdir=runs/{file.stem}"]
    words += flags
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 3):
        sys.exit(f"{shlex.join(words)}\n{done.stdout}{done.stderr}")
    result = json.loads(Path(folder, "runs", file.stem, "result.json").read_text())
    return {
        "config": file.read_text(encoding="utf-8"),
        "command": command,
        "summary": done.stdout.rstrip().replace(f"{folder.resolve()}/", ""),
        "seconds": result["seconds"]["total"],
        "scores": {split: _scores(result.get(split)) for split in ("val", "test")},
    }


def _scores(measured: dict[str, Any] | None) -> dict[str, Any] | None:
    return measured and {name: measured[name] for name in ("accuracy", "interval", "n")}


def _picture(report: Path, name: str, browser: str) -> None:
    """Pictures of the top of a report, `NAME_light.png` and `NAME_dark.png`."""
    PICTURES.mkdir(exist_ok=True)
    program = subprocess.run(["which", browser], capture_output=True, text=True, check=True)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=program.stdout.strip(), args=["--no-sandbox"]
        )
        for scheme in ("light", "dark"):
            sheet = opened.new_page(viewport=SIZE, color_scheme=scheme)
            sheet.goto(report.resolve().as_uri())
            sheet.screenshot(path=PICTURES / f"{name}_{scheme}.png")
        opened.close()


def compared(figures: dict[str, Any]) -> str:
    return (
        "Each file in `configs/` is a whole experiment. All but `ants_bees.yaml` use data and "
        "weights that ship with the package."
    )


def results(figures: dict[str, Any]) -> str:
    rows = [
        (f"[{name}](#{name})", f"`{run['command']}`", *_cells(run)) for name, run in figures.items()
    ]
    head = ("example", "command", "accuracy on validation", "accuracy on test", "work")
    return "\n\n".join(
        [page.table(head, rows), *(_section(name, run) for name, run in figures.items())]
    )


def _cells(run: dict[str, Any]) -> tuple[str, ...]:
    scores = (score(run["scores"][split]) for split in ("val", "test"))
    return (*scores, f"{run['seconds']:.0f} s")


def score(scores: dict[str, Any] | None) -> str:
    if not scores:
        return ""
    low, high = scores["interval"]
    return f"{scores['accuracy']:.3f} ({low:.3f} to {high:.3f}) on {scores['n']}"


def _section(name: str, run: dict[str, Any]) -> str:
    lines = run["config"].splitlines()
    header = [line.removeprefix("#") for line in lines if line.startswith("#")]
    before = next(i for i, line in enumerate(header) if line.startswith("   "))
    asked = " ".join(line.strip() for line in header[:before])
    picture = f"../pictures/{name}"
    config = "\n".join(line for line in lines if not line.startswith("#"))
    return "\n\n".join(
        [
            f"## {name}",
            asked,
            f"```text\n{run['summary']}\n```",
            f"![The top of its report]({picture}_light.png)",
            f"```yaml\n{config}\n```",
        ]
    )


def headline(figures: dict[str, Any]) -> str:
    quick = figures["quickstart"]
    return (
        f"The quickstart's test accuracy is {score(quick['scores']['test'])} images, after "
        f"{quick['seconds']:.0f} s of work"
    )


BENCHMARK = page.Benchmark(
    "examples", "Examples, and what each gives", parser, measure, compared, results, headline
)

if __name__ == "__main__":
    page.main(BENCHMARK)
