import os

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from text_models import TEXTS

from tl_keras.backbones import encoder, from_file
from tl_keras.backbones.encoder import Sizes
from tl_keras.training.network import freeze

# Keras 3.15 saves variables by np.array(variable), whose __array__ lacks NumPy 2's `copy`.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't:DeprecationWarning"
)

SIZES = Sizes(layers=3, width=16, heads=4, inner=24, positions=16)
TOKENS = 33


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    return encoder.encoder("BERT", SIZES, TOKENS)


@pytest.fixture(scope="module")
def expected(model):
    return np.asarray(model(TEXTS))


def _lite(model):
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    return Interpreter(model_content=converter.convert())


def _run(interpreter, ids):
    place = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(place, ids.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(place, ids)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def test_a_block_for_the_embeddings_and_for_each_layer(model):
    blocks = freeze.blocks(model, encoder.BLOCK)
    assert [(block.name, block.cut) for block in blocks] == [
        ("embeddings", "embeddings_norm"),
        *[(f"layer_{i}", f"layer_{i}_norm") for i in range(3)],
    ]
    assert freeze.resolve(model, encoder.BLOCK, 0.5).cut == "layer_0_norm"
    assert freeze.resolve(model, encoder.BLOCK, 1.0).cut == "features"


def test_prefix_then_suffix_equals_the_model_at_every_cut(model, expected):
    cuts = freeze.cut_points(model)
    assert len(cuts) > 4 * 3
    for cut in cuts[:-1]:
        prefix, suffix = freeze.split(model, cut)
        inputs = freeze.suffix_inputs(suffix, prefix(TEXTS), tf.constant(TEXTS))
        np.testing.assert_array_equal(suffix(inputs), expected)


@pytest.mark.parametrize("pooling", encoder.POOLING)
def test_more_padding_changes_nothing(pooling):
    keras.utils.set_random_seed(0)
    model = encoder.encoder("BERT", Sizes(2, 16, 4, 24, 16, pooling), TOKENS)
    expected = np.asarray(model(TEXTS))
    for padding in (1, 8, 24):  # The last reaches beyond the last position.
        padded = np.pad(TEXTS, ((0, 0), (0, padding)))
        # Sums over more terms are rounded differently, in the last bit of a float32.
        np.testing.assert_allclose(model(padded), expected, atol=1e-5)
    alone = np.asarray(model(TEXTS[1:2, :4]))
    np.testing.assert_allclose(alone[0], expected[1], atol=1e-5)
    assert np.abs(expected[0] - expected[1]).max() > 0.01


def test_order_and_every_token_count(model, expected):
    swapped = TEXTS.copy()
    swapped[0, [1, 2]] = swapped[0, [2, 1]]
    changed = np.abs(np.asarray(model(swapped)) - expected).max(axis=1)
    assert changed[0] > 1e-3 and changed[1:].max() == 0


def test_a_text_of_padding_alone_gives_finite_features(model):
    assert np.isfinite(np.asarray(model(np.zeros((1, 8), np.int32)))).all()


def test_saved_model_is_equal_and_contains_no_code(model, expected, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded(TEXTS), expected)
    assert [o.name for o in loaded.operations] == [o.name for o in model.operations]


def test_names_do_not_depend_on_the_process(model):
    keras.ops.matmul(keras.Input((4, 4)), keras.Input((4, 4)))
    names = [operation.name for operation in model.operations]
    assert [o.name for o in encoder.encoder("BERT", SIZES, TOKENS).operations] == names
    assert not any(isinstance(layer, keras.Model) for layer in model.layers)


@pytest.mark.parametrize("copied", [False, True])
def test_mixed_precision_gives_float32_features(model, expected, copied):
    if copied:
        half = from_file.in_precision(model, "mixed_bfloat16")
    else:
        half = encoder.encoder("BERT", SIZES, TOKENS, "mixed_bfloat16")
    half.set_weights(model.get_weights())
    found = half(TEXTS)
    assert found.dtype == "float32"
    assert half.get_layer("layer_0_query").compute_dtype == "bfloat16"
    # bfloat16 has 8 bits of precision, and three layers add up their errors.
    np.testing.assert_allclose(found, expected, atol=0.1 * np.abs(expected).max())
    assert np.abs(np.asarray(found) - expected).max() > 0


@pytest.mark.parametrize("pooling", encoder.POOLING)
def test_litert_takes_any_length_with_built_in_operators(pooling):
    keras.utils.set_random_seed(0)
    sizes = Sizes(2, 16, 4, 24, 16, pooling, embedding=8, activation="gelu_tanh")
    model = encoder.encoder("BERT", sizes, TOKENS)
    interpreter = _lite(model)
    operators = {row["op_name"] for row in interpreter._get_ops_details()}
    assert {"FULLY_CONNECTED", "BATCH_MATMUL", "SOFTMAX"} <= operators
    assert not [name for name in operators if "Flex" in name or "CUSTOM" in name.upper()]
    for ids in (TEXTS, np.pad(TEXTS, ((0, 0), (0, 8))), TEXTS[1:2, :4]):
        np.testing.assert_allclose(_run(interpreter, ids), model(ids), atol=1e-5)


def test_gradients_reach_all_weights(model):
    with tf.GradientTape() as tape:
        loss = keras.ops.sum(keras.ops.square(model(TEXTS)))
    gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    assert len(gradients) == 2 + 2 + 3 * 16 and None not in gradients


def test_a_model_of_berts_size_runs(tmp_path):
    if not os.environ.get("TL_KERAS_TEST_LARGE"):
        pytest.skip("TL_KERAS_TEST_LARGE is not set: a model of 110 million weights takes minutes")
    model = encoder.encoder("BERT", Sizes(12, 768, 12, 3072, 512), 30_522)
    assert model.count_params() == 108_890_112
    expected = np.asarray(model(TEXTS))
    np.testing.assert_allclose(_run(_lite(model), TEXTS), expected, atol=1e-4)
