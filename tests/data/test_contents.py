"""The content of an example is read by its name: a file in a folder, or a cell in a table."""

import json
import os

import pytest

from tl_keras.data import contents
from tl_keras.data.table_files import table

TEXTS = ["plain", "", 'comma, "quote"', "two\nlines", "Käfer 熊 🐻", " spaces ", "end"]


def as_csv(path, texts=TEXTS, column="text"):
    rows = "".join('"{}",a\r\n'.format(text.replace('"', '""')) for text in texts)
    path.write_bytes(f"{column},label\r\n{rows}".encode())
    return path


def test_files_of_a_folder(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.txt").write_bytes(b"\xff one")
    (tmp_path / "data.csv").write_bytes(b"text\nno cell\n")
    read = contents.reader(tmp_path)
    assert read("a/1.txt") == b"\xff one"
    assert read("data.csv") == b"text\nno cell\n" == contents.read(tmp_path / "data.csv")
    with pytest.raises(FileNotFoundError):
        read("a/2.txt")


def test_rows_of_a_csv_count_as_in_a_spreadsheet(tmp_path):
    read = contents.reader(as_csv(tmp_path / "data.csv"))
    assert [read(f"row {i}").decode() for i in range(2, 9)] == TEXTS
    for name in ("row 1", "row 9", "line 2", "row two", "2", "row -2", "row ²"):
        with pytest.raises(FileNotFoundError, match="no such row"):
            read(name)


def test_empty_rows_count_too(tmp_path):
    (tmp_path / "data.csv").write_bytes(b"text\n\na\n\n\nb\n")
    read = contents.reader(tmp_path / "data.csv")
    assert (read("row 3"), read("row 6")) == (b"a", b"b")


def test_lines_of_json(tmp_path):
    lines = [json.dumps({"text": text}) for text in TEXTS]
    lines.insert(2, "")
    (tmp_path / "data.jsonl").write_text("\n".join(lines), encoding="utf-8-sig")
    read = contents.reader(tmp_path / "data.jsonl")
    assert [read(f"line {i}").decode() for i in (1, 2, 4, 5, 6, 7, 8)] == TEXTS
    with pytest.raises(FileNotFoundError):
        read("line 3")


@pytest.mark.parametrize("column", ["comment", "a/b", "a//b", "/a", "Ü"])
def test_cells_of_another_column(tmp_path, column):
    file = as_csv(tmp_path / "data.CSV", column=column)
    root = contents.root_of(file, column.lower())
    assert contents.reader(root)("row 2") == b"plain" == contents.read(root / "row 2")
    with pytest.raises(FileNotFoundError):
        contents.reader(file)("row 2")


def test_a_folder_may_have_the_name_of_a_table(tmp_path):
    (tmp_path / "x.csv").mkdir()
    (tmp_path / "x.csv" / "1.txt").write_bytes(b"one")
    file = as_csv(tmp_path / "x.csv" / "y.csv")
    assert contents.read(tmp_path / "x.csv" / "1.txt") == b"one"
    assert contents.read(file / "row 2") == b"plain"


def test_a_table_is_read_once_until_it_changes(tmp_path, monkeypatch):
    file, calls = as_csv(tmp_path / "data.csv"), []
    original = table.READERS[".csv"]
    monkeypatch.setitem(table.READERS, ".csv", lambda path: calls.append(path) or original(path))
    read = contents.reader(file)
    assert [read("row 2"), contents.reader(file)("row 2")] == [b"plain"] * 2
    assert len(calls) == 1
    as_csv(file, ["other"])
    os.utime(file, (1e9, 1e9))
    assert read("row 2") == b"other"


def test_a_table_that_is_damaged_or_gone_is_an_error_of_the_system(tmp_path):
    file = as_csv(tmp_path / "data.csv")
    read = contents.reader(file)
    file.write_bytes(b'text\n"open')
    with pytest.raises(OSError, match="without a closing one"):
        read("row 2")
    file.unlink()
    with pytest.raises(FileNotFoundError):
        read("row 2")
