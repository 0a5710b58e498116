"""Excerpts of texts: long texts are shortened around their marked words."""

import json

import pytest

from tl_keras.modalities.text.marking.excerpts import Excerpt, Mark, excerpt, from_json, to_json

WORDS = [f"word{i:03d}" for i in range(300)]
TEXT = " ".join(WORDS)


def mark(word: str, weight: float) -> Mark:
    start = TEXT.index(word)
    return Mark(start, start + len(word), weight)


def marked(shown: Excerpt) -> list[str]:
    return [shown.text[mark.start : mark.end] for mark in shown.marks]


def test_a_short_text_stays_and_its_marks_are_sorted():
    marks = [Mark(4, 7, 0.5), Mark(0, 3, -1.0)]
    assert excerpt("the soup", marks) == Excerpt("the soup", (marks[1], marks[0]))


def test_a_long_text_without_marks_is_cut_at_a_word():
    shown = excerpt(TEXT, characters=100)
    assert shown.text.endswith(" …") and TEXT.startswith(shown.text[:-2])
    assert shown.text[:-2].split(" ")[-1] in WORDS and len(shown.text) <= 120


def test_a_long_text_is_shown_around_its_marked_words():
    marks = [mark("word150", 1.0), mark("word151", -0.5), mark("word290", 0.4)]
    shown = excerpt(TEXT, marks)
    assert marked(shown) == ["word150", "word151", "word290"]
    assert [m.weight for m in shown.marks] == [1.0, -0.5, 0.4]
    beginning, middle, end = shown.text.split(" … ")
    assert beginning.startswith("word000") and middle.count("word15") >= 2 and "word290" in end
    assert all(word in WORDS for part in (beginning, middle) for word in part.split())
    assert len(shown.text) < 620


def test_the_strongest_words_are_kept():
    marks = [mark(word, (i + 1) / 30) for i, word in enumerate(WORDS[5::10])]
    shown = excerpt(TEXT, marks)
    assert len(shown.text) < 620
    assert {"word295", "word285"} <= set(marked(shown)) and "word105" not in marked(shown)


def test_marks_at_both_ends_are_kept():
    shown = excerpt(TEXT, [mark("word000", 1.0), mark("word299", 1.0)])
    assert marked(shown) == ["word000", "word299"]
    assert shown.text.endswith("word299")


def test_a_word_without_spaces_is_cut():
    assert len(excerpt(5000 * "x").text) < 700
    shown = excerpt(5000 * "字", [Mark(3000, 3001, 1.0)])
    assert marked(shown) == ["字"] and len(shown.text) < 700


def test_json_keeps_an_excerpt():
    shown = excerpt(TEXT, [mark("word150", 1.0), mark("word151", -0.25)])
    assert from_json(json.loads(json.dumps(to_json(shown)))) == shown


@pytest.mark.parametrize(
    "value",
    [
        None,
        "heat.jpg",
        {"text": 3, "marks": []},
        {"text": "abc"},
        {"text": "abc", "marks": [[0, 1]]},
        {"text": "abc", "marks": [[0, 4, 1.0]]},
        {"text": "abc", "marks": [[1, 2, 1.0], [0, 1, 1.0]]},
        {"text": "abc", "marks": [[0, 1, float("nan")]]},
        {"text": "abc", "marks": [[0, 1, float("-inf")]]},
        {"text": "abc", "marks": [[True, 2, 1.0]]},
        {"text": 3000 * "x", "marks": []},
    ],
)
def test_other_values_are_refused(value):
    assert from_json(value) is None


def test_weights_are_limited():
    value = {"text": "abc", "marks": [[0, 1, 10**400], [1, 2, -2.5]]}
    assert from_json(value) == Excerpt("abc", (Mark(0, 1, 1.0), Mark(1, 2, -1.0)))
