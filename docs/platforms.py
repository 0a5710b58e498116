"""Writes docs/reference/platforms.md: on which platforms pip finds a wheel of every dependency.

    pip install uv && python docs/platforms.py

Asks a package index, so it runs on request and not in `docs/generate.py`. Takes a few minutes.
"""

import configparser
import datetime
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "platforms.md"
PLATFORMS = {  # As uv calls them.
    "Linux x86-64": "x86_64-manylinux_2_28",
    "Linux ARM64": "aarch64-manylinux_2_28",
    "macOS ARM64": "aarch64-apple-darwin",
    "macOS x86-64": "x86_64-apple-darwin",
    "Windows x86-64": "x86_64-pc-windows-msvc",
}
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
EXTRAS = ("", "onnx", "gpu")
# Dependencies without any wheel, of pure Python: pip builds them everywhere without a compiler.
PURE = ("promise",)
TEXT = """\
# Platforms

<!-- Written by `python docs/platforms.py`; do not edit. -->

The tables say whether the package index had wheels of all dependencies of tl_keras {version} on
{date}. A yes means that the install needs no compiler. It does not mean that the tests ran
there: they run on Linux x86-64 with Python 3.11.

{tables}

The command below writes this page anew. It asks uv to resolve the dependencies for each platform
and Python, and accepts neither source distributions nor pre-releases. The exception is {pure}:
it has no wheel at all, and pip builds it from pure Python.

<!-- not run: it asks a package index -->
```sh
pip install uv && python docs/platforms.py
```
"""


def requirements(extra: str) -> str:
    """Returns the requirements of an install, or of an extra together with it, a line each."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = config["options"]["install_requires"]
    return lines + ("\n" + config["options.extras_require"][extra] if extra else "")


def missing(extra: str, platform: str, python: str, links: Path) -> str:
    """Returns why an install does not resolve to wheels, in a few words; empty if it does."""
    command = ["uv", "pip", "compile", "-", "--quiet", "--only-binary", ":all:"]
    command += ["--prerelease", "disallow", "--find-links", str(links)]
    command += ["--python-platform", platform, "--python-version", python]
    found = subprocess.run(command, input=requirements(extra), capture_output=True, text=True)
    if found.returncode == 0:
        return ""
    lacking = re.findall(r"([\w.-]+?)(?:\[[\w,-]+\])?[=<>]\S* has no wheels", found.stderr)
    if not lacking:
        raise RuntimeError(f"{' '.join(command)}: {found.stderr}")
    return f"no wheel of {', '.join(sorted(set(lacking)))}"


def table(extra: str, links: Path) -> str:
    """Returns the table of an install: a row for each platform, a column for each Python."""
    install = f"`pip install '.[{extra}]'`" if extra else "`pip install .`"
    lines = [f"| {install} | {' | '.join(PYTHONS)} |", "| --- " * (len(PYTHONS) + 1) + "|"]
    for name, platform in PLATFORMS.items():
        if extra == "gpu" and not name.startswith("Linux"):
            continue  # TensorFlow uses GPUs under Linux alone.
        with ThreadPoolExecutor(2) as pool:
            asked = [pool.submit(missing, extra, platform, python, links) for python in PYTHONS]
            cells = [answer.result() or "yes" for answer in asked]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    """Writes the page; the exit status."""
    version = (ROOT / "tl_keras" / "version.py").read_text(encoding="utf-8").split('"')[-2]
    with tempfile.TemporaryDirectory() as links:
        build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", links, *PURE]
        subprocess.run(build, check=True)
        tables = "\n\n".join(table(extra, Path(links)) for extra in EXTRAS)
    date = f"{datetime.date.today():%-d %B %Y}"
    pure = " and ".join(f"`{name}`" for name in PURE)
    PAGE.write_text(
        TEXT.format(date=date, version=version, tables=tables, pure=pure), encoding="utf-8"
    )
    print(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
