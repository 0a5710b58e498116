"""The description of a text model's input, with and without a limit of its length."""

import flatbuffers
import pytest

from tl_keras.modalities.text import metadata
from tl_keras.modalities.text.config import TextConfig, described


@pytest.mark.parametrize(
    ("length", "expected", "few_words"),
    [
        (64, b"Token ids of a text, at most 64; 0 is padding, at the end.", "up to 64 tokens"),
        ("auto", b"Token ids of a text; 0 is padding, at the end.", "any number of tokens"),
    ],
)
def test_the_input_is_described_with_its_limit(length, expected, few_words):
    settings = TextConfig(length=length, vocabulary="english")
    assert described(settings) == few_words
    builder = flatbuffers.Builder()
    (table,) = metadata.inputs(builder, settings)
    builder.Finish(table)
    assert expected in bytes(builder.Output())
