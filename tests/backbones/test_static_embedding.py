import json
import os

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from text_models import TEXTS, WORDS, Settings, write_safetensors, write_vocabulary

from tl_keras.backbones import encoder, static_embedding, table
from tl_keras.backbones.weights import load_weights
from tl_keras.config.model import ModelConfig
from tl_keras.modalities.text.tokens import vocabulary
from tl_keras.training.network import freeze
from tl_keras.training.network import model as models

# Keras 3.15 saves variables by np.array(variable), whose __array__ lacks NumPy 2's `copy`.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't:DeprecationWarning"
)

NAME = "StaticEmbedding"
ROWS = np.random.default_rng(0).normal(size=(len(WORDS), 6)).astype(np.float32)


@pytest.fixture
def settings(tmp_path) -> Settings:
    write_vocabulary(tmp_path)
    return Settings(str(tmp_path))


@pytest.fixture
def model(settings) -> keras.Model:
    keras.utils.set_random_seed(0)
    return static_embedding.build(NAME, {"dimensions": 6}, settings)


def _means(rows) -> np.ndarray:
    # [PAD], [UNK], [CLS] and [SEP] are 0 to 3.
    return np.array([rows[ids[ids > 3]].mean(axis=0) for ids in TEXTS])


def test_features_are_the_mean_of_the_words(model):
    rows = model.get_layer("embeddings_tokens").get_weights()[0]
    np.testing.assert_allclose(model(TEXTS), _means(rows), atol=1e-6)
    padded = np.pad(TEXTS, ((0, 0), (0, 9)))
    np.testing.assert_array_equal(model(padded), model(TEXTS))
    only_special = np.array([[2, 3, 0], [2, 1, 3]], np.int32)
    np.testing.assert_array_equal(model(only_special), np.zeros((2, 6)))


def test_the_whole_table_is_trained_and_longer_on_few_texts():
    few, many = (table.auto_values(NAME, num_train) for num_train in (24, 7000))
    assert few["freeze"] == many["freeze"] == 0
    assert (few["epochs"], many["epochs"]) == (25, 4)
    assert table.auto_values(NAME, 430) == {
        **{"freeze": 0.0, "epochs": 14, "learning_rate": 3e-3},
        **{"start": "regularised", "margin": 1.0},
    }


def test_one_block_and_exact_halves(model):
    pattern = table.block_pattern(NAME)
    assert [block.name for block in freeze.blocks(model, pattern)] == ["embeddings"]
    assert freeze.resolve(model, pattern, 1.0).cut == "features"
    for cut in freeze.cut_points(model)[:-1]:
        prefix, suffix = freeze.split(model, cut)
        inputs = freeze.suffix_inputs(suffix, prefix(TEXTS), tf.constant(TEXTS))
        np.testing.assert_array_equal(suffix(inputs), model(TEXTS))


def test_saved_model_is_equal(model, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded(TEXTS), model(TEXTS))


def test_litert_takes_any_length_with_built_in_operators(model):
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    interpreter = Interpreter(model_content=converter.convert())
    operators = {row["op_name"] for row in interpreter._get_ops_details()}
    assert not [name for name in operators if "Flex" in name or "CUSTOM" in name.upper()]
    for ids in (TEXTS, TEXTS[1:2, :4]):
        place = interpreter.get_input_details()[0]["index"]
        interpreter.resize_tensor_input(place, ids.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(place, ids)
        interpreter.invoke()
        found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        np.testing.assert_allclose(found, model(ids), atol=1e-6)


def test_the_embedded_table_is_scaled_and_cut_to_the_dimensions(monkeypatch, tmp_path):
    settings = Settings("english")
    count = vocabulary.read("english").num_tokens
    generator = np.random.default_rng(0)
    values = generator.integers(-127, 128, (count, 128), dtype=np.int8)
    scale = generator.uniform(0.01, 1, count).astype(np.float32)
    np.savez(tmp_path / "table.npz", table=values, scale=scale)
    monkeypatch.setattr(static_embedding, "EMBEDDED", os.fspath(tmp_path / "table.npz"))
    model = static_embedding.build(NAME, {"dimensions": 16}, settings)
    load_weights(model, NAME, {"dimensions": 16}, settings, "minilm")
    found = model.get_layer("embeddings_tokens").get_weights()[0]
    np.testing.assert_array_equal(found, (values * scale[:, None])[:, :16])


def test_the_embedded_table_fits_one_vocabulary(monkeypatch, settings, tmp_path):
    np.savez(tmp_path / "table.npz", table=np.zeros((33, 128), np.int8), scale=np.ones(33))
    monkeypatch.setattr(static_embedding, "EMBEDDED", os.fspath(tmp_path / "table.npz"))
    model = static_embedding.build(NAME, {}, settings)
    with pytest.raises(ValueError, match="was trained with another vocabulary than text.vocab"):
        load_weights(model, NAME, {}, settings, "minilm")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dimensions": 129}, "dimensions: the weights 'minilm' have 128 dimensions, received 129"),
        ({"dimensions": 0}, r"dimensions: must be a whole number in 1\.\.4096, received 0"),
        ({"width": 3}, "width: StaticEmbedding has no such option; valid: dimensions"),
    ],
)
def test_what_check_rejects(options, message):
    with pytest.raises(ValueError, match=message):
        table.check(ModelConfig(backbone=NAME, options=options), Settings("english"))


