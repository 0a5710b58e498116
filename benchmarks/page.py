"""Writes the page of a benchmark: its header, its tables and the raw figures beside it.

    python benchmarks/page.py

This command rewrites every page under docs/measured/ from its raw figures, without measuring.
`python docs/generate.py` then rewrites the list of the pages.

A script under benchmarks/ builds a `Benchmark`, which describes the script, and calls `main` with
it. Each script then has two flags. `--write` writes docs/measured/NAME.md and NAME.json; without
`--write`, the text of the page is printed. `--from_json` makes the page from NAME.json without
measuring.
"""

import argparse
import hashlib
import importlib
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "measured"
CODE = ("tl_keras", "benchmarks", "setup.cfg", "pyproject.toml")  # What a figure depends on.
PACKAGES = ("tl-keras", "tensorflow", "keras")
PLACEHOLDERS = {
    "--data": "DIR",
    "--weights": "FILE.h5",
    "--mediapipe": "PYTHON",
    "--setfit": "PYTHON",
    "--orange": "WHEEL",
    "--minilm": "FOLDER",
    "--rows": "ROWS.jsonl",
}
QUIET = 0.05  # Share of the cores that other processes may use before the page warns.


@dataclass(frozen=True)
class Benchmark:
    """A script that measures something and writes a page about it.

    Attributes:
      name: name of the script and of its page.
      title: title of the page.
      parser: returns the parser of the script's flags.
      measure: takes the flags, measures, and returns the raw figures, which JSON can hold.
      compared: takes the raw figures; returns sentences that say what is compared on what.
      results: takes the raw figures; returns Markdown with the tables and a conclusion.
      headline: takes the raw figures; returns the main result as one line.
    """

    name: str
    title: str
    parser: Callable[[], argparse.ArgumentParser]
    measure: Callable[[argparse.Namespace], dict[str, Any]]
    compared: Callable[[dict[str, Any]], str]
    results: Callable[[dict[str, Any]], str]
    headline: Callable[[dict[str, Any]], str]


def main(benchmark: Benchmark, arguments: Sequence[str] | None = None) -> None:
    """Measures, or reads the raw figures, and prints or writes the page."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if "--from_json" in arguments:  # The flags that only measuring needs are not required then.
        record = read(benchmark.name)
    else:
        chosen = full_parser(benchmark).parse_args(arguments)
        record = measured(benchmark, arguments, chosen)
    if "--write" in arguments:
        write(benchmark, record)
    else:
        print(text(benchmark, record))


def full_parser(benchmark: Benchmark) -> argparse.ArgumentParser:
    """Returns the parser of a script's own flags and of the flags that all scripts share."""
    parser = benchmark.parser()
    place = f"docs/measured/{benchmark.name}"
    parser.add_argument("--write", action="store_true", help=f"write {place}.md and {place}.json")
    parser.add_argument(
        "--from_json",
        action="store_true",
        help=f"make the page from {place}.json; measure nothing",
    )
    return parser


def progress(message: str) -> None:
    """Shows how far a measurement is, on stderr: stdout has the page alone."""
    print(message, file=sys.stderr, flush=True)


def measured(
    benchmark: Benchmark, arguments: Sequence[str], chosen: argparse.Namespace
) -> dict[str, Any]:
    """Runs a benchmark and returns its raw figures with where, when and how they were measured."""
    record = {
        "command": neutral_command(benchmark.name, arguments),
        "weights": weights_files(arguments),
        **code_state(),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "versions": versions(),
    }
    load, busy, own = psutil.getloadavg()[0], _busy_seconds(), _own_seconds()
    started = time.monotonic()
    figures = benchmark.measure(chosen)
    seconds = time.monotonic() - started
    others = (_busy_seconds() - busy - _own_seconds() + own) / seconds
    record["seconds"] = round(seconds, 1)
    record["load_average"] = [round(load, 2), round(psutil.getloadavg()[0], 2)]
    record["cores_used_by_others"] = round(max(others, 0.0), 2)
    return {**record, "figures": figures}


def neutral_command(name: str, arguments: Sequence[str]) -> str:
    """Returns the command line with placeholders instead of the paths of this machine."""
    words, flag = [], ""
    for word in arguments:
        if word in ("--write", "--from_json"):
            continue
        if word.startswith("--"):
            flag, equals, value = word.partition("=")
            words.append(f"{flag}={_neutral(flag, value)}" if equals else flag)
        else:
            words.append(_neutral(flag, word))
    return shlex.join(["python", f"benchmarks/{name}.py", *words])


def _neutral(flag: str, value: str) -> str:
    """Returns a placeholder for the path of a known flag, and else file names without folders."""
    if flag in PLACEHOLDERS:
        return PLACEHOLDERS[flag]
    words = [[part.rpartition("/")[2] for part in word.split("=")] for word in value.split(" ")]
    return " ".join("=".join(parts) for parts in words)


def weights_files(arguments: Sequence[str]) -> dict[str, str]:
    """Returns the start of the SHA-256 of each weights file that the arguments name, by name."""
    words = [part for argument in arguments for part in argument.replace("=", " ").split()]
    files = [Path(word) for word in words if word.endswith((".h5", ".keras"))]
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in files}


def code_state() -> dict[str, Any]:
    """Returns the last commit that changed the code, and the code files changed since then."""

    def git(*words: str) -> str:
        command = ["git", "-C", str(ROOT), *words, "--", *CODE]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    try:
        commit, changed = git("log", "-1", "--format=%H").strip(), git("status", "--porcelain")
    except (OSError, subprocess.CalledProcessError):  # No git, or a copy without a repository.
        return {"commit": "unknown", "uncommitted": []}
    return {"commit": commit, "uncommitted": [line[3:] for line in changed.splitlines()]}


