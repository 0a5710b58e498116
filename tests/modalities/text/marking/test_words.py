"""Texts split into words, with their places and token ids."""

import pytest

from tl_keras.modalities.text import prepare, tokens
from tl_keras.modalities.text.config import TextConfig
from tl_keras.modalities.text.marking.words import divide, split, windows_of

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
        ("हिन्दी भाषा।", ["हिन्दी", "भाषा", "।"]),
        ("می\u200cخواهم!", ["می\u200cخواهم", "!"]),
        ("cafe\u0301! ❤\ufe0flove", ["cafe\u0301", "!", "❤\ufe0f", "love"]),
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


def test_a_group_is_divided_into_its_words():
    text = "Unbelievably overcooked soup, isn't it? Twice."
    (group,) = split(text, encode, 1)
    assert group.several
    single = divide(text, group, encode, 1000)
    assert single == split(text, encode, 1000) and not any(word.several for word in single)
    assert divide(text, single[0], encode, 1000) == [single[0]]
    halves = divide(text, group, encode, 2)
    assert len(halves) == 2 and halves[0].ids + halves[1].ids == group.ids
    assert divide(text, halves[0], encode, 8) + divide(text, halves[1], encode, 8) == single


def test_words_lie_in_the_windows_of_the_text():
    text = " ".join(f"word{i}" for i in range(100))
    settings = TextConfig(vocabulary="english", length=64)
    words = split(text, encode, 1000)
    numbers = windows_of(words, 62)
    windows = prepare.windows(prepare.encoded(text, settings, None), settings)
    assert set(numbers) == set(range(len(windows))) and numbers == sorted(numbers)
    for number, window in enumerate(windows):
        ids = [
            i for word, own in zip(words, numbers, strict=True) if own == number for i in word.ids
        ]
        # A word at the border may have ids in both windows.
        assert abs(len(ids) - (len(window) - 2)) < 4
    assert windows_of(words, None) == [0] * len(words)
    assert windows_of(words, 10_000) == [0] * len(words)
    assert windows_of([], 62) == []
