"""Claim: what the documentation says of the files in configs/ was measured on those very files."""

import importlib
import json
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
FILES = [ROOT / "docs" / "measured" / f"{name}.json" for name in ("examples", "text_examples")]
pytestmark = pytest.mark.skipif(
    not all(file.exists() for file in FILES),
    reason="benchmarks/examples.py or text_examples.py has not been run with --write yet",
)


@pytest.fixture(scope="module")
def figures() -> dict:
    read = [json.loads(file.read_text(encoding="utf-8"))["figures"] for file in FILES]
    return {name: run for figures in read for name, run in figures.items()}


@pytest.fixture
def examples(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    yield importlib.import_module("examples")
    for name in ("examples", "page"):
        sys.modules.pop(name, None)


def test_each_example_was_measured_as_it_is(figures, examples):
    names = {file.stem for file in (ROOT / "configs").glob("*.yaml")}
    assert set(figures) >= names - set(examples.LONG)
    for name, run in figures.items():
        now = (ROOT / "configs" / f"{name}.yaml").read_text(encoding="utf-8")
        read = YAML(typ="safe").load
        assert read(now) == read(run["config"]), (
            f"measure {name} again: benchmarks/{{text_,}}examples.py"
        )


def test_pictures_exist(figures):
    for name in figures:
        for scheme in ("light", "dark"):
            assert (ROOT / "docs" / "pictures" / f"{name}_{scheme}.png").is_file()
