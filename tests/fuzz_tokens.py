"""Compares the tokenisers on random texts of all of Unicode.

Runs only on request and takes some minutes on one core:

    python -m pytest -n 0 tests/fuzz_tokens.py

The environment variable FUZZ_EXAMPLES sets the number of texts, FUZZ_SEED their seed. Each failure
that it finds becomes a text of unicode_texts.py.
"""

import os
import shutil

import pytest
import tensorflow as tf
import text_devices
import unicode_texts
import vocabularies

from tl_keras.modalities.text.tokens import in_graph, wordpiece

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "100000"))
SEED = int(os.environ.get("FUZZ_SEED", "0"))
AT_ONCE = 5000


@pytest.mark.parametrize("name", vocabularies.NAMES)
def test_all_tokenisers_give_the_same_ids(name, tmp_path):
    words = vocabularies.named(name, tmp_path / "files")
    spec = text_devices.spec_of("english" if name == "english" else str(tmp_path / "files"))
    program = text_devices.compiled(tmp_path, spec) if shutil.which("g++") else None
    reference = vocabularies.reference(words)

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string)], autograph=False)
    def graph(texts):
        return in_graph.encode_ragged(texts, words, None)

    for start in range(0, EXAMPLES, AT_ONCE):
        texts = unicode_texts.fuzzed(AT_ONCE, SEED * EXAMPLES + start, words.tokens)
        valid = [unicode_texts.valid(text) for text in texts]
        expected = [entry.ids for entry in reference.encode_batch(valid, add_special_tokens=False)]
        assert [wordpiece.encoder_of(words)(text) for text in texts] == expected
        framed = [[words.start, *ids, words.end] for ids in expected]
        contents = [text.encode() for text in valid]
        assert graph(tf.constant(contents)).to_list() == framed
        if program:
            assert [row[-1] for row in text_devices.ids_of(program, contents)] == expected
