"""A smaller vocabulary keeps the most frequent tokens, and still encodes all words."""

import pytest

from tl_keras.modalities.text import tokens
from tl_keras.modalities.text.tokens import vocabulary
from tl_keras.modalities.text.tokens.definition import wordpiece
from tl_keras.modalities.text.tokens.pruning import pruned

ROWS = [
    *("[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]"),
    *("f", "i", "l", "m", "##f", "##i", "##l", "##m"),
    *("film", "fil", "##lm", "mill", "ill", "##ill"),
]
TEXTS = ["film film film mill", "film ill"]


@pytest.fixture
def own():
    special = {name: row for row, name in enumerate(("unknown", "padding", "start", "end", "mask"))}
    how = {"lowercase": True, "strip_accents": True, "split_chinese": True}
    return wordpiece(ROWS, special, "", how)


def test_the_most_frequent_tokens_and_all_characters_stay(own):
    # Of the tokens that occur once, `mill` comes first in the vocabulary.
    smaller = pruned(own, TEXTS, 15)
    assert set(smaller.tokens) == {*ROWS[:13], "film", "mill"}
    assert pruned(own, TEXTS, 100).num_tokens == 13 + len({"film", "mill", "ill"})


def test_words_without_a_token_become_smaller_pieces(own):
    smaller = pruned(own, TEXTS, 15)
    pieces = [smaller.tokens[i] for i in tokens.encoder_of(smaller)("film ill mill")]
    assert pieces == ["film", "i", "##l", "##l", "mill"]


def test_the_rows_of_the_larger_vocabulary_are_found_by_token(own):
    smaller = pruned(own, TEXTS, 15)
    ids = smaller.ids_in(own)
    assert [own.tokens[i] for i in ids] == list(smaller.tokens)
    assert own.ids_in(smaller) is None
    assert own.ids_in(own) == list(range(len(ROWS)))


def test_a_smaller_vocabulary_is_read_as_it_was_written(own, tmp_path):
    smaller = pruned(own, TEXTS, 15)
    vocabulary.write(smaller, tmp_path)
    read = vocabulary.read(str(tmp_path))
    assert read == smaller
    assert (read.tokens[0], read.tokens[read.start]) == ("[PAD]", "[CLS]")


def test_the_characters_need_room(own):
    with pytest.raises(ValueError, match=r"text\.tokens: .* expected at least 13, received 12"):
        pruned(own, TEXTS, 12)
