"""predict and evaluate with a finished run on new files."""

import csv
import json
import shutil
from dataclasses import replace

import pytest
from absl import logging
from shapes import draw

import tl_keras
from tl_keras import cli
from tl_keras.approaches import evaluate, new_files
from tl_keras.config import text as configs
from tl_keras.run.run import Run


def test_predictions_equal_those_of_the_run(quick_run, pictures):
    text = (quick_run.workdir / "predictions.csv").read_text()
    known = {row["file"]: row for row in csv.DictReader(text.splitlines())}
    rows = tl_keras.predict(quick_run.workdir, [pictures / file for file in known])
    assert len(rows) == len(known)
    for row, (file, expected) in zip(rows, known.items(), strict=True):
        assert row["file"] == str(pictures / file)
        assert row["prediction"] == expected["prediction"]
        for name, value in row["probabilities"].items():
            assert value == pytest.approx(float(expected[f"p:{name}"]), abs=1e-5)


def test_bad_files_are_reported_and_skipped(quick_run, tmp_path, capsys):
    folder = draw(tmp_path / "new", 1, seed=7)
    (folder / 'bad, "name".jpg').write_text("no picture")
    (folder / "dangling.jpg").symlink_to("nowhere.jpg")
    arguments = ["predict", f"--workdir={quick_run.workdir}", str(folder)]
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


def test_only_bad_files_is_a_user_error(quick_run, tmp_path, capsys):
    (tmp_path / "bad.jpg").touch()
    status = cli.main(["predict", f"--workdir={quick_run.workdir}", str(tmp_path / "bad.jpg")])
    assert status == 2
    assert "empty file" in capsys.readouterr().err


def test_missing_file_is_named(quick_run):
    with pytest.raises(ValueError, match="nowhere.jpg' does not exist"):
        tl_keras.predict(quick_run, ["nowhere.jpg"])


def test_evaluates_another_folder(finished_run, tmp_path):
    measured = evaluate.run(finished_run, draw(tmp_path / "new", 10, seed=7))
    assert measured["n"] == 30
    assert measured["accuracy"] > 0.6


def test_evaluate_warns_of_left_out_and_training_images(quick_run, pictures, tmp_path, said):
    folder = shutil.copytree(pictures, tmp_path / "pictures")
    (folder / "disc" / "bad.jpg").write_text("no picture")
    assert evaluate.run(quick_run, folder)["n"] == 72
    assert len(said) == 2
    assert said[0].startswith("--data: 'disc/bad.jpg' is left out: not an image but text")
    assert "the model was trained on 36 of 72 images" in said[1]


def renamed(run, **classes):
    section = run.config.evaluate.model_copy(update={"classes": classes})
    return replace(run, config=run.config.model_copy(update={"evaluate": section}))


@pytest.fixture
def said(monkeypatch):
    """The list of warnings that are logged."""
    lines = []
    monkeypatch.setattr(logging, "warning", lambda text, *values: lines.append(text % values))
    return lines


def test_evaluate_on_data_with_some_of_the_classes(quick_run, tmp_path, said):
    folder = draw(tmp_path / "new", 10, seed=7)
    whole = evaluate.run(quick_run, folder)
    assert "among_shared" not in whole
    shutil.rmtree(folder / "disc")
    measured = evaluate.run(quick_run, folder)
    assert measured["n"] == 20
    assert measured["among_shared"]["accuracy"] >= measured["accuracy"]
    (folder / "cross").rename(folder / "cat")
    measured = evaluate.run(quick_run, folder)
    assert measured["n"] == 10
    assert said == [
        "--data: 10 of 20 images left out: the model does not know the class 'cat'; it knows "
        "cross, disc, square; to say which names mean the same, set evaluate.classes, as in "
        "{cat: cross}"
    ]
    shutil.rmtree(folder / "square")
    with pytest.raises(ValueError, match="--data: the model does not know the class 'cat'; it"):
        evaluate.run(quick_run, folder)


def test_evaluate_on_data_with_other_class_names(quick_run, tmp_path, said):
    folder = draw(tmp_path / "new", 10, seed=7)
    plain = evaluate.run(quick_run, folder)
    # First the data use another name for a class; then one name for two classes of the model.
    (folder / "cross").rename(folder / "Kreuz")
    same = evaluate.run(renamed(quick_run, Kreuz="cross"), folder)
    assert same == plain
    for name in ("disc", "square"):
        (folder / name).rename(folder / f"of {name}")
    (folder / "solid").mkdir()
    for i, file in enumerate([*(folder / "of disc").iterdir(), *(folder / "of square").iterdir()]):
        file.rename(folder / "solid" / f"{i}.png")
    for name in ("of disc", "of square"):
        (folder / name).rmdir()
    coarse = {"cross": "Kreuz", "disc": "solid", "square": "solid"}
    measured = evaluate.run(renamed(quick_run, **coarse), folder)
    assert list(measured["classes"]) == ["Kreuz", "solid"]
    assert measured["n"] == 30
    rows = tl_keras.predict(quick_run, [folder])
    right = [(row["probabilities"]["cross"] > 0.5) == ("Kreuz" in row["file"]) for row in rows]
    assert measured["accuracy"] == pytest.approx(sum(right) / 30)
    assert said == []
    for wrong in ({"crosses": "Kreuz"}, {"Kreuz": "crosses"}):
        with pytest.raises(ValueError, match="'crosses' is a class of neither.*mean 'cross'"):
            evaluate.run(renamed(quick_run, **wrong), folder)


def test_evaluate_on_data_of_a_csv(quick_run, tmp_path, monkeypatch):
    folder = draw(tmp_path / "new", 4, seed=7)
    lines = [f"new/{name}/{i}.png,{name}" for name in ("cross", "disc", "square") for i in range(4)]
    table = tmp_path / "all.csv"
    table.write_text("\n".join(["path,label", *lines]))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "absolute.csv").write_text(
        "\n".join(["path,label", *(f"{tmp_path}/{line}" for line in lines)])
    )
    assert evaluate.run(quick_run, "absolute.csv") == evaluate.run(quick_run, "new")
    with pytest.raises(ValueError, match="no.csv' does not exist; expected a CSV file"):
        evaluate.run(quick_run, "no.csv")
    assert evaluate.run(quick_run, table) == evaluate.run(quick_run, folder)


@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        ("finetune", "has lost its data.json, which names the classes and the files; restore it"),
        ("trial", "is a trial, which is part of another run and has no data.json; expected the"),
    ],
)
def test_a_missing_data_json_is_explained(tmp_path, pipeline, message):
    config = configs.from_tree({"data": {"source": "digits"}})
    with pytest.raises(ValueError, match=message):
        new_files.recorded(Run(tmp_path, config, pipeline))


@pytest.mark.parametrize("inside", ["fold_0", "search/trial_3"])
def test_message_about_a_part_of_a_run_names_the_whole_run(tmp_path, inside):
    (tmp_path / "data.json").write_text("{}")
    config = configs.from_tree({"data": {"source": "digits"}})
    part = Run(tmp_path / inside, config, "fold")
    with pytest.raises(ValueError, match=f"is a fold, .* whole run, {str(tmp_path)!r}"):
        new_files.recorded(part)
