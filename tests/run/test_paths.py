"""Claims on paths: names that look like patterns or are too long do not break the export."""

import json
import os
import shutil

import pytest

import tl_keras
from tl_keras import cli
from tl_keras.run import files
from tl_keras.run import folder as runs

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
STRANGE = "photos [2024] *?{x} 100%s back\\slash 'q' \"d\" é 熊"


@posix
def test_a_run_below_strange_names_is_exported_and_proved(quick, pictures, tmp_path):
    root = tmp_path / STRANGE
    for name in ("cross", "disc"):
        shutil.copytree(pictures / name, root / f"{name} [n] %d\\x")
    long = f"0.{'y' * 250}"  # Its suffix is too long to be appended to another name.
    for file in list(root.glob("*/0.png")):
        file.rename(file.with_name(long))
    tree = {
        **quick,
        "data": {**quick["data"], "path": str(root), "val": 0.4, "test": 0.4},
        "fit": {"epochs": 0},
        "export": {"formats": ["saved_model", "float32", "int8"]},
    }
    run = tl_keras.finetune(tree, tmp_path / "runs" / STRANGE)
    assert {entry["status"] for entry in run.result["export"].values()} == {"ok"}
    golden = run.workdir / "export" / "device" / "golden"
    assert len(json.loads((golden / "golden.json").read_text())["images"]) >= 3
    assert cli.main(["report", str(run.workdir)]) == 0
    rows = tl_keras.predict(run, root / "disc [n] %d\\x")
    assert len(rows) == 24 and all("prediction" in row for row in rows)


@posix
@pytest.mark.parametrize("links", [True, False], ids=["linked", "copied"])
def test_paths_with_pattern_characters_get_a_plain_alias(links, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError("administrators alone")

    if not links:
        monkeypatch.setattr("pathlib.Path.symlink_to", refuse)
    for name in ("a [1]", "plain"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
        with files.not_a_pattern(tmp_path / name) as path:
            assert not files.PATTERN.search(path.as_posix())
            assert (path / "file").read_text() == "x"
            assert (path == tmp_path / name) == (name == "plain")
        assert (tmp_path / name / "file").exists()


def test_names_too_long_for_the_system_give_one_message(tmp_path, capsys):
    long = str(tmp_path / ("x" * 300))
    for line in (
        ["finetune", "--set=data.source=digits", f"--workdir={long}"],
        ["finetune", f"--config={long}"],
        ["predict", f"--workdir={long}", "x.png"],
        ["report", long],
    ):
        assert cli.main(line) == 2
        said = capsys.readouterr().err
        assert "File name too long" in said and "Traceback" not in said


@pytest.mark.parametrize(
    ("workdir", "error", "expected"),
    [
        (None, TypeError, "workdir: expected the path of a folder; received NoneType"),
        (b"x", TypeError, "received bytes"),
        ("", ValueError, "received an empty path"),
        ("a\0b", ValueError, "the name contains a null byte"),
        ("~nobody-of-this-name/x", ValueError, "the home folder '~nobody-of-this-name' does"),
        ("\udce9", ValueError, "the name is not valid UTF-8; rename the file or folder"),
    ],
)
def test_bad_values_of_workdir_are_named(workdir, error, expected):
    for call in (runs.load, lambda own: tl_keras.finetune({"data": {"source": "digits"}}, own)):
        with pytest.raises(error, match=expected):
            call(workdir)


def test_a_data_path_that_is_not_utf8_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"data\.path: .*valid UTF-8"):
        tl_keras.finetune({"data": {"path": os.fsdecode(b"caf\xe9")}}, tmp_path / "run")


def test_a_file_of_a_run_is_not_accepted_as_its_folder(finished_run):
    with pytest.raises(ValueError, match="is a file; expected the folder of a run"):
        tl_keras.load(finished_run.workdir / "result.json")
    assert tl_keras.load(finished_run).workdir == finished_run.workdir
