"""Claims on tl_keras/run/marks.py: files of others are neither replaced nor removed."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from runs import make_run

import tl_keras
from tl_keras import cli
from tl_keras.config import text as configs
from tl_keras.config.cache import CacheConfig
from tl_keras.data import store
from tl_keras.report.pages import page
from tl_keras.run import folder as runs
from tl_keras.run import marks
from tl_keras.run.files import TEMPORARY

TREE = {"data": {"source": "digits"}}
CONFIG = configs.from_tree(TREE)
# Files of a user under every name that a run uses, and in folders that a run empties.
THEIRS = (
    *("config.yaml", "data.json", "findings.json", "result.json", "metrics.jsonl", "report.html"),
    *("MODEL_CARD.md", "model.keras", "predictions.csv", "pictures/me.png", "tensorboard/log"),
    *("checkpoint/record.json", "search/trial_000/model.keras", "export/model.tflite", ".lock"),
    *("fold_0/config.yaml", "teacher/notes", "round_0/labels.csv", f"{TEMPORARY}x.thesis.tex"),
)


def content(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def theirs(tmp_path):
    """A folder of another project that has every file name of a run."""
    for name in THEIRS:
        (tmp_path / "theirs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "theirs" / name).write_text("mine" if "json" not in name else '{"mine": 1}')
    (tmp_path / "theirs" / "config.yaml").write_text(configs.to_yaml(CONFIG))
    return tmp_path / "theirs"


@pytest.mark.parametrize("command", ["finetune", "search", "compare", "parallel", "pretrain"])
def test_a_folder_with_all_names_of_a_run_is_not_a_run(theirs, command):
    before = content(theirs)
    with pytest.raises(ValueError, match=r"theirs' is not a run folder of tl_keras and is not"):
        getattr(tl_keras, command)(TREE, theirs)
    with pytest.raises(ValueError, match="not a run folder"), runs.opened(CONFIG, theirs, command):
        pass
    assert content(theirs) == before


def test_no_report_is_written_into_a_folder_of_others(theirs):
    (theirs / "findings.json").write_text("{}")
    (theirs / "metrics.jsonl").write_text("")
    for name in ("data.json", "result.json", "predictions.csv"):
        (theirs / name).unlink()
    before = content(theirs)
    with pytest.raises(ValueError, match="not a run folder"):
        page.write(theirs)
    assert content(theirs) == before


def test_the_message_says_how_to_adopt_a_run_of_an_earlier_version(tmp_path):
    with runs.opened(CONFIG, tmp_path / "a run", "finetune") as run:
        (run.checkpoint / "finetune.npy").touch()
    (run.workdir / marks.MARK).unlink()
    with pytest.raises(ValueError, match="an earlier version") as caught:
        tl_keras.finetune(TREE, run.workdir)
    _, _, command = str(caught.value).partition("with this command: ")
    subprocess.run(command, shell=True, check=True)
    with runs.opened(CONFIG, run.workdir, "finetune") as again:
        assert (again.checkpoint / "finetune.npy").exists()


def test_the_message_says_what_to_do_if_the_folder_may_not_be_new(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match="removed; name the folder of a run of tl_keras$"):
        marks.check(tmp_path, "run", "--workdir", may_be_new=False)


def test_the_mark_is_written_before_all_other_files(tmp_path, monkeypatch):
    write = marks.write_text

    def first(path, text):
        assert not path.parent.exists()
        write(path, text)

    monkeypatch.setattr(marks, "write_text", first)
    with runs.opened(CONFIG, tmp_path / "run", "finetune") as run:
        assert marks.is_ours(run.workdir, "run")


def test_leftovers_of_a_killed_claim_do_not_block_a_new_run(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / f"{TEMPORARY}0123.{marks.MARK}").write_text("ru")
    with runs.opened(CONFIG, tmp_path / "run", "finetune"):
        pass


def test_a_cache_is_not_a_run_and_a_run_not_a_cache(tmp_path):
    marks.claim(tmp_path / "cache", "cache", "x")
    with pytest.raises(ValueError, match="not a run folder"):
        marks.claim(tmp_path / "cache", "run", "x")
    assert marks.is_ours(tmp_path / "cache")
    assert not marks.is_ours(tmp_path / "none")
    (tmp_path / "folder" / marks.MARK).mkdir(parents=True)  # For example settings of the user.
    assert not marks.is_ours(tmp_path / "folder")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / marks.MARK).write_text("how I use tl_keras")
    assert not marks.is_ours(tmp_path / "notes")


def test_two_processes_that_mark_one_folder_do_not_fail(tmp_path, monkeypatch):
    write = marks.write_text

    def late(path, text):
        write(path, text)
        raise FileNotFoundError(2, "No such file", str(path))

    monkeypatch.setattr(marks, "write_text", late)
    marks.put(tmp_path / "run", "run")
    monkeypatch.setattr(marks, "write_text", lambda path, text: late(path.with_name("x"), text))
    with pytest.raises(FileNotFoundError):
        marks.put(tmp_path / "other", "run")


@pytest.fixture
def project(tmp_path):
    """A folder of another project that has the file names of a cache."""
    (tmp_path / "project" / "arrays").mkdir(parents=True)
    np.save(tmp_path / "project" / "arrays" / "my_embeddings.npy", np.zeros(10))
    np.save(tmp_path / "project" / "arrays" / f"{40 * 'a'}.npy", np.zeros(10))
    (tmp_path / "project" / "audit").mkdir()
    (tmp_path / "project" / "audit" / "2024.json").write_text("mine")
    return tmp_path / "project"


def test_cleaning_removes_no_array_of_others(project, capsys):
    before = content(project)
    assert cli.main(["cache", f"--cache_path={project}", "--max_bytes=0"]) == 2
    assert "is not a cache folder of tl_keras" in capsys.readouterr().err
    assert content(project) == before


@pytest.mark.parametrize("room", [store.ARRAYS, store.AUDIT])
def test_nothing_is_written_into_such_a_cache(project, room):
    before = content(project)
    with pytest.raises(ValueError, match=r"cache\.path: .*is not a cache folder of tl_keras"):
        store.subfolder(CacheConfig(path=str(project)), room)
    assert content(project) == before


def test_the_cache_may_share_a_folder_with_other_files(project):
    shutil.rmtree(project / "arrays")
    config = CacheConfig(path=str(project))
    store.keep(config, {"kind": "x"}, (3,), np.uint8, lambda array: array.fill(1))
    assert len(store.entries(config)) == 1
    assert (project / "audit" / "2024.json").read_text() == "mine"


def test_only_files_of_the_cache_are_counted_and_removed(tmp_path):
    config = CacheConfig(path=str(tmp_path))
    store.keep(config, {"kind": "x"}, (3,), np.uint8, lambda array: array.fill(1))
    mine = tmp_path / "arrays" / "my_embeddings.npy"
    np.save(mine, np.zeros(10))
    unfinished = tmp_path / "arrays" / f"{TEMPORARY}1.my_thesis.npy"
    unfinished.touch()
    assert [entry.kind for entry in store.entries(config)] == ["x"]
    assert len(store.make_room(config.model_copy(update={"max_bytes": 0}), 0)) == 1
    assert mine.exists() and unfinished.exists()


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_output_replaces_no_picture(command, finished_run, tmp_path, pictures, capsys):
    # The user forgot the value of `--output`, so the first picture becomes the value.
    picture = tmp_path / "1.png"
    shutil.copyfile(next(pictures.glob("*/*.png")), picture)
    before = picture.read_bytes()
    line = [command, f"--workdir={finished_run.workdir}", "--output", str(picture)]
    assert cli.main([*line, *([str(pictures)] if command == "predict" else [])]) == 2
    assert "is not a text file, so it is not replaced" in capsys.readouterr().err
    assert picture.read_bytes() == before


def test_a_page_that_others_wrote_is_not_replaced(finished_run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "comparison.html").write_text("mine")
    line = ["report", str(finished_run.workdir), str(finished_run.workdir)]
    assert cli.main(line) == 2
    assert "was not written by tl_keras" in capsys.readouterr().err
    (tmp_path / "comparison.html").unlink()
    assert cli.main(line) == cli.main(line) == 0


@pytest.mark.skipif(os.name == "nt", reason="pipes and links as POSIX has them")
def test_output_goes_through_links_and_into_pipes(finished_run, tmp_path, pictures):
    picture = str(next(pictures.glob("*/*.png")))
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "mine.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to(tmp_path / "mine.csv")
    line = ["predict", f"--workdir={finished_run.workdir}", picture]
    with subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE) as reader:
        assert cli.main([*line, f"--output={tmp_path / 'pipe'}"]) == 0
        assert reader.communicate()[0].startswith(b"file,prediction")
    assert cli.main([*line, f"--output={tmp_path / 'link.csv'}"]) == 0
    assert cli.main([*line, f"--output={os.devnull}"]) == 0
    assert (tmp_path / "link.csv").is_symlink() and (tmp_path / "pipe").is_fifo()
    assert (tmp_path / "mine.csv").read_text().startswith("file,prediction")
    assert not Path(os.devnull).is_file()


def test_output_replaces_nothing_of_a_run(finished_run, pictures, capsys):
    file = finished_run.workdir / "config.yaml"
    before = file.read_text()
    picture = str(next(pictures.glob("*/*.png")))
    assert (
        cli.main(["predict", f"--workdir={finished_run.workdir}", f"--output={file}", picture]) == 2
    )
    assert "is a file of a run folder; choose another file" in capsys.readouterr().err
    assert file.read_text() == before


def test_scores_may_lie_in_a_run_and_be_written_again(tmp_path):
    folder = make_run(tmp_path / "run")
    line = ["evaluate", f"--workdir={folder}", f"--output={folder / 'scores.json'}"]
    assert cli.main(line) == cli.main(line) == 0


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
@pytest.mark.parametrize("name", ["checkpoint", "export", "pictures", "tensorboard", "search"])
def test_links_from_a_run_to_folders_of_others_are_refused(name, tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "record.json").write_text('{"mine": 1}')
    (theirs / f"{TEMPORARY}x").write_text("mine")
    marks.put(tmp_path / "run", "run")
    (tmp_path / "run" / "config.yaml").write_text(configs.to_yaml(CONFIG))
    (tmp_path / "run" / name).symlink_to(theirs)
    before = content(theirs)
    with pytest.raises(ValueError, match=f"{name}' is a link, and the run would replace") as caught:
        tl_keras.finetune(TREE, tmp_path / "run")
    assert content(theirs) == before
    subprocess.run(
        str(caught.value).partition("run folder with this command: ")[2], shell=True, check=True
    )
    with runs.opened(CONFIG, tmp_path / "run", "finetune"):
        pass
