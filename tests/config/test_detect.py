"""The modality is detected from the columns of a table or the suffixes of files, cheaply."""

import json
import os
import subprocess
import sys

import pytest

from tl_keras.config import detect, text
from tl_keras.config.whole import RunConfig
from tl_keras.modalities import MODALITIES
from tl_keras.run import marks

BACKBONE = {"backbone": "any.keras"}


def files(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def many(folder, suffix, count):
    return [f"{folder}/{folder}{i}{suffix}" for i in range(count)]


def of_folder(root, **data):
    return detect.modality_of({"path": str(root), **data})


def of_table(root, content, name="data.csv", **data):
    file = root / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    source = "csv" if name.endswith(".csv") else "jsonl"
    return detect.modality_of({"source": source, "path": str(file), **data})


@pytest.mark.parametrize(
    ("header", "modality"),
    [
        ("text,label", "text"),
        ("ID, Text ,label", "text"),
        ("\ufefftext,label", "text"),
        ("text;label", "text"),
        ("text\tlabel", "text"),
        ("path,label", "auto"),
        ("review,label", "auto"),
        ("", "auto"),
        ("path,text,label\na.jpg,a caption,x", "image"),
        ("path,text,label\na.txt,a text,x", "text"),
        ("path,label\na.txt,x\nb.TXT,x\nlogo.png,x", "text"),
        ("text,path,label\na text,,x", "text"),
        ("path,label\na.dat,x", "auto"),
    ],
)
def test_columns_of_a_csv(tmp_path, header, modality):
    assert of_table(tmp_path, f"{header}\n") == modality


@pytest.mark.parametrize(
    ("content", "modality"),
    [
        ('{"label": "x", "Text": "a"}\n', "text"),
        ('bad\n\n{"text": "a"}\n', "text"),
        ('{"path": "1.png", "text": "a caption"}\n', "image"),
        ('{"path": "1.txt"}\n', "text"),
        ('{"Path": "1.txt", "note": "a"}\n', "text"),
        ('{"review": "a"}\n[1]\n"text"\n', "auto"),
        (b"\xff\xfe\n", "auto"),
        ("[" * 50_000, "auto"),
    ],
    ids=str,
)
def test_keys_of_json_lines(tmp_path, content, modality):
    assert of_table(tmp_path, content, "data.jsonl") == modality


def test_only_the_beginning_of_a_table_is_read(tmp_path, monkeypatch):
    tables = [(f"{'x' * 200},text\n", "data.csv"), ("x" * 200 + '\n{"text": "a"}\n', "data.jsonl")]
    for content, name in tables:
        assert of_table(tmp_path, content, name) == "text"
    monkeypatch.setattr(detect, "START", 100)
    for content, name in tables:
        assert of_table(tmp_path, content, name) == "auto"


def test_a_column_of_texts_that_the_config_names(tmp_path):
    assert of_table(tmp_path, "review,label\na,b\n", text_column="review") == "text"


def test_the_given_modality_wins(tmp_path):
    assert of_table(tmp_path, "text,label\na,b\n", modality="image") == "image"
    assert of_folder(files(tmp_path, *many("a", ".txt", 9), *many("b", ".png", 9)), modality="text")


@pytest.mark.parametrize("content", [b"\xff\xfet", b'text\0,"', b""])
def test_unreadable_tables_are_left_to_the_reader(tmp_path, content):
    assert of_table(tmp_path, content) == "auto"
    assert detect.modality_of({"source": "csv", "path": str(tmp_path / "none.csv")}) == "auto"


def test_suffixes_of_files(tmp_path):
    assert of_folder(tmp_path) == "auto"
    assert of_folder(files(tmp_path / "a", "x/1.txt", "x/2.TXT", "y/z/1.txt")) == "text"
    assert of_folder(files(tmp_path / "b", "x/1.jpg", "x/2.png", "y/z/1.tif")) == "image"
    assert of_folder(files(tmp_path / "c", "x/1.dat", "x/2.csv")) == "auto"
    assert of_folder(tmp_path / "none") == of_folder(tmp_path / "a\0b") == "auto"


def test_few_files_of_another_kind_do_not_decide(tmp_path):
    images = many("x", ".png", 90)
    assert of_folder(files(tmp_path / "a", *images, *many("y", ".txt", 9))) == "image"
    texts = many("x", ".txt", 90)
    assert of_folder(files(tmp_path / "b", *texts, *many("y", ".png", 9))) == "text"
    assert of_folder(files(tmp_path / "c", "x/1.png", "classes.txt", "readme.txt")) == "text"


def test_captions_are_notes_on_images(tmp_path):
    beside = [f"x/{i}{suffix}" for i in range(20) for suffix in (".png", ".txt")]
    assert of_folder(files(tmp_path / "a", *beside)) == "image"
    elsewhere = [f"{name}/{i}{suffix}" for i in range(20) for name, suffix in
                 (("images/x", ".jpg"), ("labels/x", ".txt"))]  # fmt: skip
    assert of_folder(files(tmp_path / "b", *elsewhere)) == "image"
    # More files than are looked at in a folder.
    beside = [f"x/{i}{suffix}" for i in range(150) for suffix in (".png", ".txt")]
    assert of_folder(files(tmp_path / "c", *beside)) == "image"


def test_both_kinds_in_earnest_are_refused(tmp_path):
    root = files(tmp_path, *many("a", ".txt", 30), *many("b", ".png", 20))
    message = (
        r"data.modality: '.*' has 30 texts and 20 pictures among its first 50 files, so the "
        "modality is ambiguous; .* set data.modality to 'text' or 'image'"
    )
    with pytest.raises(ValueError, match=message):
        of_folder(root)
    with pytest.raises(ValueError, match="data.modality: .* has 30 texts"):
        text.from_tree({"data": {"path": str(root)}})


def test_hidden_files_and_runs_are_left_out(tmp_path):
    files(tmp_path, *many("a", ".txt", 6), *many(".hidden", ".png", 9), *many("run", ".png", 9))
    (tmp_path / "run" / marks.MARK).write_text("run")
    assert of_folder(tmp_path) == "text"


def test_a_large_folder_is_not_walked(tmp_path, monkeypatch):
    files(tmp_path, *many("a", ".txt", 300), *many("b", ".txt", 300), *many("c", ".png", 3))
    seen = []
    monkeypatch.setattr(detect, "_counted", lambda names: seen.extend(names) or detect.Counter())
    of_folder(tmp_path)
    assert len(seen) == 2 * detect.PER_FOLDER + 3
    monkeypatch.setattr(detect, "LOOKED_AT", 150)
    seen.clear()
    of_folder(tmp_path)
    assert len(seen) == 150


@pytest.mark.skipif(os.name == "nt", reason="Windows limits the length of paths")
def test_deep_folders_and_links(tmp_path):
    place = tmp_path
    for _ in range(300):
        place = place / "deep"
    os.makedirs(place)
    (place / "1.txt").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path)
    assert of_folder(tmp_path) == "text"


