"""Tests of the report's page: safe with hostile names, self-contained, complete, robust."""

import base64
import csv
import importlib.resources
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from handmade import (
    HAN,
    MATH,
    NAMES,
    SCRIPT,
    Outline,
    change,
    findings,
    report,
    result,
    rewrite,
    scores,
    write_pictures,
)
from PIL import Image

from tl_keras.modalities.image import show as pictures
from tl_keras.modalities.image.drawn import digits
from tl_keras.report.drawings import words
from tl_keras.report.facts import figures
from tl_keras.report.pages import page
from tl_keras.report.read import read
from tl_keras.run import marks
from tl_keras.run.result.whole import to_json


def fill(workdir: Path) -> Path:
    """Adds the files that only some run folders have; returns the folder."""
    write_pictures(workdir)
    (workdir / "findings.json").write_text(json.dumps(findings()))
    return workdir


def test_hostile_names_are_text(workdir):
    text = report(fill(workdir))
    outline = Outline(text)
    assert not {"script", "i", "u"} & set(outline.tags)
    assert SCRIPT not in text and "<b>.png" not in text
    for name in NAMES:
        assert any(name in piece for piece in outline.text)
    assert any("0 bytes <i>" in piece for piece in outline.text)
    assert not [a for a in outline.attributes if a[1].startswith("on")]


def test_nothing_is_fetched(workdir):
    text = report(fill(workdir))
    assert "http:" not in text and "https:" not in text and "@import" not in text
    fetched = {"src", "href", "xlink:href", "srcset", "action", "data", "poster"}
    targets = [value for _, name, value in Outline(text).attributes if name in fetched]
    assert targets and all(value.startswith(("data:image/jpeg;base64,", "#")) for value in targets)
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in text


def test_page_is_accessible(workdir):
    text = report(fill(workdir))
    outline = Outline(text)
    assert ("html", "lang", "en") in outline.attributes
    levels = [int(tag[1]) for tag in outline.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))
    attributes = outline.attributes
    alts = [value for tag, name, value in attributes if (tag, name) == ("img", "alt")]
    assert outline.tags.count("img") == len(alts) == 6 and all(alts)
    ids = [value for _, name, value in attributes if name == "id"]
    assert len(ids) == len(set(ids))
    for target in re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', text):
        assert "".join(target) in ids
    labels = [value for tag, name, value in attributes if (tag, name) == ("svg", "aria-label")]
    assert len(labels) == outline.tags.count("svg") == 4
    assert any(label.startswith("Loss over 3 epochs: validation from 0.6 to") for label in labels)


def test_every_number_is_shown(workdir):
    text = Outline(report(workdir)).words
    numbers = "94.1% 91.3% 90.5% 0.218 3.9% 93.4% 100.0% 92.8% 98.4% 0.0123 3.14 4.56 8.9 2,260,546"
    for number in [*numbers.split(), "77.7%", "66.6%", "55.5%", "89.9 to 97.4", "12.5 s"]:
        assert number in text, number
    for word in ["n = 153", "n = 77", "306 training", "2 threads", "block_12", "3.15.0"]:
        assert word in text, word
    for word in ["12 pictures are <u>", "9f2c1e7a", "path: 'a & b'", "2 CPU cores"]:
        assert word in text, word


def test_verdict_and_advice_come_before_the_scores(workdir):
    text = report(workdir)
    titles = re.findall("<h2>([^<]*)</h2>", text)
    assert titles[:3] == ["Good enough?", "What to do", "Scores"]
    assert text.index("<nav") < text.index("<h2>Scores")


def test_thumbnails_only_of_readable_pictures_under_the_root(workdir):
    text = report(workdir)
    assert text.count("<img ") == 1
    assert 'alt="sub/&lt;b&gt;.png"' in text
    assert "outside.png" in text and "broken.png" in text


def thumbnail(workdir, name: str, image: Image.Image, **options) -> np.ndarray:
    """Returns the report's thumbnail of an image file, `(height, width, 3) uint8`."""
    image.save(workdir.parent / "data" / name, **options)
    (picture,) = pictures.thumbnails(read(workdir), [name])
    return np.asarray(Image.open(io.BytesIO(picture.data)))


def test_thumbnails_are_decoded_as_for_the_model(workdir):
    deep = Image.fromarray(np.full((20, 30), 117 << 8, np.uint16))
    clear = Image.new("RGBA", (30, 20), (0, 0, 0, 0))
    # JPEG may change a value by up to 2.
    assert abs(thumbnail(workdir, "deep.png", deep).astype(int) - 117).max() <= 2
    assert thumbnail(workdir, "clear.png", clear).min() >= 253


