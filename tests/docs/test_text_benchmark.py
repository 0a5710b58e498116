"""Claim: the benchmark of texts measures each case once, and its page follows from the rows."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPTS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def text():
    sys.path.insert(0, str(SCRIPTS))
    import text

    yield text
    sys.path.remove(str(SCRIPTS))
    for name in ("text", "text_sets", "page"):
        sys.modules.pop(name, None)


def row(case, right: np.ndarray) -> dict:
    """A row as `text.measured` returns it."""
    return {
        **case._asdict(),
        "quick": False,
        "commit": "abc",
        "tested": len(right),
        "accuracy": float(right.mean()),
        "seconds": 2.0,
        "cpu_seconds": 1.0,
        "right": np.packbits(right).tobytes().hex(),
        "facts": {},
    }


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder of one set, of which a text of train is in test and another is there twice."""
    (tmp_path / "sst2").mkdir()
    tables = {
        "train": [*((f"text {i}", "ab"[i % 2]) for i in range(40)), ("text 3", "b")],
        "test": [("text 0", "a"), *((f"other {i}", "ab"[i % 2]) for i in range(9))],
    }
    for split, rows in tables.items():
        with (tmp_path / "sst2" / f"{split}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *rows])
    return tmp_path


def test_a_smaller_draw_is_part_of_a_larger_one_and_no_test_text_is_drawn(text, folder):
    texts = text.text_sets.read("sst2", folder, None)
    assert len(texts.train.texts) == 39 and len(texts.test.texts) == 10
    assert texts.classes == ["a", "b"]
    small, large, other = (texts.draw(*how) for how in ((4, 0), (16, 0), (4, 1)))
    assert set(small.texts) < set(large.texts) and set(small.texts) != set(other.texts)
    assert np.bincount(small.labels).tolist() == [4, 4]
    assert "text 0" not in texts.draw(40, 0).texts


def test_a_measurement_goes_on_where_it_was_stopped(text, folder, monkeypatch, tmp_path):
    rows, done = tmp_path / "rows.jsonl", []

    def measured(case, texts, chosen):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(case)
        return row(case, np.arange(10) < 8)

    monkeypatch.setattr(text, "measured", measured)
    flags = [f"--data={folder}", f"--rows={rows}", "--sets", "sst2", "--counts", "4", "16"]
    chosen = text.parser().parse_args([*flags, "--seeds", "0", "1", "--only", "frozen", "ours"])
    with pytest.raises(KeyboardInterrupt):
        text.measure(chosen)
    assert len(rows.read_text().splitlines()) == 3
    first, done[:] = list(done), []
    with pytest.raises(KeyboardInterrupt):
        text.measure(chosen)
    assert not set(first) & set(done)
    chosen.as_is = True
    assert len(text.measure(chosen)["rows"]) == 6
    chosen.quick = True
    assert not text.measure(chosen)["rows"]  # Of part of the test texts: other figures.


def test_setfit_is_measured_for_few_labels_and_three_seeds(text):
    every = list(text.cases(text.parser().parse_args(["--data=x", "--sets", "sst2"])))
    assert len(every) == 4 * 4 * 5 + 3 * 3
    assert {case.count for case in every if case.way == "setfit"} == {8, 16, 64}


def test_the_page_tells_how_far_ours_is_ahead(text):
    generator, rows = np.random.default_rng(0), []
    for way, accuracy in {"frozen": 0.7, "plain": 0.6, "ours": 0.8}.items():
        for count in (8, 64):
            for seed in (0, 1):
                case = text.Case("sst2", count, seed, way)
                rows.append(row(case, generator.random(400) < accuracy))
    figures = json.loads(json.dumps({"rows": rows}))
    found = text.Figures(figures)
    wanted = 100 * (found.mean("sst2", 8, "ours") - found.mean("sst2", 8, "frozen"))
    difference = found.difference("sst2", [8], "frozen")
    assert difference.mean == pytest.approx(wanted, abs=0.01)
    assert difference.low < difference.mean < difference.high
    assert found.difference("sst2", [8, 64], "better") == found.difference(
        "sst2", [8, 64], "frozen"
    )
    assert found.difference("sst2", [8], "setfit") is None
    page = text.results(figures)
    assert f"| {difference} |" in page
    assert "ahead of plain Keras" in page and "ahead of SetFit" not in page
    assert str(found.difference("sst2", [8, 64], "frozen")) in text.headline(figures)
