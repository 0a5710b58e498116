"""Texts in the report: escaped, marked, shortened, and only those of the data folder."""

import json
import os
from pathlib import Path

import handmade
import handmade_text
import pytest

from tl_keras.modalities.text import show
from tl_keras.modalities.text.marking.excerpts import Excerpt, Mark
from tl_keras.report.pages import page
from tl_keras.report.read import read
from tl_keras.report.sections import findings, mistakes, training
from tl_keras.run.result.exports import OnFiles


@pytest.fixture
def run(tmp_path):
    return read(handmade_text.make(tmp_path))


def test_a_text_is_escaped_and_takes_its_own_direction():
    html = show.image(Excerpt('<b>"x" & y</b>'), "name")
    assert html == '<p class="text" dir="auto">&lt;b&gt;&quot;x&quot; &amp; y&lt;/b&gt;</p>'


def test_marked_words_show_strength_and_sign():
    marks = (Mark(0, 3, 1.0), Mark(4, 7, -0.25))
    assert show.image(Excerpt("bad <i> end", marks), "") == (
        '<p class="text" dir="auto"><mark class="for" style="--share:1.00">bad</mark> '
        '<mark class="against" style="--share:0.25">&lt;i&gt;</mark> end</p>'
    )


def test_marked_words_are_also_named_in_a_line(run):
    words = "dull slow dull fine fine a b c d e".split()
    text, marks = " ".join(words), []
    place = 0
    for word, weight in zip(words, [0.3, 1, 0.2, -1, -0.9, 0.1, 0.1, 0.1, 0.1, 0.1], strict=True):
        marks.append(Mark(place, place + len(word), weight))
        place += len(word) + 1
    (html,) = show.explained(run, Excerpt(text, tuple(marks)), None, "a.txt", "<bad>")
    line = html.partition('<p class="words">')[2]
    assert line == (
        "for &lt;bad&gt;: “<b>slow</b>”, “<b>dull</b>”, “<b>a</b>”, “<b>b</b>”, “<b>c</b>”; "
        "against it: “<b>fine</b>”</p>"
    )


def test_mistakes_are_shown_with_their_words_once(run):
    html = mistakes.mistakes(run)
    assert show.EXPLAINED.split(";")[0] in html and show.SOME_NOT_EXPLAINED in html
    assert html.count('class="text"') == 4  # Three mistakes and a right answer; one text is lost.
    assert html.count('<mark class="for"') == 7 and html.count('<mark class="against"') == 3
    assert "&lt;script&gt;</mark>" in html and "<script>" not in html
    assert handmade_text.ARABIC.split()[2] in html
    assert "<h3>Right answers</h3>" in html and ">excellent</mark>" in html
    handmade.Outline(f"<div>{html}</div>")


def test_long_texts_are_shortened_around_marked_words(run):
    html = mistakes.mistakes(run)
    assert "word150</mark>" in html and "word290</mark>" in html and " … " in html
    assert "word200" not in html


def test_without_marks_the_beginning_of_each_text_is_shown(run):
    (run.folder / "pictures" / "index.json").unlink()
    html = mistakes.mistakes(read(run.folder))
    assert html.count('class="text"') == 3 and "<mark" not in html
    assert "word0 of a long review" in html and "word290" not in html


def test_augmented_texts_are_shown_below_the_original(run):
    html = training.augmented(run)
    assert html.count('class="text"') == 3 and "[MASK] [MASK] was dull" in html
    assert "the augmented views that text.augment made of it" in html


def test_findings_on_texts(run):
    html = findings.data_check(run)
    for expected in (
        "<h3>Lengths</h3>",
        "<dd>1,502 tokens</dd>",
        "<dt>longer texts</dt><dd>20",
        "1 text of unusual length.",
        "<h3>Scripts and languages</h3>",
        "Latin 4 and Arabic 1",
        "probably &lt;German&gt; instead of English",
        "1 pair of nearly equal texts.",
        "distance 12",
    ):
        assert expected in html
    assert findings.number(run) == 3
    assert show.findings({}) == {"Lengths": "", "Scripts and languages": ""}


def test_only_texts_of_the_data_folder_are_read(run, tmp_path):
    (tmp_path / "secret.txt").write_text("secret")
    root = Path(run.data["root"])
    (root / "link.txt").symlink_to(tmp_path / "secret.txt")
    names = ["../secret.txt", str(tmp_path / "secret.txt"), "link.txt", "lost.txt", "a\0b", ""]
    if hasattr(os, "mkfifo"):
        os.mkfifo(root / "pipe.txt")
        names.append("pipe.txt")
    assert show.thumbnails(run, names) == [None] * len(names)


def test_rows_of_a_table_are_read(run, tmp_path):
    (tmp_path / "t.csv").write_text('text,label\ngood soup,1\n"two\nlines",0\n')
    run.data["root"] = str(tmp_path / "t.csv")
    names = ["row 2", "row 3", "row 9", "../secret.txt"]
    expected = [Excerpt("good soup"), Excerpt("two\nlines"), None, None]
    assert show.thumbnails(run, names) == expected
    run.data["root"] = str(tmp_path / "lost.csv")
    assert show.thumbnails(run, names) == [None] * 4


def test_drawn_texts_are_read(run):
    run.data.pop("root")
    run.tree["data"]["source"] = "intents"
    found = show.thumbnails(run, ["intents/000", "intents/9999", "intents/x", "a.txt"])
    assert isinstance(found[0], Excerpt) and found[1:] == [None, None, None]
    run.tree["data"]["source"] = "folder"
    assert show.thumbnails(run, ["intents/000"]) == [None]


def test_a_manipulated_index_shows_nothing(run):
    path = run.folder / "pictures" / "index.json"
    index = json.loads(path.read_text())
    for entry in [*index["mistakes"], *index["right"]]:
        entry["heat"] = "../../secret.txt"
    path.write_text(json.dumps(index))
    assert "<mark" not in mistakes.mistakes(read(run.folder))


def test_the_whole_page_is_written(run):
    html = page.write(run.folder).read_text(encoding="utf-8")
    assert "Grad-CAM" not in html and "heat map" not in html.lower()
    assert html.count("<mark ") == 10


def test_a_longer_text_is_advised_if_many_texts_are_cut_off():
    lengths = {"truncated": 0.2, "p95": 300.0}
    change, why = show.more_detail({"length": 128}, {"lengths": lengths})
    assert change == "text.length=256" and why.startswith("20.0% of the texts have more than 128")
    change, _ = show.more_detail({"length": 128}, {"lengths": {"truncated": 0.06, "p95": 140.0}})
    assert change == "text.length=160"
    for settings, found in (
        ({"length": "auto"}, {"lengths": lengths}),
        ({}, {"lengths": lengths}),
        ({"length": 128}, {"lengths": {"truncated": 0.01, "p95": 90.0}}),
        ({"length": 128}, {}),
    ):
        assert show.more_detail(settings, found) is None


def test_sentences():
    assert show.prepared({"length": 128}).startswith("input: at most 128 token ids of type int32")
    assert show.prepared({}).startswith("input: token ids of type int32")
    device = OnFiles(agreement=0.99, identical=1.0, n=200, accuracy=0.9)
    sentence = show.on_device(device, "is right on 90%, and ")
    assert "the shipped file is right on 90%, and gives, for 99.0% of 200 texts" in sentence