def test_invalid_exif_does_not_break_the_report(workdir):
    # Orientation 6, and beside it a text of the wrong type.
    tags = b"\x02\0" + b"\x0e\x01\x05\0\x01\0\0\0\x26\0\0\0" + b"\x12\x01\x03\0\x01\0\0\0\x06\0\0\0"
    odd = b"Exif\0\0II*\0\x08\0\0\0" + tags + 4 * b"\0" + 8 * b"\xff"
    shown = thumbnail(workdir, "turned.jpg", Image.new("RGB", (40, 20)), exif=odd)
    assert shown.shape == (40, 20, 3)


def test_a_link_does_not_embed_files_from_outside_the_data(workdir):
    data = workdir.parent / "data"
    (data / "link.png").symlink_to(workdir.parent / "outside.png")
    (data / "inside.png").symlink_to(data / "sub" / "<b>.png")
    outside, inside = pictures.thumbnails(read(workdir), ["link.png", "inside.png"])
    assert outside is None and inside is not None


def test_a_picture_that_is_too_large_is_left_out(workdir, monkeypatch):
    monkeypatch.setattr(pictures, "PICTURE", 400 * 200 - 1)
    assert "<img " not in report(workdir)


def test_equal_files_give_equal_bytes_without_leftovers(workdir):
    first = page.write(fill(workdir)).read_bytes()
    card = (workdir / "MODEL_CARD.md").read_bytes()
    assert page.write(workdir).read_bytes() == first
    assert (workdir / "MODEL_CARD.md").read_bytes() == card
    assert not [path for path in workdir.iterdir() if path.name.startswith(".tmp")]


def test_failed_render_keeps_the_old_report(workdir):
    first = page.write(workdir).read_bytes()
    (workdir / "result.json").write_text("{half")
    with pytest.raises(ValueError, match="result.json is not valid JSON"):
        page.write(workdir)
    assert (workdir / "report.html").read_bytes() == first


@pytest.mark.parametrize(
    "name", ["config.yaml", "data.json", "metrics.jsonl", "predictions.csv", "result.json"]
)
def test_works_without_or_with_only_one_file(workdir, name):
    kept = (workdir / name).read_bytes()
    (workdir / name).unlink()
    Outline(report(workdir))
    for path in workdir.iterdir():
        path.unlink()
    (workdir / name).write_bytes(kept)
    Outline(report(workdir))


@pytest.mark.parametrize("key", [*result().keys(), "everything"])
def test_works_without_any_part_of_the_result(workdir, key):
    (workdir / "metrics.jsonl").unlink()  # Charts are slow and not tested here.
    record = to_json(result())
    kept = {} if key == "everything" else {name: record[name] for name in record if name != key}
    (workdir / "result.json").write_text(json.dumps(kept))
    Outline(report(workdir))
    change(workdir, "result.json", **{key: None})
    Outline(report(workdir))


def test_a_report_older_than_its_sources_is_rewritten(workdir):
    path = page.write(workdir)
    path.write_text("kept")
    page.refresh(workdir)
    assert path.read_text() == "kept"
    (workdir / "findings.json").write_text("{}")
    later = path.stat().st_mtime + 10
    os.utime(workdir / "findings.json", (later, later))
    page.refresh(workdir)
    assert "<html" in path.read_text()


def test_an_unfinished_run_is_called_so_and_has_no_card(workdir):
    (workdir / "result.json").unlink()
    text = report(workdir)
    assert "This run has not finished" in text and "Fine-tuning: 3 epochs" in text
    assert "Start the same command again" in text
    assert not (workdir / "MODEL_CARD.md").exists()


def test_epochs_of_a_killed_and_resumed_run(workdir):
    path = workdir / "metrics.jsonl"
    again = json.dumps({"stage": "finetune", "epoch": 2, "loss": 0.1})
    path.write_text(path.read_text() + again + '\n{"stage": "fine')
    epochs = figures.epochs(read(workdir))
    assert len(epochs) == 3 and epochs[-1]["loss"] == 0.1
    path.write_text('{"half\n' + path.read_text())
    with pytest.raises(ValueError, match="line 1 is not valid JSON"):
        read(workdir)


def test_a_file_name_that_is_not_utf8_does_not_break_the_report(workdir):
    change(workdir, "data.json", quarantined=[{"file": "\udcff.png", "reason": "name"}])
    assert "\\udcff.png" in report(workdir)


