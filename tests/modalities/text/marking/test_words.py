"""Texts split into words, with their places and token ids."""

import pytest

from tl_keras.modalities.text import tokens
from tl_keras.modalities.text.marking.words import Word, divide, read_of, split

encode = tokens.encoder("english")


def words_of(text: str, most: int = 1000) -> list[str]:
    return [text[word.start : word.end] for word in split(text, encode, most)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't over-cook it!", ["Don't", "over-cook", "it", "!"]),
        ("  so... good :-)  ", ["so", "...", "good", ":-)"]),
        ("Größe 3,5\n\tAlter", ["Größe", "3", ",", "5", "Alter"]),
        ("我喜欢吃 pizza", ["我", "喜", "欢", "吃", "pizza"]),
        ("مرحبا بالعالم", ["مرحبا", "بالعالم"]),
        ("", []),
        (" \n", []),
    ],
)
def test_words_and_punctuation_are_found(text, words):
    assert words_of(text) == words


@pytest.mark.parametrize(
    "text",
    [
        "Unbelievably overcooked, isn't it? 😀 Größe: 3,5 — naïve café\u0301!",
        "我喜欢吃 pizza. مرحبا",
        "tokenisation of internationalisation",
    ],
)
def test_the_ids_of_all_words_are_those_of_the_text(text):
    ids = [i for word in split(text, encode, 1000) for i in word.ids]
    assert ids == encode(text)


def test_long_texts_are_split_into_groups_of_words():
    text = " ".join(f"word{i}" for i in range(100))
    groups = split(text, encode, 30)
    assert len(groups) == 25  # 4 words each.
    assert text[groups[0].start : groups[0].end] == "word0 word1 word2 word3"
    assert [i for group in groups for i in group.ids] == encode(text)


def test_words_that_the_model_does_not_read_are_left_out():
    words = [Word(0, 3, (1, 2)), Word(4, 6, (3, 4, 5)), Word(7, 9, (6,))]
    assert read_of(words, None) == words
    assert read_of(words, 6) == words
    assert read_of(words, 3) == [words[0], Word(4, 6, (3,))]
    assert read_of(words, 2) == words[:1]
    assert read_of(words, 0) == []


def test_a_group_is_divided_into_its_words():
    text = "Unbelievably overcooked soup, isn't it? Twice."
    (group,) = split(text, encode, 1)
    single = divide(text, group, encode)
    assert single == split(text, encode, 1000)
    assert divide(text, single[0], encode) == [single[0]]
    cut = Word(group.start, group.end, group.ids[:4])
    assert sum((word.ids for word in divide(text, cut, encode)), ()) == group.ids[:4]