def test_the_config_has_the_detected_modality_and_its_defaults(tmp_path):
    file = tmp_path / "data.jsonl"
    file.write_text(json.dumps({"text": "a"}) + "\n")
    data = {"source": "jsonl", "path": str(file)}
    config = RunConfig(data=data, model=BACKBONE)
    assert config.data.modality == config.modality == "text"
    assert text.to_tree(config)["data"]["modality"] == "text"
    assert set(MODALITIES) & set(text.to_tree(config)) == {"text"}
    file.unlink()  # The config of a finished run does not depend on its data.
    assert text.from_tree(text.to_tree(config)) == config
    images = RunConfig(data={"path": str(files(tmp_path / "a", "x/1.png"))})
    assert (images.data.modality, images.modality) == ("auto", "image")


def test_detection_imports_nothing_slow(tmp_path):
    file = tmp_path / "data.csv"
    file.write_text("text,label\n")
    code = (
        "import sys; from tl_keras.config.whole import RunConfig;"
        f"RunConfig(data=dict(source='csv', path={str(file)!r}), model={BACKBONE});"
        "sys.exit(bool({'tensorflow', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("reviews.csv", b"review,sentiment\ngood,x\n"),
        ("latin.csv", b"text,label\ncaf\xe9,x\n"),
        ("empty.csv", b""),
        ("list.jsonl", b'[{"text": "a"}]\n'),
        ("folder/x/1.md", b"a"),
    ],
)
def test_the_backbone_decides_if_the_data_do_not_show_the_modality(tmp_path, name, content):
    (tmp_path / "folder" / "x").mkdir(parents=True)
    (tmp_path / name).write_bytes(content)
    data = {"path": str(tmp_path / name.partition("/")[0])}
    tree = {"data": data, "model": {"backbone": "StaticEmbedding"}}
    assert text.from_tree(tree).modality == "text"
    assert text.from_tree({"data": data}).modality == ("text" if name == "latin.csv" else "image")


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("a.csv", "csv"),
        ("a.TSV", "csv"),
        ("a.ndjson", "jsonl"),
        ("a", "folder"),
        ("b.csv", "folder"),
    ],
)
def test_the_suffix_of_the_path_decides_on_the_source(tmp_path, name, source):
    (tmp_path / "b.csv").mkdir()
    assert text.from_tree({"data": {"path": str(tmp_path / name)}}).data.source == source
    kept = text.from_tree({"data": {"source": "folder", "path": str(tmp_path / name)}})
    assert kept.data.source == "folder"


def test_missing_data_of_a_text_backbone_are_texts(tmp_path):
    tree = {"data": {"path": str(tmp_path / "none")}, "model": {"backbone": "StaticEmbedding"}}
    assert text.from_tree(tree).modality == "text"
    tree["model"] = {"backbone": "MobileNet"}
    assert text.from_tree(tree).modality == "image"
