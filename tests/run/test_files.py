import csv
import io
import json
import os
import stat

import pytest

from tl_keras.run import files


@pytest.fixture(params=[0o022, 0o077, 0o002], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_replaces_when_the_body_ends(tmp_path):
    path = tmp_path / "new" / "a.json"
    with files.replacing(path) as temporary:
        temporary.write_text("first")
        assert not path.exists()
    with files.replacing(path) as temporary:
        temporary.write_text("second")
        assert path.read_text() == "first"
    assert path.read_text() == "second"
    assert names(path.parent) == ["a.json"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_leaves_the_old_file_when_the_body_raises(tmp_path, error):
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(error), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.json"]


def test_leaves_nothing_when_the_body_raises_the_first_time(tmp_path):
    with pytest.raises(ValueError), files.replacing(tmp_path / "a.json"):
        raise ValueError
    assert names(tmp_path) == []


def test_body_may_remove_the_temporary_file_itself(tmp_path):
    with pytest.raises(OSError, match="disk full"), files.replacing(tmp_path / "a") as temporary:
        temporary.unlink()
        raise OSError("disk full")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_permissions_follow_the_umask(tmp_path, umask):
    files.write_text(tmp_path / "a.txt", "a")
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o666 & ~umask


def test_temporary_name_ends_as_the_path_does_and_is_hidden(tmp_path):
    # Keras chooses the format by the suffix, and listings ignore hidden files.
    with files.replacing(tmp_path / "model.weights.h5") as temporary:
        assert temporary.name.endswith(".model.weights.h5")
        assert temporary.name.startswith(files.TEMPORARY)
        temporary.write_text("")


def test_removes_only_unfinished_files(tmp_path):
    (tmp_path / f"{files.TEMPORARY}1.a.npy").write_text("")
    (tmp_path / f"{files.TEMPORARY}2.b.npy").write_text("")
    (tmp_path / f"{files.TEMPORARY}folder").mkdir()
    (tmp_path / f"{files.TEMPORARY}folder" / "file").write_text("")
    (tmp_path / "a.npy").write_text("")
    files.remove_unfinished(tmp_path, "a.npy")
    assert names(tmp_path) == [".tmp-2.b.npy", ".tmp-folder", "a.npy"]
    files.remove_unfinished(tmp_path)
    assert names(tmp_path) == ["a.npy"]


def test_json_is_utf8_with_plain_line_ends_and_no_nan(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, {"class": "Bär"})
    assert "Bär" in path.read_bytes().decode("utf-8")
    assert b"\r" not in path.read_bytes()
    assert json.loads(path.read_text(encoding="utf-8")) == {"class": "Bär"}
    with pytest.raises(ValueError):
        files.write_json(path, {"loss": float("nan")})
    assert json.loads(path.read_text(encoding="utf-8")) == {"class": "Bär"}


def test_csv_cells_may_hold_any_name(tmp_path):
    rows = [["file", "label"], ["a\rb", "c"], ["d\ne", 'f"g'], ["h,i", "plain"]]
    files.write_csv(tmp_path / "rows.csv", rows)
    text = (tmp_path / "rows.csv").read_bytes().decode()
    assert list(csv.reader(io.StringIO(text, newline=""))) == rows
    assert text.startswith("file,label\n") and text.endswith('"h,i",plain\n')


def test_missing_temporary_folder_names_the_variable(monkeypatch):
    def fail():
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(files.tempfile, "gettempdir", fail)
    with pytest.raises(
        ValueError, match="TMPDIR: no writable folder for temporary files was found"
    ):
        files.check_folders()
