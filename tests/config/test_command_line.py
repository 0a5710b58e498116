"""A command line that is shown to the user sets the data of a run again."""

import shlex

import pytest

from tl_keras.config import text
from tl_keras.config.command_line import command_line
from tl_keras.config.data import source_of

MODEL = {"backbone": "any.keras"}


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("photos", "folder"),
        ("reviews.csv", "csv"),
        ("reviews.TSV", "csv"),
        ("reviews.jsonl", "jsonl"),
        ("reviews.ndjson", "jsonl"),
        ("photos.v2", "folder"),
    ],
)
def test_data_decides_the_source_by_its_suffix(tmp_path, name, source):
    path = str(tmp_path / name)
    assert source_of(path) == source
    tree = text.to_tree(text.from_tree({"data": {"source": source, "path": path}, "model": MODEL}))
    words = shlex.split(command_line("audit", tree))
    assert words[:3] == ["tl-keras", "audit", f"--data={path}"]
    assert not any(word.startswith(("data.path", "data.source")) for word in words)


def test_another_suffix_is_named_with_its_source(tmp_path):
    path = str(tmp_path / "list.txt")
    data = {"source": "csv", "path": path, "label_column": "kind", "text_column": "2"}
    tree = text.to_tree(text.from_tree({"data": {**data, "modality": "text"}, "model": MODEL}))
    line = command_line("audit", tree)
    words = shlex.split(line)
    assert "--data" not in line and 'data.source="csv"' in words and f"data.path={path}" in words
    overrides = [word for before, word in zip(words, words[1:], strict=False) if before == "--set"]
    assert text.load(None, overrides).data == text.from_tree(tree).data


def test_the_current_folder_has_no_effect(tmp_path, monkeypatch):
    tree = text.to_tree(text.from_tree({"data": {"path": str(tmp_path / "photos")}}))
    assert "--set" not in command_line("audit", tree)
    for suffix in (".txt", ".png"):
        for i in range(9):
            (tmp_path / f"{suffix[1:]}{i}{suffix}").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    assert "--set" not in command_line("audit", tree)


def test_what_is_detected_or_a_default_of_the_modality_is_left_out(tmp_path):
    (tmp_path / "data.csv").write_text("text,label\n")
    data = {"source": "csv", "path": str(tmp_path / "data.csv")}
    tree = text.to_tree(text.from_tree({"data": data}))
    assert "--set" not in command_line("audit", tree)
    (tmp_path / "data.csv").unlink()
    assert command_line("audit", tree).endswith("--set 'data.modality=\"text\"'")


def test_built_in_texts_need_neither_a_path_nor_a_modality():
    tree = text.to_tree(text.from_tree({"data": {"source": "intents"}}))
    assert command_line("audit", tree) == "tl-keras audit --set data.source=intents"
