"""Near-duplicates among texts: what counts as one, and that all of them are found."""

import time

import numpy as np
import pytest

from tl_keras.modalities.text import copies

SENTENCE = "The waiter, who spoke five languages, brought us the wrong soup twice."
OTHERS = [
    "Nothing about this place made me want to come back for a second evening.",
    "A quiet hotel near the station, with small rooms and a friendly owner.",
    "這家餐廳的服務員非常友善,而且食物也很好吃,我們一定會再來的。",
    "Официант говорил на пяти языках и дважды принёс нам не тот суп.",
    "soup",
]


@pytest.mark.parametrize(
    "copy",
    [
        SENTENCE.upper(),
        "  the waiter who spoke five   languages\nbrought us the WRONG soup twice",
        SENTENCE.replace("wrong", "worng"),
        SENTENCE.replace("twice", "again"),
        f"{SENTENCE} Yes!",
        "Ｔｈｅ waiter, who spoke five languages – brought us the wrong soup twice…",
    ],
)
def test_small_changes_make_a_near_duplicate(copy):
    texts = [OTHERS[0], SENTENCE, *OTHERS[1:], copy]
    looks = [copies.looks(text) for text in texts]
    assert copies.with_similar_hashes(looks).tolist() == [1, len(texts) - 1]
    assert copies.clusters(copies.signatures(texts)) == [[1, len(texts) - 1]]


def test_other_texts_are_no_near_duplicates():
    texts = [
        SENTENCE,
        SENTENCE.replace("five languages", "badly").replace("wrong soup", "right wine"),
        *OTHERS,
    ]
    assert copies.clusters(copies.signatures(texts)) == []


def test_texts_without_letters_and_empty_texts_are_compared():
    texts = ["!!!", "!!!", "???", "", " ", "😀", "😀!", "☹"]
    assert copies.clusters(copies.signatures(texts)) == [[0, 1], [3, 4], [5, 6]]
    assert all(len(copies.looks(text)) == 8 * copies.BANDS for text in texts)
    assert copies.looks("\ud800")  # A lone surrogate cannot be encoded as UTF-8.


def test_similarity_is_the_share_of_common_runs():
    letters = np.random.default_rng(0).choice(list("abcdefghij"), 4000)
    whole, cut = "".join(letters), "".join(letters[:3400])
    ((_, _, distance),) = copies.near_duplicates(copies.signatures([whole, cut]), np.arange(2))
    assert distance == pytest.approx(15, abs=8)  # Two standard deviations of 128 hashes: 6.3.
    half = "".join(letters[:2000])
    assert copies.near_duplicates(copies.signatures([whole, half]), np.arange(2)) == []


def test_texts_of_one_kind_are_not_compared():
    marks = copies.signatures([SENTENCE, SENTENCE.lower(), OTHERS[0], SENTENCE])
    assert copies.near_duplicates(marks, np.array([0, 0, 1, 1])) == [(0, 3, 0), (1, 3, 0)]
    assert copies.near_duplicates(marks, np.zeros(4, int)) == []


def test_a_text_that_occurs_often_gives_few_pairs():
    marks = np.repeat(copies.signatures([SENTENCE]), 200, 0)
    pairs = copies.near_duplicates(marks, np.arange(200) % 2)
    assert len(pairs) <= copies.PARTNERS * 200
    assert {second for _, second, _ in pairs} >= set(range(1, 200))
    assert copies.clusters(marks) == [list(range(200))]


def test_a_copy_in_another_kind_is_found_among_many_of_one_kind():
    marks = np.repeat(copies.signatures([SENTENCE]), 200, 0)
    kind = np.zeros(200, int)
    kind[-1] = 1
    assert [second for _, second, _ in copies.near_duplicates(marks, kind)] == 3 * [199]


def test_a_thumbnail_is_the_signature_of_the_content():
    content = b"\xef\xbb\xbf" + SENTENCE.encode()
    thumbnail = copies.read_thumbnail(content)
    assert thumbnail.shape == copies.SHAPE and thumbnail.dtype == np.uint8
    np.testing.assert_array_equal(thumbnail, copies.signature(SENTENCE))
    copies.read_thumbnail(b"caf\xe9")  # The check has refused such a file.


def test_signatures_never_change():
    """They are kept in the cache, so another value needs another `check.FIELDS`."""
    assert copies.looks(SENTENCE)[:16] == "dbf844351a7fd6f9"
    assert copies.signature(SENTENCE)[:4].tolist() == [196, 242, 81, 114]


def test_ten_thousand_texts_are_compared_in_a_few_seconds():
    words = np.random.default_rng(0).choice(OTHERS[0].split(), (1000, 20))
    texts = [" ".join(row) for row in words]
    began = time.process_time()
    looks = [copies.looks(text) for text in texts]
    assert time.process_time() - began < 0.6
    began = time.process_time()
    copies.with_similar_hashes(10 * looks)
    copies.clusters(np.tile(copies.signatures(texts), (5, 1)))
    assert time.process_time() - began < 5


def test_a_long_text_takes_little_memory():
    assert copies.looks("word " * 500_000) == copies.looks("word " * 100)