def machine() -> dict[str, Any]:
    """Returns the CPU's name, the number of its logical cores, and the memory in GB."""
    name = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        name = names[0] if names else name
    return {
        "cpu": name,
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
    }


def versions() -> dict[str, str]:
    """Returns the versions of Python, of this package and of the packages that it trains with."""
    found = {"Python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # Run from a clone that is not installed.
            from tl_keras.version import VERSION

            found[name] = VERSION
    return found


def _busy_seconds() -> float:
    """Returns the seconds of CPU that all processes of the machine have used."""
    times = psutil.cpu_times()
    fields = ("user", "nice", "system", "irq", "softirq", "steal")
    return sum(getattr(times, field, 0.0) for field in fields)


def _own_seconds() -> float:
    """Returns the seconds of CPU that this process and its finished children have used."""
    return sum(os.times()[:4])


def write(benchmark: Benchmark, record: dict[str, Any]) -> None:
    """Writes the raw figures and the page."""
    PAGES.mkdir(parents=True, exist_ok=True)
    # First: if the page's text has a fault, `--from_json` can make it later.
    raw = json.dumps(record, indent=1, default=lambda number: number.item())  # NumPy's numbers.
    _replace(PAGES / f"{benchmark.name}.json", raw + "\n")
    _replace(PAGES / f"{benchmark.name}.md", text(benchmark, record))
    progress(
        f"wrote {benchmark.name}.md and {benchmark.name}.json in {PAGES}; "
        "`python docs/generate.py` updates the list of the pages"
    )


def _replace(path: Path, content: str) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(content, encoding="utf-8")
    temporary.replace(path)


def read(name: str) -> dict[str, Any]:
    """Returns the raw figures of a page, with where, when and how they were measured.

    Raises:
      SystemExit: the benchmark has not written any figures yet.
    """
    path = PAGES / f"{name}.json"
    if not path.exists():
        sys.exit(f"{path} does not exist: run `python benchmarks/{name}.py --write` first")
    return json.loads(path.read_text(encoding="utf-8"))


def text(benchmark: Benchmark, record: dict[str, Any]) -> str:
    """Returns the page as Markdown."""
    figures = record["figures"]
    parts = [
        f"<!-- benchmarks/{benchmark.name}.py writes this page; do not edit it by hand. -->",
        f"# {benchmark.title}",
        f"**{benchmark.headline(figures)}**",
        benchmark.compared(figures),
        f"```\n{record['command']}\n```",
        header(record),
        benchmark.results(figures),
        f"The raw figures are in `{benchmark.name}.json`, beside this page.",
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def header(record: dict[str, Any]) -> str:
    """Returns what was measured with, where and when, as a table."""
    facts, packages = record["machine"], record["versions"]
    commit = f"commit `{record['commit'][:12]}`"
    if record["uncommitted"]:
        commit += f" with uncommitted changes in {len(record['uncommitted'])} files"
    packages = ", ".join(f"{name} {number}" for name, number in packages.items())
    start, end = record["load_average"]
    rows = [
        ("Measured with", f"{commit}; {packages}"),
        ("Date, duration", f"{record['date']}, {duration(record['seconds'])}"),
        (
            "Machine",
            f"{facts['cpu']}, {facts['cores']} cores, {facts['memory_gb']} GB of memory, "
            f"{facts['system']}",
        ),
        ("Load average", f"{start} at the start, {end} at the end"),
    ]
    if record["weights"]:
        weights = (f"`{name}` (SHA-256 `{start}`)" for name, start in record["weights"].items())
        rows.append(("Weights", ", ".join(weights)))
    lines = [table(("", ""), rows)]
    if not is_quiet(record):
        lines.append(
            f"**The machine was busy: other processes used {record['cores_used_by_others']} of the "
            f"{facts['cores']} cores on average. Do not rely on the times on this page; accuracies "
            "and sizes do not depend on them.**"
        )
    return "\n\n".join(lines)


def is_quiet(record: dict[str, Any]) -> bool:
    """Returns whether other processes used so little of the machine that times can be trusted."""
    return record["cores_used_by_others"] <= QUIET * record["machine"]["cores"]


def duration(seconds: float) -> str:
    """Returns seconds as a person writes them."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def seconds(value: float | None) -> str:
    """Returns the time to an event, which may not have happened."""
    return "not reached" if value is None else f"{value:.1f} s"


def span(values: Iterable[float], form: str) -> str:
    """Returns the lowest and the highest value, or the value that both are, in a format."""
    ends = list(dict.fromkeys(form.format(end) for end in (min(values), max(values))))
    return " to ".join(ends)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Returns a Markdown table."""
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |".replace("  ", " ") for line in lines)


def written() -> list[tuple[Benchmark, dict[str, Any]]]:
    """Returns each benchmark that has raw figures, with them, in the order of their names."""
    names = sorted(path.stem for path in PAGES.glob("*.json"))
    return [(importlib.import_module(name).BENCHMARK, read(name)) for name in names]


def rewrite() -> None:
    """Rewrites every page from its raw figures."""
    for benchmark, record in written():
        _replace(PAGES / f"{benchmark.name}.md", text(benchmark, record))
        print(f"wrote {benchmark.name}.md")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    rewrite()
