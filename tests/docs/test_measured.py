"""Claim: each measured page follows from its raw figures and names a command that works."""

import argparse
import importlib
import json
import re
import shlex
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "benchmarks"
PAGES = ROOT / "docs" / "measured"
# What the benchmarks share, or import only to measure.
MODULES = (
    *("image_sets", "page", "paired", "search_sides"),
    *("plain_minilm", "text_sets", "text_setfit", "text_ways"),
)
BENCHMARKS = sorted(
    path.stem for path in SCRIPTS.glob("*.py") if path.stem not in (*MODULES, "all")
)
MEASURED = sorted(path.stem for path in PAGES.glob("*.json"))


@pytest.fixture(scope="module")
def scripts():
    """The folder of the benchmarks is where Python looks first."""
    sys.path.insert(0, str(SCRIPTS))
    yield importlib
    sys.path.remove(str(SCRIPTS))
    for name in (*MODULES, *BENCHMARKS, "all"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def page(scripts):
    return scripts.import_module("page")


def test_the_test_sees_the_benchmarks():
    assert len(BENCHMARKS) > 5


@pytest.mark.parametrize("name", BENCHMARKS)
def test_each_benchmark_has_help(name, scripts, page, capsys):
    benchmark = scripts.import_module(name).BENCHMARK
    assert benchmark.name == name
    with pytest.raises(SystemExit, match="0"):
        page.main(benchmark, ["--help"])
    assert "--write" in capsys.readouterr().out


@pytest.mark.parametrize("name", MEASURED)
def test_a_page_is_what_its_raw_figures_give(name, scripts, page):
    benchmark, record = scripts.import_module(name).BENCHMARK, page.read(name)
    assert (PAGES / f"{name}.md").read_text(encoding="utf-8") == page.text(benchmark, record)


@pytest.mark.parametrize("name", MEASURED)
def test_a_page_names_a_command_that_parses(name, scripts, page):
    content = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    command = re.search(r"```\n(python .+)\n```", content)[1]
    assert "/" not in command.replace(f"benchmarks/{name}.py", "")  # No path of a machine.
    python, script, *arguments = shlex.split(command)
    assert (ROOT / script).exists()
    page.full_parser(scripts.import_module(name).BENCHMARK).parse_args(arguments)


def test_each_page_has_raw_figures_and_each_figures_a_page():
    assert {path.stem for path in PAGES.glob("*.md")} == {*MEASURED, "index"}


def test_all_benchmarks_are_run_with_flags_that_parse(scripts, page):
    runner = scripts.import_module("all")
    assert sorted(runner.BENCHMARKS) == BENCHMARKS
    chosen = runner.parser().parse_args(
        ["--data=photos", "--weights=weights", "--mediapipe=python"]
    )
    for name in BENCHMARKS:
        parser = page.full_parser(scripts.import_module(name).BENCHMARK)
        assert parser.parse_args(runner.arguments_of(name, chosen)).write


def test_a_page_tells_no_path(page):
    command = page.neutral_command(
        "x",
        ["--data=/a/b", "--weights", "/c/d.h5", "--of", "Net 1.0 /e/f.h5", "N=/g/h.h5", "--write"],
    )
    assert command == (
        "python benchmarks/x.py --data=DIR --weights FILE.h5 --of 'Net 1.0 f.h5' N=h.h5"
    )


def example(page) -> tuple:
    """A benchmark that measures nothing."""
    benchmark = page.Benchmark(
        "example",
        "Example",
        argparse.ArgumentParser,
        lambda chosen: {"n": 7},
        lambda figures: f"Compares {figures['n']}.",
        lambda figures: page.table(("a", "b"), [("1", str(figures["n"]))]),
        lambda figures: str(figures["n"]),
    )
    return benchmark


def test_write_writes_and_from_json_measures_nothing(page, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(page, "PAGES", tmp_path)
    page.main(example(page), [])
    assert not list(tmp_path.iterdir())
    printed = capsys.readouterr().out
    assert "# Example" in printed and "| 1 | 7 |" in printed and "commit `" in printed
    page.main(example(page), ["--write"])
    assert {path.name for path in tmp_path.iterdir()} == {"example.json", "example.md"}
    capsys.readouterr()
    page.main(example(page), ["--from_json"])
    assert capsys.readouterr().out == (tmp_path / "example.md").read_text() + "\n"


def test_from_json_without_figures_says_what_to_run(page, monkeypatch, tmp_path):
    monkeypatch.setattr(page, "PAGES", tmp_path)
    with pytest.raises(SystemExit, match="benchmarks/example.py --write"):
        page.main(example(page), ["--from_json"])


def test_a_page_says_if_the_machine_was_busy(page):
    record = {"cores_used_by_others": 0.5, "machine": {"cores": 2}}
    assert not page.is_quiet(record)
    assert page.is_quiet({**record, "cores_used_by_others": 0.05})


def test_all_skips_what_was_measured_with_this_code_on_a_quiet_machine(
    scripts, page, monkeypatch, tmp_path
):
    runner = scripts.import_module("all")
    monkeypatch.setattr(page, "PAGES", tmp_path)
    assert not runner.is_measured("folding", missing=True)
    quiet = {**page.code_state(), "cores_used_by_others": 0.0, "machine": {"cores": 2}}
    for record, is_up_to_date in (
        (quiet, True),
        ({**quiet, "cores_used_by_others": 1.0}, False),
        ({**quiet, "commit": "another"}, False),
    ):
        (tmp_path / "folding.json").write_text(json.dumps(record))
        assert runner.is_measured("folding", missing=False) == is_up_to_date
        assert runner.is_measured("folding", missing=True)


def test_intervals_resample_images(scripts):
    paired, np = scripts.import_module("paired"), scripts.import_module("numpy")
    files = [str(i) for i in range(100)]
    right = paired.Outcome(files, np.arange(100) < 90, 0.0)
    wrong = paired.Outcome(files, np.arange(100) < 70, 0.0)
    tally = paired.tally([right, right], [wrong, right])
    assert tally == [[0, 2, 80], [1, 2, 20]]
    found = paired.difference([tally])
    assert found.mean == pytest.approx(10) and 5 < found.low < 8 and 12 < found.high < 15
    assert "is more accurate" in paired.verdict(found, "a", "b")
    assert "is less accurate" in paired.verdict(paired.difference([[[-1, 1, 20]]]), "a", "b")
    assert "exactly as" in paired.verdict(paired.difference([[[0, 1, 20]]]), "a", "b")
    even = paired.difference([[[-1, 1, 20], [1, 1, 20]]])
    assert "do not differ" in paired.verdict(even, "a", "b")