def test_errors_name_the_file(workdir, tmp_path):
    with pytest.raises(ValueError, match="is not a run folder: it has none of config.yaml, data"):
        page.write(tmp_path)
    with pytest.raises(ValueError, match="does not exist; pass the folder that was the --workdir"):
        page.write(tmp_path / "missing")
    with pytest.raises(ValueError, match="is a file, not a run folder"):
        page.write(workdir / "data.json")
    (workdir / "data.json").write_text("[]")
    with pytest.raises(ValueError, match="data.json must hold an object .*; received list"):
        page.write(workdir)
    (workdir / "data.json").unlink()
    (workdir / "config.yaml").write_text("data: {half")
    with pytest.raises(ValueError, match="config.yaml is not valid YAML"):
        page.write(workdir)
    (workdir / "config.yaml").unlink()
    (workdir / "predictions.csv").write_text("file,label\n")
    with pytest.raises(ValueError, match=r"lacks the columns \['split', 'prediction'"):
        page.write(workdir)


@pytest.fixture
def digits_run(tmp_path: Path) -> Path:
    marks.put(tmp_path, "run")
    (tmp_path / "config.yaml").write_text("data:\n  source: digits\n")
    (tmp_path / "data.json").write_text(json.dumps({"root": None}))
    files = ["digits/0002", "digits/0001", "digits/9999", "/digits/0001", "digits/0001/.."]
    lines = [[file, "test", "3", "5", 0.9 - i / 10] for i, file in enumerate(files)]
    with (tmp_path / "predictions.csv").open("w", newline="") as file:
        header = ["file", "split", "label", "prediction", "probability"]
        csv.writer(file).writerows([header, *lines])
    return tmp_path


def test_embedded_digits_are_shown(digits_run, monkeypatch):
    calls = []

    def render():
        calls.append(1)
        return np.array([0, 100, 200], np.uint8).repeat(3 * 16).reshape(3, 4, 4, 3), np.arange(3)

    monkeypatch.setattr(digits, "render", render)
    text = report(digits_run)
    shown = re.findall('base64,([^"]*)" alt="([^"]*)"', text)
    assert [alt for _, alt in shown] == ["digits/0002", "digits/0001"]
    pixels = [np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) for data, _ in shown]
    assert [int(picture.mean().round()) for picture in pixels] == [200, 100]
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("predictions.csv", "file,split,label,prediction,probability\ndigits/0001,test,3,3,0.9\n"),
        ("config.yaml", "data: {source: glyphs}\n"),
        ("data.json", '{"root": "elsewhere"}'),
    ],
)
def test_digits_are_rendered_only_for_mistakes_on_digits(digits_run, monkeypatch, name, content):
    monkeypatch.setattr(digits, "render", lambda: pytest.fail("drawn"))
    (digits_run / name).write_text(content)
    assert "<img " not in report(digits_run)


def test_reports_do_not_import_tensorflow(digits_run):
    code = (
        "import sys; from pathlib import Path; from tl_keras.report.pages import page; "
        "page.write(Path(sys.argv[1])); "
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(digits_run)], check=True, timeout=120)
    assert report(digits_run).count("<img ") == 2


def test_style_sheet_is_a_resource_of_the_package(workdir):
    style = importlib.resources.files("tl_keras.report.pages").joinpath("style.css").read_text()
    assert style in report(workdir) and "</" not in style


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.24, "0.240"), (10.0, "10"), (316.227, "316"), (10000.0, "10,000"), (999.7, "1,000")]
    + [(3.04e-6, "3.04e-06"), (0, "0"), (None, "–"), (float("nan"), "–")],
)
def test_numbers_have_three_significant_digits(value, text):
    assert words.number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0213, "0.021 ms"), (0.5, "0.50 ms"), (0.96, "1.0 ms"), (3.14, "3.1 ms"), (99.4, "99.4 ms")]
    + [(1234.5, "1,234 ms"), (0.000123, "0.00012 ms"), (0, "0.0 ms"), (None, "–")],
)
def test_latencies_never_round_to_nothing(value, text):
    assert words.milliseconds(value) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0.031, "one wrong answer in 32"), (0.55, "being wrong 55 times in 100")]
)
def test_shares_of_errors_in_everyday_words(share, text):
    assert words.one_in(share) == text


@pytest.mark.parametrize("name", ["שלום", "a\u202eb", "x\u2067"])
def test_right_to_left_names_do_not_reorder_a_sentence(name):
    assert words.quoted(name) == f"“\u2068{name}\u2069”"
    assert words.quoted(f"{name}\u2069") == f"“\u2068{name}\u2069”"  # A name cannot end it early.
    assert words.quoted("蒲公英 🌼 a") == "“蒲公英 🌼 a”"


def test_labels_and_predictions_are_counted(workdir):
    rewrite(workdir, test=scores(4, confusion=[]))
    _, counts = figures.counts(read(workdir))
    assert counts == {(SCRIPT, SCRIPT): 1, (SCRIPT, HAN): 1, (MATH, SCRIPT): 2}
