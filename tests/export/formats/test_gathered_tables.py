"""Tables of token vectors are stored as integers, and give almost the same vectors."""

import keras
import numpy as np
import pytest

from tl_keras.config.export import ExportConfig
from tl_keras.export import parity
from tl_keras.export.formats import flatbuffer, quantise
from tl_keras.export.formats.converted import convert

TOKENS, WIDTH = 2000, 16


@pytest.fixture(scope="module")
def converted():
    """A file whose output is the mean of the vectors of the tokens, of any number of tokens."""
    ids = keras.Input((None,), dtype="int32", name="token_ids")
    x = keras.layers.Embedding(TOKENS, WIDTH, name="table")(ids)
    x = keras.layers.GlobalAveragePooling1D()(x)
    model = keras.Model(ids, keras.layers.Dense(3, "softmax", name="probabilities")(x))
    table = (
        np.random.default_rng(0).normal(size=(TOKENS, WIDTH)) * np.logspace(-3, 1, TOKENS)[:, None]
    )
    table[7] = 0  # A row without a scale.
    model.get_layer("table").set_weights([table.astype(np.float32)])
    examples = np.arange(1, 17, dtype=np.int32).reshape(2, 8)
    return convert(model, examples, ExportConfig(formats=("float32", "float16", "dynamic")), None)


def answers(content: bytes, tmp_path) -> np.ndarray:
    file = tmp_path / "model.tflite"
    file.write_bytes(content)
    interpreter = parity.load_interpreter(file)
    examples = [np.array(ids, np.int32) for ids in ([7] * 8, [1999, *[3] * 7], [*range(1, 25)])]
    # The converter's own file has no names of outputs yet.
    return np.stack([next(iter(parity.run_once(interpreter, x).values())) for x in examples])


@pytest.mark.parametrize(
    ("name", "bytes_per_value", "tolerance"),
    [
        ("dynamic", 1, 0.02),
        ("float16", 2, 2e-4),
    ],
)
def test_table_is_small_and_the_answers_stay(converted, tmp_path, name, bytes_per_value, tolerance):
    content = quantise.quantise(converted.calibrated, name)
    saved = len(converted.content) - len(content)
    assert saved > (4 - bytes_per_value) * TOKENS * WIDTH - 6 * TOKENS
    kinds = flatbuffer.operators(flatbuffer.read(content))
    assert kinds["GATHER"] == 2 and kinds["CAST"] == 1
    difference = answers(content, tmp_path) - answers(converted.content, tmp_path)
    assert 0 < np.abs(difference).max() < tolerance


def test_table_that_must_stay_float_is_not_changed(converted, tmp_path):
    scopes = converted.calibrated.scopes
    every = range(len(scopes))
    content = quantise.quantise(converted.calibrated, "dynamic", every)
    assert flatbuffer.operators(flatbuffer.read(content))["GATHER"] == 1
    assert np.array_equal(answers(content, tmp_path), answers(converted.content, tmp_path))


def test_static_formats_leave_the_table_to_the_quantizer(converted):
    content = quantise.quantise(converted.calibrated, "int16x8")
    assert flatbuffer.operators(flatbuffer.read(content))["GATHER"] == 1