# --- folders in Model2Vec's form


def _write(folder, arrays, **config):
    write_vocabulary(folder)
    config = {"model_type": "model2vec", "normalize": False, **config}
    (folder / "config.json").write_text(json.dumps(config))
    write_safetensors(folder / "model.safetensors", arrays)


def _pretrained(folder) -> keras.Model:
    config, settings = ModelConfig(backbone=str(folder)), Settings(str(folder))
    assert table.decided(config)["vocabulary"] == str(folder)
    table.check(config, settings)
    return models.pretrained(config, settings)


def test_a_folder_gives_its_table(tmp_path):
    _write(tmp_path, {"embeddings": ROWS})
    model = _pretrained(tmp_path)
    np.testing.assert_allclose(model(TEXTS), _means(ROWS), atol=1e-6)
    assert [block.name for block in freeze.blocks(model, encoder.BLOCK)] == ["embeddings"]


def test_a_folder_can_normalise_share_rows_and_weigh_tokens(tmp_path):
    mapping = np.arange(len(WORDS)) // 2
    weights = np.linspace(0.5, 2, len(WORDS)).astype(np.float32)
    few = ROWS[: len(WORDS) // 2 + 1]
    arrays = {"embeddings": few, "mapping": mapping.astype(np.float32), "weights": weights}
    _write(tmp_path, arrays, normalize=True)
    expected = _means(few[mapping] * weights[:, None])
    expected = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(_pretrained(tmp_path)(TEXTS), expected, atol=1e-6)


def test_a_folder_gives_weights_to_the_backbone_by_name(model, settings, tmp_path):
    _write(tmp_path, {"embeddings": ROWS})
    load_weights(model, NAME, {"dimensions": 6}, settings, str(tmp_path))
    np.testing.assert_allclose(model(TEXTS), _means(ROWS), atol=1e-6)
    other = static_embedding.build(NAME, {"dimensions": 5}, settings)
    with pytest.raises(ValueError, match=r"expects shapes \[\(33, 5\)\], received \[\(33, 6\)\]"):
        load_weights(other, NAME, {"dimensions": 5}, settings, str(tmp_path))


def test_a_folder_without_a_table_is_refused_before_anything_is_built(tmp_path):
    _write(tmp_path, {"other": ROWS})
    with pytest.raises(ValueError, match=r"^model\.backbone: .* has no matrix 'embeddings'"):
        table.check(ModelConfig(backbone=str(tmp_path)), Settings(str(tmp_path)))


def test_weights_of_an_earlier_run_decide_the_vocabulary(tmp_path):
    write_vocabulary(tmp_path / "run/vocabulary")
    (tmp_path / "run/config.yaml").write_text("text: {length: 8}\n")
    config = ModelConfig(backbone=NAME, weights=str(tmp_path / "run"))
    assert table.decided(config)["vocabulary"] == str(tmp_path / "run/vocabulary")
    with pytest.raises(ValueError, match=r"^text\.vocabulary: .* received another vocabulary"):
        table.check(config, Settings("english"))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"other": ROWS}, r"has no matrix 'embeddings'; .* Model2Vec; received other"),
        ({"embeddings": ROWS[0]}, r"has no matrix 'embeddings'"),
        ({"embeddings": ROWS[:, :0]}, r"with the shape \(33, 0\); expected \(tokens, dimensions\)"),
        ({"embeddings": np.zeros((33, 16_385))}, r"with 1\.\.16384 dimensions"),
        ({"embeddings": ROWS, "mapping": np.zeros((33, 1))}, r"'mapping' with the shape \(33, 1\)"),
        ({"embeddings": ROWS[:-1]}, r"was trained with another vocabulary"),
        (
            {"embeddings": ROWS, "mapping": np.full(33, 33.0)},
            r"maps tokens to rows that do not",
        ),
        ({"embeddings": ROWS, "weights": np.ones(3)}, r"has weights of shape \(3,\) for 33 tokens"),
    ],
)
def test_unusable_folders_are_refused(arrays, message, tmp_path):
    _write(tmp_path, arrays)
    with pytest.raises(ValueError, match=rf"^model\.backbone: .*{message}"):
        _pretrained(tmp_path)
