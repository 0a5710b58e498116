"""The arguments of `predict`: texts, paths, tables, and errors for everything else."""

import io
from pathlib import Path

import numpy as np
import pytest

from tl_keras.modalities.text.predict_inputs import Given, as_given


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("a text")
    (tmp_path / "note").write_text("a text without suffix")
    (tmp_path / "reviews.csv").write_text("text,label\ngood,1\n")
    (tmp_path / "all texts").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    "text", ["Good soup.", "good", "Is it 3/4?", "see a.txt", "1/2", "~", "a\0b", 400 * "long "]
)
def test_a_string_that_is_not_a_path_is_a_text(text):
    assert as_given(text) == [Given("#0", text)] or text == "~"


@pytest.mark.parametrize("path", ["a.txt", "note", "reviews.csv", "all texts", "./a.txt"])
def test_a_string_that_exists_is_a_path(path, folder):
    assert as_given(path) == as_given(Path(path)) == [Path(path)]
    assert as_given(str(folder / path)) == [folder / path]


@pytest.mark.parametrize("path", ["lost.txt", "data/LOST.CSV", "x.jsonl", "./lost", "/no/file"])
def test_a_word_that_looks_like_a_path_is_not_taken_for_a_text(path):
    assert as_given(path) == [Path(path)]


def test_a_path_object_is_always_a_path():
    assert as_given(Path("lost words")) == [Path("lost words")]
    assert as_given([Path("~/x")]) == [Path("~/x").expanduser()]


class Series:
    """Iterates like a pandas Series."""

    def __init__(self, *values):
        self.values = values

    def __iter__(self):
        return iter(self.values)


def test_lists_and_what_iterates_like_one_are_read_in_order():
    texts = ["one text", "another", "a.txt"]
    expected = [Given("#0", "one text"), Given("#1", "another"), Path("a.txt")]
    for values in (texts, tuple(texts), np.array(texts), iter(texts), Series(*texts)):
        assert as_given(values) == expected
    assert as_given(np.array("one text")) == expected[:1]
    assert as_given(np.array(texts, object)) == expected
    assert as_given([]) == []


def test_a_lone_surrogate_is_replaced():
    assert as_given("broken \ud83d emoji") == [Given("#0", "broken ? emoji")]


@pytest.mark.parametrize(
    ("wrong", "received"),
    [
        (None, "NoneType"),
        (3, "int"),
        (b"text", "bytes"),
        (io.StringIO("text"), "StringIO"),
        ({"text": "x"}, "dict"),
        (["good", 3], "int as value #1"),
        (["good", b"bad"], "bytes as value #1"),
        (Series("good", float("nan")), r"float \(a missing value\) as value #1"),
        (np.zeros((2, 3)), "ndarray as value #0"),
    ],
)
def test_other_values_are_a_type_error(wrong, received):
    with pytest.raises(TypeError, match=f"predict: expected a text, .*; received {received}$"):
        as_given(wrong)


def test_a_data_frame_is_a_type_error():
    class DataFrame(Series):
        columns = ("text", "label")

    with pytest.raises(TypeError, match="received DataFrame; pass the column with the texts"):
        as_given(DataFrame("text", "label"))


@pytest.mark.parametrize("empty", ["", " \n", ["good", ""]])
def test_an_empty_text_is_an_error(empty):
    with pytest.raises(ValueError, match=r"received an empty text as value #\d$"):
        as_given(empty)
