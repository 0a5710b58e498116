"""WordPiece in the graph gives the ids of wordpiece.py, from a SavedModel too."""

import dataclasses

import pytest
import tensorflow as tf
import unicode_texts
import vocabularies

from tl_keras.modalities.text.tokens import framed, in_graph, vocabulary, wordpiece

FUZZED = 5000  # tests/fuzz_tokens.py has more
TEXTS = tf.TensorSpec((None,), tf.string)


def content(text: str) -> bytes:
    """Returns a text in UTF-8, without lone halves of surrogate pairs."""
    return unicode_texts.valid(text).encode()


def function(words, longest=None):
    @tf.function(input_signature=[TEXTS], autograph=False)
    def encode(texts):
        return in_graph.encode_ragged(texts, words, longest)

    return encode


def differing(encode, words, texts: list[str], longest=None) -> list[str]:
    """Returns the texts whose ids differ from those of wordpiece.py."""
    actual = encode(tf.constant([content(text) for text in texts])).to_list()
    return [
        ascii(text)
        for text, ids in zip(texts, actual, strict=True)
        if framed(wordpiece.encoder_of(words)(text), words, longest) != ids
    ]


@pytest.mark.parametrize("name", vocabularies.NAMES)
def test_texts_of_all_of_unicode(name, tmp_path):
    words = vocabularies.named(name, tmp_path / "files")
    texts = [*unicode_texts.BY_HAND, *unicode_texts.fuzzed(FUZZED, 1, words.tokens)]
    assert differing(function(words), words, texts) == []


def test_one_megabyte_in_one_line():
    words = vocabulary.read("english")
    assert differing(function(words, 512), words, unicode_texts.long_lines(), 512) == []


def test_bytes_that_are_not_utf8_are_left_out():
    words = vocabulary.read("english")
    actual = function(words)(tf.constant(unicode_texts.NOT_UTF8)).to_list()
    texts = [text.decode("utf-8", "replace") for text in unicode_texts.NOT_UTF8]
    assert actual == [framed(wordpiece.encoder_of(words)(text), words, None) for text in texts]


def test_a_saved_model_takes_strings(tmp_path):
    words = vocabularies.named("cased", tmp_path / "files")

    @tf.function(input_signature=[TEXTS], autograph=False)
    def serve(texts):
        return {"token_ids": in_graph.encode_batch(texts, words, 16)}

    module = tf.Module()
    module.serve = serve
    tf.saved_model.save(module, str(tmp_path / "saved"), {"serving_default": serve})
    loaded = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"]
    texts = ["Straße, crème", "", "你好世界" * 9]
    actual = loaded(tf.constant([text.encode() for text in texts]))["token_ids"]
    assert actual.shape == (3, 16) and actual.dtype == tf.int32
    for row, text in zip(actual.numpy().tolist(), texts, strict=True):
        ids = framed(wordpiece.encoder_of(words)(text), words, 16)
        assert row == ids + [0] * (16 - len(ids))


@pytest.mark.parametrize(
    ("texts", "length"), [([], 8), ([""], 8), (["a " * 6], 8), (["a " * 7, ""], 16)]
)
def test_padded_lengths_are_multiples_of_8(texts, length):
    words = vocabulary.read("english")
    actual = in_graph.encode_batch(tf.constant(texts, tf.string), words, None)
    assert actual.shape == (len(texts), length)


def test_one_text():
    words = vocabulary.read("english")
    assert in_graph.encode(tf.constant("Hello"), words, 8).numpy().tolist() == [101, 7592, 102]
    bare = dataclasses.replace(words, start=None, end=None)
    assert in_graph.encode(tf.constant("hello hello"), bare, 1).numpy().tolist() == [7592]


def test_other_tokenisers_are_refused():
    other = dataclasses.replace(vocabulary.read("english"), kind="tokenizers")
    with pytest.raises(ValueError, match="only WordPiece can be written into a SavedModel"):
        in_graph.encode(tf.constant("a"), other, None)
