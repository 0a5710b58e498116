import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from text_models import BERT, TEXTS, WORDS, Settings, write_model

from tl_keras.backbones import encoder, keras_hub, model_file, table
from tl_keras.config.model import ModelConfig
from tl_keras.training.network import freeze
from tl_keras.training.network import model as models

# Keras 3.15 saves variables by np.array(variable), whose __array__ lacks NumPy 2's `copy`.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't:DeprecationWarning"
)
needs_hub = pytest.mark.skipif(
    importlib.util.find_spec("keras_hub") is None,
    reason="keras-hub, of the extra 'text', is not installed",
)

CONFIG = {
    "vocabulary_size": len(WORDS),
    "num_layers": 2,
    "num_heads": 4,
    "hidden_dim": 16,
    "intermediate_dim": 24,
    "max_sequence_length": 16,
}
ALBERT = CONFIG | {"embedding_dim": 8, "num_layers": 4, "num_groups": 2}
PRESET = "bert_tiny_en_uncased"


def write_config(folder: Path, kind: str = "BertBackbone", config=CONFIG) -> None:
    vocabulary = folder / keras_hub.VOCABULARY
    vocabulary.parent.mkdir(parents=True, exist_ok=True)
    vocabulary.write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    # KerasHub's own file of this name is not the tokenizer.json of Hugging Face.
    (folder / "tokenizer.json").write_text('{"registered_name": "keras_hub>BertTokenizer"}')
    content = {"registered_name": f"keras_hub>{kind}", "class_name": kind, "config": config}
    (folder / "config.json").write_text(json.dumps(content))


def write_folder(folder: Path, kind: str = "BertBackbone", config=CONFIG) -> keras.Model:
    """Writes a folder with random weights, and returns KerasHub's model."""
    write_config(folder, kind, config)
    hub = importlib.import_module("keras_hub")
    source = getattr(hub.models, kind)(**config)
    generator = np.random.default_rng(0)
    for weight in source.weights:
        weight.assign(generator.normal(size=weight.shape, scale=0.3))
    source.save_weights(folder / keras_hub.WEIGHTS)
    return source


def _means(source: keras.Model) -> np.ndarray:
    is_token = TEXTS != 0
    inputs = {"token_ids": TEXTS, "padding_mask": is_token.astype(np.int32)}
    if "segment_ids" in [layer.name for layer in source.layers]:
        inputs["segment_ids"] = np.zeros_like(TEXTS)
    states = source(inputs)
    states = np.asarray(states["sequence_output"] if isinstance(states, dict) else states)
    return (states * is_token[..., None]).sum(1) / is_token.sum(1, keepdims=True)


def _pretrained(backbone, **model) -> keras.Model:
    config = ModelConfig(backbone=str(backbone), **model)
    decided = table.decided(config)
    settings = Settings(decided["vocabulary"], decided["length"])
    table.check(config, settings)
    return models.pretrained(config, settings)


@needs_hub
@pytest.mark.parametrize(
    ("kind", "config", "layers"),
    [
        ("BertBackbone", CONFIG, 2),
        ("DistilBertBackbone", CONFIG, 2),
        ("RobertaBackbone", CONFIG, 2),
        ("AlbertBackbone", ALBERT, 4),
        ("AlbertBackbone", ALBERT | {"num_inner_repetitions": 2}, 8),
    ],
)
def test_features_equal_those_of_keras_hub(kind, config, layers, tmp_path):
    source = write_folder(tmp_path, kind, config)
    model = _pretrained(tmp_path)
    expected = _means(source)
    np.testing.assert_allclose(model(TEXTS), expected, atol=1e-5 * np.abs(expected).max())
    assert expected.std() > 0.1
    blocks = freeze.blocks(model, table.block_pattern(str(tmp_path)))
    assert [block.name for block in blocks] == [
        "embeddings",
        *[f"layer_{i}" for i in range(layers)],
    ]
    states, tokens = table.token_layers(ModelConfig(backbone=str(tmp_path)))
    assert model.get_layer(states) is not model.get_layer(tokens)
    assert table.auto_values(str(tmp_path), 100) == encoder.auto_values(100)
    modules = {type(operation).__module__.split(".")[0] for operation in model.operations}
    assert modules == {"keras"}  # So a saved model loads without KerasHub.


@needs_hub
def test_a_cached_preset_is_used_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    folder = tmp_path / f"models/keras/bert/keras/{PRESET}/3"
    source = write_folder(folder)
    table.fetch(PRESET)
    config = ModelConfig(backbone=PRESET)
    assert config.weights == "published"
    vocabulary = str(folder / keras_hub.VOCABULARY)
    assert table.decided(config) == {"vocabulary": vocabulary, "length": 16}
    expected = _means(source)
    found = _pretrained(PRESET)(TEXTS)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    first = _pretrained(PRESET, options={"layers": 1, "pooling": "first"}, weights="none")
    assert [block.name for block in freeze.blocks(first, encoder.BLOCK)][1:] == ["layer_0"]


