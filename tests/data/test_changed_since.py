"""A finished run is not returned for data that have changed since."""

import os
import shutil

import pytest
from shapes import draw

import tl_keras
from tl_keras import cli
from tl_keras.config.whole import RunConfig
from tl_keras.data import changed_since
from tl_keras.data.sources import folders


@pytest.fixture(scope="module")
def trained(quick, tmp_path_factory):
    """A finished run and its data. Tests leave both as they found them."""
    root = draw(tmp_path_factory.mktemp("changing") / "pictures", 12)
    shutil.copyfile(root / "disc" / "0.png", root / "disc" / "copy.png")
    (root / "disc" / "notes.txt").write_text("no image")
    tree = {
        **quick,
        "data": {**quick["data"], "path": str(root), "examples_per_class": 6},
        "fit": {"epochs": 0},
        "export": {"formats": ["float32"]},
    }
    return tl_keras.finetune(tree, root.parent / "run"), tree, root


def change(what, root):
    file = root / "disc" / "3.png"
    if what == "a class more":
        shutil.copytree(root / "disc", root / "wasps")
    elif what == "a file more":
        shutil.copyfile(file, root / "disc" / "new.png")
    elif what == "a file less":
        file.unlink()
    elif what == "a file elsewhere":
        file.rename(root / "cross" / "moved.png")
    elif what == "another size":
        file.write_bytes(file.read_bytes() + b"x")
    elif what == "another content":
        content = bytearray(file.read_bytes())
        content[60] ^= 1
        file.write_bytes(content)
        os.utime(file, (1e9, 1e9))  # Like a copy that keeps the modification time; st_ctime is new.


@pytest.fixture
def restored(trained):
    """Restores the data after each test."""
    _, _, root = trained
    kept = root.with_name("kept")
    shutil.copytree(root, kept)
    yield
    shutil.rmtree(root)
    kept.rename(root)


CHANGES = {
    "a class more": "14 files added: 'wasps/0.png', 'wasps/1.png', 'wasps/10.png' and 11 more",
    "a file more": "1 file added: 'disc/new.png'",
    "a file less": "1 file removed: 'disc/3.png'",
    "a file elsewhere": "1 file added: 'cross/moved.png'; 1 file removed: 'disc/3.png'",
    "another size": "changed content of 'disc/3.png'",
    "another content": "changed content of 'disc/3.png'",
}


@pytest.mark.parametrize("what", CHANGES)
def test_changed_data_are_named(what, trained, restored, capsys):
    run, tree, root = trained
    change(what, root)
    with pytest.raises(ValueError, match="was finished with other data") as caught:
        tl_keras.finetune(tree, run.workdir)
    assert f"({CHANGES[what]})" in str(caught.value)
    assert cli.main(["report", str(run.workdir)]) == 0


def test_unchanged_data_return_at_once(trained):
    run, tree, root = trained
    for file in root.glob("*/*.png"):  # As after copying to another disk.
        os.utime(file, (2e9, 2e9))
    (root / "disc" / ".DS_Store").touch()
    assert tl_keras.finetune(tree, run.workdir).result == run.result


def test_a_run_is_returned_after_its_data_are_removed(trained):
    run, tree, root = trained
    root.rename(root.with_name("away"))
    try:
        assert tl_keras.finetune(tree, run.workdir).result == run.result
    finally:
        root.with_name("away").rename(root)


def test_changed_labels_of_a_csv_are_noticed(quick, pictures, tmp_path):
    for name in ("cross", "disc"):
        shutil.copytree(pictures / name, tmp_path / name)
    files = sorted(tmp_path.glob("*/*.png"))
    rows = [f"{file.relative_to(tmp_path)},{file.parent.name}" for file in files]
    file = tmp_path / "data.csv"
    file.write_text("\n".join(["path,label", *rows]))
    data = {**quick["data"], "source": "csv", "path": str(file)}
    tree = {**quick, "data": data, "fit": {"epochs": 0}, "export": {"formats": ["float32"]}}
    tl_keras.finetune(tree, tmp_path / "run")
    file.write_text("\n".join(["path,label", *rows[:-1], rows[-1].replace(",disc", ",cross")]))
    with pytest.raises(ValueError, match="changed labels, splits or groups"):
        tl_keras.finetune(tree, tmp_path / "run")


def test_changed_unlabelled_files_are_noticed(tmp_path):
    (tmp_path / "others" / "deep").mkdir(parents=True)
    (tmp_path / "others" / "deep" / "1.png").write_bytes(b"x")
    config = RunConfig(data={"source": "digits", "unlabelled": str(tmp_path / "others")})
    stamps = {"unlabelled": changed_since.stamp(folders.list_unlabelled(tmp_path / "others"))}
    assert changed_since.since(config, {"listed": stamps}) is None
    (tmp_path / "others" / "2.png").write_bytes(b"x")
    assert changed_since.since(config, {"listed": stamps}).startswith(
        "the files of data.unlabelled"
    )
    shutil.rmtree(tmp_path / "others")
    assert changed_since.since(config, {"listed": stamps}) is None
    assert changed_since.since(config, {}) is None  # For a run that did not record it.
