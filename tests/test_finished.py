"""Predictions and metrics by a finished run, on files that it has not seen."""

import csv
import json
import shutil

import pytest
from absl import logging
from conftest import draw

import tl_keras
from tl_keras import cli
from tl_keras.approaches import finished


def test_predicts_what_the_run_measured(finished_run, pictures):
    text = (finished_run.workdir / "predictions.csv").read_text()
    known = {row["file"]: row for row in csv.DictReader(text.splitlines())}
    rows = tl_keras.predict(finished_run.workdir, [pictures / file for file in known])
    assert len(rows) == len(known)
    for row, (file, expected) in zip(rows, known.items(), strict=True):
        assert row["file"] == str(pictures / file)
        assert row["prediction"] == expected["prediction"]
        for name, value in row["probabilities"].items():
            assert value == pytest.approx(float(expected[f"p:{name}"]), abs=1e-5)


def test_bad_files_are_reported_and_skipped(finished_run, tmp_path, capsys):
    folder = draw(tmp_path / "new", 1, seed=7)
    (folder / 'bad, "name".jpg').write_text("no picture")
    (folder / "dangling.jpg").symlink_to("nowhere.jpg")
    arguments = ["predict", f"--workdir={finished_run.workdir}", str(folder)]
    assert cli.main([*arguments, "--format=jsonl"]) == 0
    printed = capsys.readouterr()
    rows = [json.loads(line) for line in printed.out.splitlines()]
    assert len(rows) == 3
    assert "is skipped: not an image" in printed.err
    assert "dangling.jpg' is skipped" in printed.err
    assert cli.main([*arguments, f"--output={tmp_path / 'out.csv'}"]) == 0
    with open(tmp_path / "out.csv", newline="") as stream:
        assert [row["prediction"] for row in csv.DictReader(stream)] == [
            row["prediction"] for row in rows
        ]


def test_nothing_but_bad_files_is_the_users_to_mend(finished_run, tmp_path, capsys):
    (tmp_path / "bad.jpg").touch()
    status = cli.main(["predict", f"--workdir={finished_run.workdir}", str(tmp_path / "bad.jpg")])
    assert status == 2
    assert "empty file" in capsys.readouterr().err


def test_missing_file_is_named(finished_run):
    with pytest.raises(ValueError, match="nowhere.jpg' does not exist"):
        tl_keras.predict(finished_run, ["nowhere.jpg"])


def test_evaluates_another_folder(finished_run, tmp_path):
    measured = finished.evaluate(finished_run, draw(tmp_path / "new", 10, seed=7))
    assert measured["n"] == 30
    assert measured["accuracy"] > 0.6


def test_evaluating_says_what_is_left_out_and_what_trained(
    finished_run, pictures, tmp_path, monkeypatch
):
    said = []
    monkeypatch.setattr(logging, "warning", lambda text, *values: said.append(text % values))
    folder = shutil.copytree(pictures, tmp_path / "pictures")
    (folder / "disc" / "bad.jpg").write_text("no picture")
    assert finished.evaluate(finished_run, folder)["n"] == 72
    assert len(said) == 2
    assert said[0].startswith("--data: 1 files are left out; 'disc/bad.jpg': not an image")
    assert "36 of 72 images trained this model" in said[1]


def test_evaluates_some_of_the_classes_and_no_others(finished_run, tmp_path):
    folder = draw(tmp_path / "new", 4, seed=7)
    shutil.rmtree(folder / "disc")
    assert finished.evaluate(finished_run, folder)["n"] == 8
    (folder / "cross").rename(folder / "cat")
    with pytest.raises(ValueError, match="the model knows no class 'cat'; it knows cross, disc"):
        finished.evaluate(finished_run, folder)
