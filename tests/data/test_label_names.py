"""Claims on tl_keras/data/label_names.py: which names are nearly equal, and how they are shown."""

import pytest

from tl_keras.data import label_names

NBSP, ZERO_WIDTH, ACCENT = "\u00a0", "\u200b", "\u0301"


@pytest.mark.parametrize(
    ("first", "second", "difference"),
    [
        ("Cat", "cat", "case"),
        ("STRASSE", "straße", "case"),
        ("1", "01", "zeros"),
        ("class 7", "class 007", "zeros"),
        (f"cafe{ACCENT}", "café", "Unicode form"),
        ("a b", f"a{NBSP}b", "Unicode form"),
        ("m²", "m2", "Unicode form"),
        ("cat", f"cat{ZERO_WIDTH}", "invisible characters"),
        ("cat", "cat ", "white space"),
        ("sea lion", "sea  lion", "white space"),
        ("sea lion", "sea_lion", "white space"),
        ("Sea lion", "sea_lion", None),
        ("1", "1.0", "zeros"),
        ("x", "x\ufe0f", "invisible characters"),
        ("x", "x\u3164", "invisible characters"),
        ("ants", "ants - Copy", "an addition such as '(1)' or 'copy'"),
        ("ants", "ants (1)", "an addition such as '(1)' or 'copy'"),
    ],
)
def test_nearly_equal_names(first, second, difference):
    ((group, told),) = label_names.nearly_equal_groups([first, "dog", second])
    assert sorted(group) == sorted([first, second])
    expected = f"differ only in {difference or 'details such as case and white space'}"
    assert told == expected
    assert label_names.nearly_equal([first], ["dog", second]) == {first: second}
    assert label_names.partners([first, "dog", second]) == {first: second, second: first}


@pytest.mark.parametrize(
    ("first", "second"),
    [("1", "10"), ("100", "10"), ("0.1", "0.01"), ("0", "00a"), ("cat", "cats"), ("e", "é")],
)
def test_different_names_are_not_nearly_equal(first, second):
    assert label_names.nearly_equal_groups([first, second]) == []
    assert label_names.nearly_equal([first], [second]) == {}


def test_quotes_show_invisible_differences():
    assert label_names.quoted("café") == "'café'"
    assert label_names.quoted(f"cafe{ACCENT}") == r"'cafe\u0301'"
    assert label_names.quoted(f"cat{ZERO_WIDTH}") == r"'cat\u200b'"
    assert label_names.quoted("two words") == "'two words'"


def test_lines_of_a_label_file_can_be_told_apart():
    given = ["cat", "two  words", "a\nb", "a b", "café", f"cafe{ACCENT}", f"x{ZERO_WIDTH}", "x"]
    lines = label_names.as_label_lines(given)
    assert lines[:4] == ["cat", "two words", r"a\nb", "a b"]
    assert len(set(lines)) == len(given)
    assert all("\n" not in line and line.isprintable() for line in lines[4:])
    assert label_names.as_label_lines([" ", "cat ", ZERO_WIDTH]) == [r"\x20", "cat", r"\u200b"]


@pytest.mark.parametrize("label", ["", "nan", "NaN", "<NA>", "NaT", "#N/A"])
def test_missing_labels(label):
    assert label_names.is_missing(label)


@pytest.mark.parametrize("label", ["NA", "none", "null", "0", "banana"])
def test_labels_that_may_be_classes(label):
    assert not label_names.is_missing(label)
