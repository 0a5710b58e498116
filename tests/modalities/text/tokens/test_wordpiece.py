"""WordPiece gives the same ids as the package `tokenizers`."""

import time

import pytest
import tokenizers
import unicode_texts
import vocabularies

from tl_keras.modalities.text.tokens import make_characters, wordpiece

FUZZED = 5000  # tests/fuzz_tokens.py has more


@pytest.fixture(scope="module", params=vocabularies.NAMES)
def words(request, tmp_path_factory):
    return vocabularies.named(request.param, tmp_path_factory.mktemp("words") / "files")


def differing(words, texts: list[str]) -> list[str]:
    """Returns the texts whose ids differ from those of `tokenizers`."""
    expected = vocabularies.reference(words).encode_batch(
        [unicode_texts.valid(text) for text in texts], add_special_tokens=False
    )
    return [
        ascii(text)
        for text, right in zip(texts, expected, strict=True)
        if wordpiece.encoder_of(words)(text) != right.ids
    ]


def test_texts_of_all_of_unicode(words):
    texts = [*unicode_texts.BY_HAND, *unicode_texts.fuzzed(FUZZED, 0, words.tokens)]
    assert differing(words, texts) == []


def test_one_megabyte_in_one_line(words):
    length = 1_000_000 if words.num_tokens > 1000 else 100_000  # Once is enough for the time.
    started = time.process_time()
    assert differing(words, unicode_texts.long_lines(length)) == []
    assert time.process_time() - started < 60  # Some 4 s; a quadratic search would take hours.


def test_the_table_of_characters_is_that_of_tokenizers():
    lines = wordpiece.CHARACTERS.read_text(encoding="ascii").splitlines()
    listed = make_characters.table()
    for name, entries in listed.items():
        written = [entry for line in lines if line.split()[0] == name for entry in line.split()[1:]]
        assert written == entries, f"{name}, by tokenizers {tokenizers.__version__}"


def test_cached_words_do_not_grow_without_bound(monkeypatch):
    monkeypatch.setattr(wordpiece, "CACHED_WORDS", 3)
    encode = wordpiece.encoder(["[UNK]", "a", "##b"], 0, True, True, True)
    cached = encode.__closure__
    for text in ("a ab abb b c d", "ab a", "ab"):
        encode(text)
    caches = [cell.cell_contents for cell in cached if isinstance(cell.cell_contents, dict)]
    assert caches and all(len(cache) <= 3 for cache in caches)
    assert encode("abb b a") == [1, 2, 2, 0, 1]