@needs_hub
def test_a_preset_that_cannot_be_downloaded_names_the_alternatives(tmp_path, monkeypatch):
    def fail(handle):
        raise ConnectionError(f"no network for {handle}")

    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    monkeypatch.setattr(importlib.import_module("kagglehub"), "model_download", fail)
    with pytest.raises(ValueError) as caught:
        table.fetch(PRESET)
    message = str(caught.value)
    assert message.startswith(f"model.backbone: the preset '{PRESET}' is neither cached in '")
    assert f"no network for keras/bert/keras/{PRESET}/3; without a network" in message
    assert "model.backbone=StaticEmbedding" in message and "\n" not in message


@needs_hub
def test_damaged_weights_are_refused(tmp_path):
    write_folder(tmp_path)
    (tmp_path / keras_hub.WEIGHTS).write_bytes(b"broken")
    with pytest.raises(ValueError, match=r"^model\.backbone: the weights in .* cannot be loaded"):
        _pretrained(tmp_path)


@needs_hub
def test_every_preset_of_keras_hub_has_its_handle():
    hub = importlib.import_module("keras_hub")
    found = {}
    for kind in keras_hub.CLASSES:
        for name, preset in getattr(hub.models, kind).presets.items():
            found[name] = preset["kaggle_handle"].removeprefix("kaggle://")
    # A preset whose name contains a dot would count as a file, and one has a classifier.
    expected = {name: handle for name, handle in found.items() if "." not in name}
    del expected["bert_tiny_en_uncased_sst2"]
    assert keras_hub.HANDLES == expected


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    message = r"bert_base_en needs the package keras-hub; .* pip install 'tl-keras\[text\]'"
    with pytest.raises(ValueError, match=message):
        table.check(ModelConfig(backbone="bert_base_en"), Settings("english"))
    with pytest.raises(ValueError, match=message):
        table.fetch("bert_base_en")


def test_random_weights_need_no_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    write_config(tmp_path)
    assert model_file.is_folder(str(tmp_path))
    model = _pretrained(tmp_path, weights="none")
    assert model.output.shape == (None, 16)


def test_a_tokeniser_that_is_not_wordpiece_has_to_be_given(tmp_path):
    write_config(tmp_path, "RobertaBackbone")
    (tmp_path / keras_hub.VOCABULARY).unlink()
    config = ModelConfig(backbone=str(tmp_path), weights="none")
    assert table.decided(config) == {"length": 16}
    message = r"text\.vocabulary: \S+ has a tokeniser that is not WordPiece; expected a folder with"
    with pytest.raises(ValueError, match=message):
        table.check(config, Settings(None))


@pytest.mark.parametrize(
    ("kind", "config", "message"),
    [
        (
            "DebertaV3Backbone",
            CONFIG,
            r"contains a DebertaV3Backbone; expected one of BertBackbone",
        ),
        ("BertBackbone", [], r"contains a BertBackbone; expected"),
        ("BertBackbone", CONFIG | {"hidden_dim": "x"}, r"hidden_dim to be a whole number in 1\.\."),
        ("BertBackbone", CONFIG | {"num_heads": 3}, r"expected num_heads to divide hidden_dim"),
        (
            "BertBackbone",
            CONFIG | {"num_layers": None},
            r"num_layers to be a whole number in 1\.\.",
        ),
        ("AlbertBackbone", ALBERT | {"num_groups": 0}, r"has no number of layers"),
    ],
)
def test_unusable_configs_are_refused(kind, config, message, tmp_path):
    write_config(tmp_path, kind, config)
    with pytest.raises(ValueError, match=rf"^model\.backbone: .*{message}"):
        keras_hub.check(str(tmp_path), {}, Settings("english"))


def test_weights_of_another_folder_must_have_the_same_sizes(tmp_path):
    write_config(tmp_path / "a")
    write_config(tmp_path / "b", config=CONFIG | {"intermediate_dim": 32})
    write_model(tmp_path / "c", BERT)
    name, settings = str(tmp_path / "a"), Settings("english")
    for folder, message in {
        "b": "has other inner than .*: 32 instead of 24",
        "c": "contains no model of KerasHub",
    }.items():
        with pytest.raises(ValueError, match=rf"^model\.weights: .*{message}"):
            keras_hub.from_folder(name, {}, settings, str(tmp_path / folder))


def test_folders_of_hugging_face_stay_theirs(tmp_path):
    write_model(tmp_path, BERT)
    assert table.module_of(str(tmp_path)).__name__.endswith("hugging_face")


def test_checking_needs_no_tensorflow(tmp_path):
    write_config(tmp_path)
    code = (
        "import sys; from tl_keras.backbones import keras_hub; "
        f"keras_hub.check({str(tmp_path)!r}, {{}}, None, 'none'); "
        "assert not {'keras', 'keras_hub', 'tensorflow', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
